"""Attempts: what was tried for one client request, and what a failed one allows next.

Owns the count of upstream requests a client request may still make. Knows no backend. Invariant:
`begin` never hands out more upstream attempts than the settings allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from runner.errors import RunnerError

Outcome = Literal["pending", "ok", "failed", "refused", "cut", "cancelled"]
Again = Literal["same", "other", "never"]


class AttemptsSpentError(RunnerError):
    """The request has used up the upstream requests it may make."""


@dataclass(slots=True)
class Attempt:
    """One try at a backend."""

    backend: str
    started_s: float
    outcome: Outcome = "pending"
    error: str | None = None
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What may be tried after a failure: the same provider, another one, or nothing.

    `after_s` is how long the provider wants to be left alone first. `max_tokens`, if set, is
    what the next try has to be content with.
    """

    again: Again
    after_s: float = 0.0
    max_tokens: int | None = None
    is_rate_limit: bool = False


@dataclass(slots=True)
class Call:
    """One client request on its way through the backends; whoever serves it leaves notes here."""

    request_id: str
    num_upstream_left: int
    clock: Callable[[], float]
    attempts: list[Attempt] = field(default_factory=list)
    emulated: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    model: str | None = None
    quantization: str | None = None

    def begin(self, backend: str, *, is_upstream: bool = True) -> Attempt:
        """Open an attempt; an upstream one is taken from the allowance.

        Raises:
            AttemptsSpentError: no upstream request is left.
        """
        if is_upstream:
            if self.num_upstream_left <= 0:
                raise AttemptsSpentError(
                    "no upstream attempt is left for this request; raise [fallback] max_attempts"
                )
            self.num_upstream_left -= 1
        attempt = Attempt(backend, started_s=self.clock())
        self.attempts.append(attempt)
        return attempt

    def end(self, attempt: Attempt, outcome: Outcome, error: str | None = None) -> None:
        """Close an attempt; one that is closed already stays as it is."""
        if attempt.outcome != "pending":
            return
        attempt.outcome = outcome
        attempt.error = error
        attempt.ms = (self.clock() - attempt.started_s) * 1000

    def note(self, *, emulated: tuple[str, ...] = (), ignored: tuple[str, ...] = ()) -> None:
        """Remember what was done here instead of there, and what was not done at all."""
        for known, new in ((self.emulated, emulated), (self.ignored, ignored)):
            known.extend(name for name in new if name not in known)
