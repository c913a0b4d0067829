"""Hostile callers at the edges of the server."""
