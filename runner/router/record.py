"""The record of one route: who served, what was tried, what it cost.

Owns the shape that every endpoint shows as `x_route`. Invariant: only the router writes it; a
snapshot never changes, and after the last event the record is final.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.ledger import Call

from .policy import Decision


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """One closed or pending attempt."""

    backend: str
    outcome: str
    error: str | None
    ms: float


@dataclass(frozen=True, slots=True)
class RouteSnapshot:
    """`x_route` at one moment."""

    served_by: str
    model: str
    quantization: str | None
    reasons: tuple[str, ...]
    attempts: tuple[AttemptRecord, ...]
    emulated: tuple[str, ...]
    ignored: tuple[str, ...]
    cost_usd: float | None
    cost_avoided_usd: float | None


@dataclass(slots=True)
class RouteRecord:
    """The route as it is being travelled; written by the router only."""

    decision: Decision
    call: Call
    model: str
    served_by: str = ""
    quantization: str | None = None
    reasons: list[str] = field(default_factory=list)
    cost_usd: float | None = None
    cost_avoided_usd: float | None = None

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """Every attempt so far, the pending one too."""
        return tuple(
            AttemptRecord(attempt.backend, attempt.outcome, attempt.error, round(attempt.ms, 3))
            for attempt in self.call.attempts
        )

    @property
    def emulated(self) -> tuple[str, ...]:
        """What the provider lacks and this machine did."""
        return tuple(self.call.emulated)

    @property
    def ignored(self) -> tuple[str, ...]:
        """The parameters nobody honoured."""
        return tuple(self.call.ignored)

    def snapshot(self) -> RouteSnapshot:
        """A frozen copy."""
        return RouteSnapshot(
            served_by=self.served_by,
            model=self.call.model or self.model,
            quantization=self.call.quantization or self.quantization,
            reasons=(*self.reasons, *self.call.reasons),
            attempts=self.attempts,
            emulated=self.emulated,
            ignored=self.ignored,
            cost_usd=self.cost_usd,
            cost_avoided_usd=self.cost_avoided_usd,
        )
