"""Who computes what in the next step. Pure: knows sequences and cells, no llama.cpp, no clock.

One idea: each step spends a budget of tokens on pending tokens of whoever is next, decodes
first, then prompts in order of arrival. Sequences join and leave at any step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .prefix_cache import PrefixCache, common_prefix
from .sequence import Chunk, Sequence

WORTH_WAITING_FOR = 32  # tokens of a shared prompt that is being computed by another sequence
JUST_BEGUN = 8  # tokens of an answer; until then a stream may wait for others to begin


class Scheduler:
    """Waiting and running sequences over one prefix cache."""

    def __init__(self, cache: PrefixCache, *, num_running: int, context: int) -> None:
        self.cache = cache
        self.context = context
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._num_running = num_running
        self._fair_share = max(16, cache.num_cells // (4 * num_running))

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence; its prompt has to fit the context."""
        self.waiting.append(sequence)

    def find(self, sequence_id: int) -> Sequence | None:
        """The waiting or running sequence of that id."""
        for sequence in (*self.running, *self.waiting):
            if sequence.id == sequence_id:
                return sequence
        return None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.running and not self.waiting

    @property
    def num_decoding(self) -> int:
        """Pending tokens of sequences that are past their prompt."""
        return sum(sequence.num_pending for sequence in self.running if not sequence.is_prefilling)

    @property
    def may_begin_together(self) -> bool:
        """Whether prompts may be finished at the cost of a longer gap in the running streams.

        So it is where requests came in a burst: all streams have only begun, or more are still
        to begin than run.
        """
        decoding = [sequence for sequence in self.running if not sequence.is_prefilling]
        num_prefilling = len(self.running) - len(decoding)
        begun = [sequence for sequence in decoding if sequence.num_new >= JUST_BEGUN]
        return num_prefilling > 0 and (not begun or num_prefilling > len(decoding))

    def admit(self) -> list[Sequence]:
        """Let waiting sequences in, in order, while slots and cells last."""
        admitted: list[Sequence] = []
        passed_over: list[Sequence] = []
        while self.waiting and len(self.running) < self._num_running:
            sequence = self.waiting.popleft()
            if self._should_wait_for_prefix(sequence):
                passed_over.append(sequence)
            elif self._fits(sequence) and self._open(sequence):
                self.running.append(sequence)
                admitted.append(sequence)
            else:
                self.waiting.appendleft(sequence)
                break
        self.waiting.extendleft(reversed(passed_over))
        return admitted

    def plan(self, budget: int, whole: int = 0) -> tuple[list[Chunk], list[Sequence]]:
        """The chunks of the next step within `budget` tokens, and who found no cells.

        Up to `whole` tokens may be computed where that finishes a prompt. A sequence without
        cells gets no chunk, and the caller ends it; one at a time, since its cells may be enough
        for the others.
        """
        chunks: list[Chunk] = []
        starved: list[Sequence] = []
        decoding = [sequence for sequence in self.running if not sequence.is_prefilling]
        prefilling = [sequence for sequence in self.running if sequence.is_prefilling]
        for sequence in (*decoding, *prefilling):
            if sequence.num_drafts and sequence.num_pending > budget:
                sequence.drop_guesses()
            count = min(sequence.num_pending, budget)
            if sequence.is_prefilling and sequence.num_pending <= whole:
                count = sequence.num_pending
            if count <= 0:
                continue
            lease = sequence.lease
            assert lease is not None
            if not self.cache.grow(lease, count):
                if not starved and not (sequence.is_prefilling and chunks):
                    starved.append(sequence)
                continue
            budget = max(0, budget - count)
            whole -= count
            chunks.append(_chunk(sequence, count))
        return chunks, starved

    def complete(self, chunks: Iterable[Chunk]) -> None:
        """The chunks were computed: move the marks, and publish prompts for others to share."""
        for chunk in chunks:
            sequence = chunk.sequence
            was_prefilling = sequence.is_prefilling
            sequence.num_computed = chunk.stop
            if was_prefilling and sequence.use_cache and sequence.lease is not None:
                self.cache.commit(sequence.lease, sequence.tokens[: chunk.stop])

    def undo(self, chunks: Iterable[Chunk]) -> None:
        """The step was aborted: give the cells back that its chunks had taken."""
        for chunk in chunks:
            lease = chunk.sequence.lease
            if lease is not None:
                self.cache.shrink(lease, chunk.stop - chunk.start)

    def accept(self, sequence: Sequence, num_accepted: int, num_checked: int) -> None:
        """Of the checked guesses only the first ones stand: give back the cells of the others.

        The guesses are off the tokens by now, those that stand were appended anew.
        """
        num_wrong = num_checked - num_accepted
        sequence.num_computed -= num_wrong
        if num_wrong and sequence.lease is not None:
            self.cache.shrink(sequence.lease, num_wrong)

    def remove(self, sequence: Sequence) -> None:
        """A sequence ends, for whatever reason; what it computed stays cached for others."""
        sequence.drop_guesses()
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        if sequence.lease is not None:
            lease, sequence.lease = sequence.lease, None
            if sequence.use_cache:
                self.cache.commit(lease, sequence.tokens[: sequence.num_computed])
            self.cache.close(lease, keep=sequence.use_cache)

    def _should_wait_for_prefix(self, sequence: Sequence) -> bool:
        """Whether a running sequence is about to compute more of this prompt than is cached."""
        if not sequence.use_cache:
            return False
        cached = self.cache.match(sequence.tenant, sequence.tokens).num_tokens
        for other in self.running:
            if not (other.is_prefilling and other.use_cache and other.tenant == sequence.tenant):
                continue
            prompt = other.tokens[: other.num_prompt]
            coming = min(common_prefix(prompt, sequence.tokens, 0), len(sequence.tokens) - 1)
            if coming > cached + WORTH_WAITING_FOR:
                return True
        return False

    def _fits(self, sequence: Sequence) -> bool:
        """Whether prompt and a fair share of the output fit beside what the others may use."""
        if not self.running:
            return True
        match = self.cache.match(sequence.tenant, sequence.tokens)
        spoken_for = sum(self._reserve(other) for other in self.running)
        available = self.cache.num_free + self.cache.num_cached - match.num_unlocked
        return self._reserve(sequence) - match.num_tokens <= available - spoken_for

    def _reserve(self, sequence: Sequence) -> int:
        """Cells a sequence may still take: its pending tokens and a fair share of output."""
        share = min(sequence.max_new, self._fair_share)
        return sequence.num_pending + max(0, share - sequence.num_new)

    def _open(self, sequence: Sequence) -> bool:
        tenant = sequence.tenant if sequence.use_cache else f"\0private {sequence.id}"
        lease = self.cache.open(tenant, sequence.tokens, limit=len(sequence.tokens) - 1)
        if lease is None:
            return False
        sequence.lease = lease
        sequence.num_computed = sequence.num_cached = lease.depth
        return True


def _chunk(sequence: Sequence, count: int) -> Chunk:
    start = sequence.num_computed
    stop = start + count
    reaches_end = stop == len(sequence.tokens)
    return Chunk(sequence, start, stop, 1 + sequence.num_drafts if reaches_end else 0)
