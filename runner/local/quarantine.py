"""Requests that see engines die: one death is bad luck, at the second the request is suspected.

Owns the memory of such requests, by a digest of what they ask, for ten minutes. Invariant: a
request that was being answered at two deaths is not given to an engine again meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import msgspec

from runner.errors import EngineCrashedError
from runner.types import GenerateRequest

KEPT_S = 600.0
MAX_DEATHS = 2
MAX_KNOWN = 1024


class Quarantine:
    """Requests that engines are kept from, and until when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until_s: dict[bytes, float] = {}

    def check(self, request: GenerateRequest) -> None:
        """Raise EngineCrashedError for a request that is not given to engines any more."""
        if self._until_s and self._clock() < self._until_s.get(_digest(request), 0.0):
            raise EngineCrashedError(
                "the engine died twice while it answered this very request, so it is not tried "
                "again for ten minutes; change the request, or send it to a hosted provider"
            )

    def after_death(self, request: GenerateRequest, num_deaths: int) -> None:
        """So many engines died under this request by now; raises as `check` from the second on."""
        if num_deaths < MAX_DEATHS:
            return
        self._until_s[_digest(request)] = self._clock() + KEPT_S
        while len(self._until_s) > MAX_KNOWN:
            del self._until_s[next(iter(self._until_s))]
        self.check(request)


def _digest(request: GenerateRequest) -> bytes:
    plain = replace(request, id="", given=frozenset())
    return hashlib.sha256(msgspec.json.encode(plain)).digest()
