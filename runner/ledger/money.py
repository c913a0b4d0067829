"""Money: prices in USD per million tokens, amounts in whole nano-dollars.

Owns the sums and their rounding: a reservation rounds up, a settlement to nearest. Knows no
provider and no storage. Invariant: amounts are integers, so a thousand of them add up exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date

NUSD_PER_USD = 1_000_000_000
NUSD_PER_TOKEN = 1_000  # of a price of one USD per million tokens


def to_nusd(usd: float) -> int:
    """The nearest whole number of nano-dollars."""
    return round(usd * NUSD_PER_USD)


def to_usd(nusd: int) -> float:
    """Nano-dollars as USD, for people and for the wire."""
    return nusd / NUSD_PER_USD


@dataclass(frozen=True, slots=True)
class Price:
    """A dated price in USD per million tokens."""

    prompt_usd_per_mtok: float
    completion_usd_per_mtok: float
    as_of: date | None = None

    def cost_nusd(self, num_prompt: int, num_completion: int) -> int:
        """What so many tokens cost, rounded up to a whole nano-dollar."""
        exact = NUSD_PER_TOKEN * (
            num_prompt * self.prompt_usd_per_mtok + num_completion * self.completion_usd_per_mtok
        )
        return math.ceil(exact - 1e-6)

    @property
    def is_free(self) -> bool:
        """Whether neither direction costs anything."""
        return self.prompt_usd_per_mtok == 0 and self.completion_usd_per_mtok == 0

    def __str__(self) -> str:
        dated = f" as of {self.as_of}" if self.as_of else ""
        return f"${self.prompt_usd_per_mtok:g} / ${self.completion_usd_per_mtok:g} per M{dated}"
