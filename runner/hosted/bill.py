"""The money of one upstream attempt: held before it leaves, settled by what is known after.

Owns the rule which outcome means which state of the hold. Knows no HTTP. Invariant: a bill is
closed exactly once, and null is not zero: a cost nobody named stays uncertain.
"""

from __future__ import annotations

from runner.ledger import HoldRequest, Ledger, Price, to_nusd, to_usd

from .chunk import UpstreamUsage


class Bill:
    """One hold."""

    def __init__(
        self, ledger: Ledger, hold_id: int, wanted: HoldRequest, *, names_cost: bool
    ) -> None:
        self._ledger = ledger
        self._hold_id = hold_id
        self._wanted = wanted
        self._names_cost = names_cost
        self._is_closed = False
        self.is_doubtful = False

    @classmethod
    async def open(cls, ledger: Ledger, wanted: HoldRequest, *, names_cost: bool) -> Bill:
        """Hold the money; raises `BudgetError`."""
        return cls(ledger, await ledger.reserve(wanted), wanted, names_cost=names_cost)

    @property
    def hold_id(self) -> int:
        """The ledger's number of the hold."""
        return self._hold_id

    def settle(self, usage: UpstreamUsage | None, generation_id: str | None) -> float | None:
        """Close by what the provider said it counted; returns the cost in USD where known."""
        cost_nusd = self._cost(usage)
        if cost_nusd is None:
            self.doubt(generation_id)
            return None
        if not self._is_closed:
            self._is_closed = True
            self._ledger.settle(self._hold_id, cost_nusd)
        return to_usd(cost_nusd)

    def release(self) -> None:
        """Nothing was billed."""
        if not self._is_closed:
            self._is_closed = True
            self._ledger.release(self._hold_id)

    def doubt(self, generation_id: str | None) -> None:
        """Nobody knows; free answers stay free."""
        if self._is_closed:
            return
        if self._wanted.price is not None and self._wanted.price.is_free:
            return self.release()
        self._is_closed = self.is_doubtful = True
        self._ledger.doubt(self._hold_id, generation_id)
        return None

    def _cost(self, usage: UpstreamUsage | None) -> int | None:
        price: Price | None = self._wanted.price
        if price is not None and price.is_free:
            return 0
        if usage is None:
            return None
        if usage.cost_usd is not None:
            return to_nusd(usage.cost_usd)
        if self._names_cost or price is None:
            return None
        counted = price.cost_nusd(usage.prompt_tokens, usage.completion_tokens)
        return counted if counted <= (self._wanted.amount_nusd or 0) else None
