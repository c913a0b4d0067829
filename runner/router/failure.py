"""What a local failure is called in the settings, and when a finished failure is really no route.

Pure. Knows the error tree and nothing else. Invariant: a client's own mistake has no cause, so
it never falls over; only a prompt too long for the local context may.
"""

from __future__ import annotations

from runner.errors import (
    BudgetError,
    BusyError,
    ContextLengthError,
    DoesNotFitError,
    EngineCrashedError,
    EngineError,
    NoRouteError,
    NotInstalledError,
    OfflineError,
    RunnerError,
    WeightsError,
)

_CAUSES: tuple[tuple[type[RunnerError], str], ...] = (
    (ContextLengthError, "context"),
    (DoesNotFitError, "does_not_fit"),
    (NotInstalledError, "not_installed"),
    (WeightsError, "load_failed"),
    (EngineCrashedError, "crashed"),
    (EngineError, "load_failed"),
    (BusyError, "busy"),
)


def cause_of(error: RunnerError) -> str | None:
    """The fallback trigger that a local failure pulls; None when it pulls none."""
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), None)


def as_final(error: RunnerError, alternatives: tuple[str, ...]) -> RunnerError:
    """The error to show: money and the network are reasons for no route, the rest stays itself."""
    if isinstance(error, BudgetError | OfflineError):
        return NoRouteError(str(error), reasons=(str(error),), alternatives=alternatives)
    return error
