"""Who is calling: API keys, compared in constant time as bytes.

Owns the check and the caller's name (the tenant of caches and money). Holds only digests of the
keys. Without configured keys everyone is the same anonymous caller.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from fastapi import Request

from .errors import AuthenticationError

ANONYMOUS = ""


class Keyring:
    """The configured keys by name, as SHA-256 digests."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {name: digest(key) for name, key in keys.items()}

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


def digest(key: str) -> bytes:
    """What is kept of a key; a key of the form `sha256:<hex>` is a digest already."""
    if key.startswith("sha256:") and len(key) == 71:
        return bytes.fromhex(key.removeprefix("sha256:"))
    return hashlib.sha256(key.encode("utf-8", errors="surrogateescape")).digest()


def offered_key(request: Request) -> str:
    """The key in either header, empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.headers.get("x-api-key", "")
