"""Who is calling: API keys, compared in constant time as bytes.

Owns the check and the caller's name (the tenant of caches and money). Holds only digests of the
keys. Without configured keys everyone is the same anonymous caller.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from fastapi import Request

from runner.config import DIGEST, ServerSettings, seal

from .errors import AuthenticationError

ANONYMOUS = ""
OWN = "default"  # the name of the server's own key


class Keyring:
    """The configured keys by name, as SHA-256 digests."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {
            name: bytes.fromhex(seal(key).removeprefix(DIGEST)) for name, key in keys.items()
        }

    @classmethod
    def of(cls, server: ServerSettings) -> Keyring:
        """The keys of the settings, the server's own among them."""
        own = {} if server.api_key is None else {OWN: server.api_key}
        return cls({name: one.key for name, one in server.api_keys.items()} | own)

    @property
    def is_open(self) -> bool:
        """Whether no key is needed."""
        return not self._digests

    def name_of(self, request: Request) -> str:
        """The name of the caller's key. Raises AuthenticationError."""
        if self.is_open:
            return ANONYMOUS
        offered = digest(offered_key(request))
        found = [
            name for name, known in self._digests.items() if hmac.compare_digest(known, offered)
        ]
        if not found:
            raise AuthenticationError(
                "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'"
            )
        return found[0]


def digest(key: bytes) -> bytes:
    """What is compared of a key."""
    return hashlib.sha256(key).digest()


def offered_key(request: Request) -> bytes:
    """The key in either header as it came over the wire, empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip().encode("latin-1")
    return request.headers.get("x-api-key", "").encode("latin-1")
