"""The page in the browser: static files, served from memory under one strict policy.

Owns the files and the headers around them; knows no model, no service and no key. The page itself
talks to the public API only. Invariant: nothing but the files that lay here at start is served,
and every answer carries the security headers.
"""

from __future__ import annotations

from .page import web_router as web_router
