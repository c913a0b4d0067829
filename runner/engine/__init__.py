"""The engine: one loaded model in its own process, generating for many sequences at once.

Knows tokens, never messages, HTTP or routes. `messages` holds the only words that cross the pipe
to the parent; `llama` is the only part that touches llama.cpp.
"""
