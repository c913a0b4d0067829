"""The HTTP edge: one file per endpoint, its bodies, and its rendering of events.

Owns wire shapes and statuses; no policy. `app.create_app` puts the endpoints together.
"""
