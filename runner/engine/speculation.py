"""Guessing ahead: whether it pays, and guesses from what the same sequence said before.

Owns the belief in a sequence's guesses and its n-gram index. Pure: no model. The output is what
it would be without, since every guess is checked by the model; what is decided here is only
whether checking pays. After "Prompt Lookup Decoding" (A. Saxena, 2023).
"""

from __future__ import annotations

from collections.abc import Callable

ORDER = 3  # tokens that have to agree before a guess is made
SIZES = (1, 3, 7, 15, 31)  # with the token before them batches of a size that machines like
FIRST_SIZE = 3
FIRST_BELIEF = 0.75
LEARNING = 0.12
FORGETTING = 0.01  # per token without a guess, back towards the first belief
MARGIN = 1.08  # checking has to promise this much more tokens a second


class Belief:
    """How likely a guess is right, learnt from those that were checked."""

    def __init__(self) -> None:
        self._chance = FIRST_BELIEF

    def best_size(self, available: int, cost_s: Callable[[int], float | None]) -> int:
        """The number of guesses with the most expected tokens a second, 0 if none pays.

        `cost_s` is of a step that computes so many tokens, the guessing included.
        """
        plain = cost_s(1)
        if plain is None or plain <= 0:
            return max(0, min(available, FIRST_SIZE))
        best, best_rate = 0, MARGIN / plain
        for size in SIZES:
            if size > available:
                break
            cost = cost_s(1 + size)
            if cost is None:
                continue
            rate = self._expected(size) / cost
            if rate > best_rate:
                best, best_rate = size, rate
        return best

    def learn(self, num_guessed: int, num_right: int) -> None:
        """So many of the guesses were right."""
        for _ in range(num_right):
            self._chance += LEARNING * (1 - self._chance)
        if num_right < num_guessed:
            self._chance -= LEARNING * 2 * self._chance

    def forget(self) -> None:
        """A token came without a guess."""
        self._chance += FORGETTING * (FIRST_BELIEF - self._chance)

    def _expected(self, size: int) -> float:
        """Tokens a check of `size` guesses yields: 1 + p + p² + … + p^size."""
        chance = min(self._chance, 0.995)
        return (1 - chance ** (size + 1)) / (1 - chance)


class PromptLookup:
    """Guesses for one sequence."""

    def __init__(self) -> None:
        self._last_at: dict[tuple[int, ...], int] = {}
        self._num_indexed = 0
        self._belief = Belief()

    def propose(
        self, tokens: list[int], limit: int, cost_s: Callable[[int], float | None]
    ) -> list[int]:
        """Tokens that likely come next, as many as pay; `cost_s` is of checking so many."""
        self._index(tokens)
        match = self._find(tokens)
        if match is None or limit < SIZES[0]:
            self._belief.forget()
            return []
        available = min(limit, len(tokens) - match)
        return tokens[match : match + self._belief.best_size(available, cost_s)]

    def learn(self, num_proposed: int, num_accepted: int) -> None:
        """So many of the guesses were right."""
        self._belief.learn(num_proposed, num_accepted)

    def _find(self, tokens: list[int]) -> int | None:
        if len(tokens) < ORDER:
            return None
        return self._last_at.get(tuple(tokens[-ORDER:]))

    def _index(self, tokens: list[int]) -> None:
        """Note where each n-gram ended last; the one at the very end is noted next time."""
        for end in range(max(ORDER, self._num_indexed), len(tokens)):
            self._last_at[tuple(tokens[end - ORDER : end])] = end
        self._num_indexed = max(ORDER, len(tokens))
