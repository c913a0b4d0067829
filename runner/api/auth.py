"""Who is calling: API keys, compared in constant time as bytes.

Owns the check and the caller's name (the tenant of caches and money). Holds only digests of the
keys. Without configured keys everyone is the same anonymous caller.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from fastapi import Request

from runner.errors import ConfigError

from .errors import AuthenticationError

ANONYMOUS = ""
HASHED = "sha256:"


class Keyring:
    """The configured keys by name, as SHA-256 digests."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._digests = {name: kept_digest(name, key) for name, key in keys.items()}

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


def kept_digest(name: str, key: str) -> bytes:
    """What is kept of a configured key; `sha256:<64 hex digits>` is a digest already.

    Raises:
        ConfigError: it begins like a digest and is none.
    """
    if not key.startswith(HASHED):
        return digest(key.encode("utf-8"))
    try:
        known = bytes.fromhex(key.removeprefix(HASHED))
    except ValueError:
        known = b""
    if len(known) != hashlib.sha256().digest_size:
        raise ConfigError(f"API key {name!r}: after 'sha256:' there have to be 64 hex digits")
    return known


def offered_key(request: Request) -> bytes:
    """The key in either header as it came over the wire, empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip().encode("latin-1")
    return request.headers.get("x-api-key", "").encode("latin-1")
