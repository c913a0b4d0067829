"""Caps on hosted spending, and how much of them is left.

Pure. Owns the rule that a hold fits only if it fits every cap. Invariant: with a cap set, an
amount that is not known does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runner.config import BudgetSettings
from runner.errors import BudgetError

from .money import to_nusd, to_usd


@dataclass(frozen=True, slots=True)
class Budget:
    """The caps in nano-dollars; None is no cap."""

    daily_nusd: int | None = None
    monthly_nusd: int | None = None
    per_request_nusd: int | None = None

    @classmethod
    def of(cls, settings: BudgetSettings) -> Budget:
        """The caps of the settings."""
        caps = (settings.daily_usd, settings.monthly_usd, settings.per_request_usd)
        return cls(*(None if usd is None else to_nusd(usd) for usd in caps))

    @property
    def is_set(self) -> bool:
        """Whether anything is capped."""
        return (self.daily_nusd, self.monthly_nusd, self.per_request_nusd) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Spent:
    """What counts against each cap: settled, reserved and uncertain money together.

    Of everybody, or of one key; `request_nusd` is what one client request has held so far.
    """

    today_nusd: int = 0
    month_nusd: int = 0
    request_nusd: int = 0


@dataclass(frozen=True, slots=True)
class Cap:
    """One limit, where it was set, and what already counts against it."""

    name: str
    most_nusd: int
    spent_nusd: int

    @property
    def left_nusd(self) -> int:
        """What may still be held under it."""
        return max(0, self.most_nusd - self.spent_nusd)


def caps_of(budget: Budget, spent: Spent, request_cap_nusd: int | None = None) -> list[Cap]:
    """The caps on everybody together, and the request's own."""
    caps = _caps("[budget]", budget, spent)
    if request_cap_nusd is not None:
        caps.append(Cap("max_cost_usd", request_cap_nusd, spent.request_nusd))
    return caps


def caps_of_key(name: str, budget: Budget, spent: Spent) -> list[Cap]:
    """The caps on one API key."""
    return _caps(f"[server.api_keys.{name}]", budget, spent)


def _caps(where: str, budget: Budget, spent: Spent) -> list[Cap]:
    caps = (
        (f"{where} daily_usd", budget.daily_nusd, spent.today_nusd),
        (f"{where} monthly_usd", budget.monthly_nusd, spent.month_nusd),
        (f"{where} per_request_usd", budget.per_request_nusd, spent.request_nusd),
    )
    return [Cap(name, most, used) for name, most, used in caps if most is not None]


def why_over(caps: Iterable[Cap], amount_nusd: int | None) -> str | None:
    """Why so much more may not be spent; None when it may."""
    for cap in caps:
        if amount_nusd is None:
            return f"its price is not known and {cap.name} is set"
        if cap.spent_nusd + amount_nusd > cap.most_nusd:
            return (
                f"it could cost ${to_usd(amount_nusd):.6f} and ${to_usd(cap.left_nusd):.6f} is "
                f"left of {cap.name} (${to_usd(cap.most_nusd):g})"
            )
    return None


def left_nusd(caps: Iterable[Cap]) -> int | None:
    """The most one more request may cost; None when nothing is capped."""
    return min((cap.left_nusd for cap in caps), default=None)


def over_budget(why: str) -> BudgetError:
    """The error for a hold that does not fit."""
    return BudgetError(f"the hosted request was not sent: {why}; raise the cap or lower max_tokens")
