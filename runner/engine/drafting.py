"""Guesses by a smaller model of the same vocabulary.

Owns the draft's weights, its cache and which tokens are in it. What it guesses is checked by the
real model, so nothing it does changes an answer. Invariant: `_computed` says what is in the
cells of each slot.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from runner.errors import EngineLoadError

from .llama import Batch, Context, DecodeFailed, LoadOptions, Model
from .pace import blend
from .prefix_cache import common_prefix
from .speculation import Belief

logger = logging.getLogger(__name__)

NUM_SLOTS = 2  # sequences that may be guessed for at the same time
BATCH_SIZE = 256
FIRST_PIECE = 16


class Draft:
    """A loaded draft model, and what it has read of up to two sequences."""

    def __init__(self, options: LoadOptions, model: Model, clock: Callable[[], float]) -> None:
        """Raises EngineLoadError where the draft speaks another vocabulary."""
        self._model = Model(options)
        if not has_same_vocabulary(model, self._model):
            self._model.close()
            raise EngineLoadError("the draft model has another vocabulary")
        try:
            self._context = Context(self._model, options)
        except EngineLoadError:
            self._model.close()
            raise
        self._batch = Batch(options.batch_size)
        self._clock = clock
        self._owners: list[int | None] = [None] * NUM_SLOTS
        self._last_slot = 0
        self._computed: list[list[int]] = [[] for _ in range(NUM_SLOTS)]
        self._step_s: float | None = None
        self._prompt_token_s: float | None = None

    def propose(
        self,
        sequence_id: int,
        tokens: list[int],
        limit: int,
        belief: Belief,
        cost_s: Callable[[int], float | None],
    ) -> list[int]:
        """The likeliest next tokens, as many as pay; nothing while the draft is still reading."""
        step_s = self._step_s or 0.0

        def whole_cost_s(num_tokens: int) -> float | None:
            checking = cost_s(num_tokens)
            return None if checking is None else checking + (num_tokens - 1) * step_s

        size = belief.best_size(limit, whole_cost_s)
        if not size or len(tokens) + size > self._context.num_cells // NUM_SLOTS:
            return []
        slot = self._slot_of(sequence_id)
        try:
            if not self._catch_up(slot, tokens, cost_s(1) or 0.0):
                return []
            return self._guess(slot, tokens, size)
        except DecodeFailed:
            logger.warning("the draft model could not be computed; its cache is emptied")
            self._empty(slot)
            return []

    def forget(self, sequence_id: int) -> None:
        """The sequence is over; another may take its slot."""
        if sequence_id in self._owners:
            self._owners[self._owners.index(sequence_id)] = None

    def close(self) -> None:
        """Free cache and weights."""
        self._context.close()
        self._model.close()

    def _catch_up(self, slot: int, tokens: list[int], allowed_s: float) -> bool:
        """Read what came since, all but the last token; False where that needs more steps."""
        known = self._computed[slot]
        kept = min(common_prefix(known, tokens, 0), len(tokens) - 1)
        if kept < len(known):
            self._context.remove(slot, kept)
            del known[kept:]
        piece = FIRST_PIECE
        if self._prompt_token_s is not None:
            piece = max(FIRST_PIECE, int(allowed_s / self._prompt_token_s))
        behind = tokens[kept:-1][: min(piece, self._batch.capacity)]
        if behind:
            begun_s = self._clock()
            self._read(slot, behind)
            each_s = max(self._clock() - begun_s, 1e-6) / len(behind)
            self._prompt_token_s = blend(self._prompt_token_s, each_s)
        return len(known) == len(tokens) - 1

    def _guess(self, slot: int, tokens: list[int], size: int) -> list[int]:
        guesses: list[int] = []
        token = tokens[-1]
        while len(guesses) < size:
            begun_s = self._clock()
            token = self._read(slot, [token])
            self._step_s = blend(self._step_s, self._clock() - begun_s)
            guesses.append(token)
            if self._model.is_end(token):
                break
        return guesses

    def _read(self, slot: int, tokens: list[int]) -> int:
        """Compute tokens; the likeliest one behind them."""
        known = self._computed[slot]
        self._batch.clear()
        row = self._batch.add(slot, tokens, len(known), 1) - 1
        self._context.decode(self._batch)
        known += tokens
        return int(self._context.logits(row).argmax())

    def _slot_of(self, sequence_id: int) -> int:
        """The sequence's slot: its own, a free one, or that of whoever was not the last."""
        if sequence_id in self._owners:
            slot = self._owners.index(sequence_id)
        elif None in self._owners:
            slot = self._owners.index(None)
        else:
            slot = (self._last_slot + 1) % NUM_SLOTS
        self._owners[slot] = sequence_id
        self._last_slot = slot
        return slot

    def _empty(self, slot: int) -> None:
        self._context.remove(slot, 0)
        self._computed[slot].clear()


def draft_options(options: LoadOptions, weights: tuple[str, ...], context: int) -> LoadOptions:
    """How a draft is loaded beside a model that is loaded so."""
    return replace(
        options,
        weights=weights,
        num_cells=NUM_SLOTS * context,
        num_sequences=NUM_SLOTS,
        batch_size=min(BATCH_SIZE, options.batch_size),
    )


def has_same_vocabulary(one: Model, other: Model) -> bool:
    """Whether token ids mean the same to both; a few hundred are compared."""
    if one.num_vocab != other.num_vocab or one.end_token() != other.end_token():
        return False
    step = max(1, one.num_vocab // 300)
    return all(one.piece(token) == other.piece(token) for token in range(0, one.num_vocab, step))
