"""Caps on hosted spending, and how much of them is left.

Pure. Owns the rule that a hold fits only if it fits every cap. Invariant: with a cap set, an
amount that is not known does not fit.
"""

from __future__ import annotations

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
    """What counts against each cap: settled, reserved and uncertain money together."""

    today_nusd: int = 0
    month_nusd: int = 0
    request_nusd: int = 0


def why_over(
    budget: Budget, spent: Spent, amount_nusd: int | None, request_cap_nusd: int | None
) -> str | None:
    """Why so much more may not be spent; None when it may."""
    caps = (
        ("[budget] daily_usd", budget.daily_nusd, spent.today_nusd),
        ("[budget] monthly_usd", budget.monthly_nusd, spent.month_nusd),
        ("[budget] per_request_usd", budget.per_request_nusd, spent.request_nusd),
        ("max_cost_usd", request_cap_nusd, spent.request_nusd),
    )
    for name, cap_nusd, spent_nusd in caps:
        if cap_nusd is None:
            continue
        if amount_nusd is None:
            return f"its price is not known and {name} is set"
        if spent_nusd + amount_nusd > cap_nusd:
            left = max(0, cap_nusd - spent_nusd)
            return (
                f"it could cost ${to_usd(amount_nusd):.6f} and ${to_usd(left):.6f} is left of "
                f"{name} (${to_usd(cap_nusd):g})"
            )
    return None


def left_nusd(budget: Budget, spent: Spent, request_cap_nusd: int | None) -> int | None:
    """The most one more request may cost; None when nothing is capped."""
    caps = (
        (budget.daily_nusd, spent.today_nusd),
        (budget.monthly_nusd, spent.month_nusd),
        (budget.per_request_nusd, spent.request_nusd),
        (request_cap_nusd, spent.request_nusd),
    )
    rests = [max(0, cap - used) for cap, used in caps if cap is not None]
    return min(rests) if rests else None


def over_budget(why: str) -> BudgetError:
    """The error for a hold that does not fit."""
    return BudgetError(f"the hosted request was not sent: {why}; raise the cap or lower max_tokens")
