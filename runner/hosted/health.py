"""How a provider has been doing lately, and whether it may be asked at all.

Owns the rolling window and the breaker of one provider; the clock is an argument. Invariant: an
open breaker lets exactly one probe through after its pause, and a refusal of the key keeps the
provider out with the words to show.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

WINDOW = 50
MIN_SAMPLES = 5
DEGRADED_BELOW = 0.8
FAILURES_TO_OPEN = 5
FIRST_PAUSE_S = 30.0
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What the live table shows of one provider."""

    num_samples: int
    success_rate: float | None
    first_token_s: float | None
    tokens_per_s: float | None
    trouble: str | None
    wait_s: float


class Health:
    """One provider's recent past."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._outcomes: deque[bool] = deque(maxlen=WINDOW)
        self._first_token_s: deque[float] = deque(maxlen=WINDOW)
        self._tokens_per_s: deque[float] = deque(maxlen=WINDOW)
        self._num_failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._closed_until_s = float("-inf")
        self._is_probing = False
        self._is_open = False
        self._cooldown_until_s = float("-inf")
        self._words = ""

    def remember(
        self, *, is_ok: bool, first_token_s: float | None, tokens_per_s: float | None
    ) -> None:
        """Take a sample from an earlier run; it moves the window, not the breaker."""
        self._outcomes.append(is_ok)
        if first_token_s is not None:
            self._first_token_s.append(first_token_s)
        if tokens_per_s is not None:
            self._tokens_per_s.append(tokens_per_s)

    def succeed(self, first_token_s: float | None, tokens_per_s: float | None) -> None:
        """An attempt was answered in full."""
        self.remember(is_ok=True, first_token_s=first_token_s, tokens_per_s=tokens_per_s)
        self._num_failures = 0
        self._pause_s = FIRST_PAUSE_S
        self._is_open = self._is_probing = False
        self._words = ""

    def fail(self, words: str) -> None:
        """An attempt failed by the provider's fault."""
        self.remember(is_ok=False, first_token_s=None, tokens_per_s=None)
        self._num_failures += 1
        if self._is_probing or self._num_failures >= FAILURES_TO_OPEN:
            self._open(f"it failed {self._num_failures} times in a row, at last: {words}")

    def refuse(self, words: str) -> None:
        """The provider does not accept the key or the account: open at once."""
        self._pause_s = LONGEST_PAUSE_S
        self._open(words)

    def cool_down(self, wait_s: float) -> None:
        """The provider asked to be left alone."""
        self._cooldown_until_s = max(self._cooldown_until_s, self._clock() + wait_s)
        self._is_probing = False

    def forgive(self) -> None:
        """The attempt says nothing about the provider; a probe may be tried again."""
        self._is_probing = False

    def admit(self) -> None:
        """An attempt is about to leave; while open it is the one probe."""
        self._is_probing = self._is_open

    @property
    def cooldown_s(self) -> float | None:
        """How long it still wants to be left alone; None when it may be asked."""
        left = self._cooldown_until_s - self._clock()
        return left if left > 0 else None

    @property
    def trouble(self) -> str | None:
        """Why the breaker keeps it out; None when it may be asked."""
        if not self._is_open:
            return None
        left = self._closed_until_s - self._clock()
        if left > 0:
            return f"{self._words} (asked again in {left:.0f} s)"
        return "a probe is under way" if self._is_probing else None

    @property
    def is_degraded(self) -> bool:
        """Whether it failed too often lately to be anything but a fallback."""
        rate = self.success_rate
        return rate is not None and rate < DEGRADED_BELOW

    @property
    def success_rate(self) -> float | None:
        """The share of recent attempts that were answered; None with too few."""
        if len(self._outcomes) < MIN_SAMPLES:
            return None
        return sum(self._outcomes) / len(self._outcomes)

    @property
    def first_token_s(self) -> float | None:
        """Median time to the first token."""
        return statistics.median(self._first_token_s) if self._first_token_s else None

    @property
    def tokens_per_s(self) -> float | None:
        """Median speed."""
        return statistics.median(self._tokens_per_s) if self._tokens_per_s else None

    def report(self) -> HealthReport:
        """A snapshot for people."""
        return HealthReport(
            num_samples=len(self._outcomes),
            success_rate=self.success_rate,
            first_token_s=self.first_token_s,
            tokens_per_s=self.tokens_per_s,
            trouble=self.trouble,
            wait_s=self.cooldown_s or 0.0,
        )

    def _open(self, words: str) -> None:
        self._words = words
        self._closed_until_s = self._clock() + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        self._is_open = True
        self._is_probing = False
