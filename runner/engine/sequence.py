"""A sequence: its tokens, and a mark up to where they are computed.

Plain state. Owns no policy and knows no llama.cpp. Invariant: `tokens[:num_computed]` are in the
KV cache, and everything behind the mark is pending, whatever put it there (prompt, sampled token,
forced text, draft).
"""

from __future__ import annotations

from dataclasses import dataclass

from .prefix_cache import Lease


@dataclass(slots=True, eq=False)
class Sequence:
    """One generation in flight. `num_drafts` of the last tokens are guesses to be checked."""

    id: int
    tokens: list[int]
    num_prompt: int
    max_new: int
    tenant: str = ""
    use_cache: bool = True
    num_computed: int = 0
    num_cached: int = 0
    num_drafts: int = 0
    lease: Lease | None = None

    @property
    def num_pending(self) -> int:
        """Tokens that still have to be computed."""
        return len(self.tokens) - self.num_computed

    @property
    def num_new(self) -> int:
        """Tokens that came after the prompt; guesses do not count."""
        return len(self.tokens) - self.num_prompt - self.num_drafts

    def guess(self, tokens: list[int]) -> None:
        """Append tokens that the next step is to check."""
        self.tokens += tokens
        self.num_drafts = len(tokens)

    def drop_guesses(self, count: int | None = None) -> list[int]:
        """Take the last guesses (all of them if no count is given) off again."""
        count = self.num_drafts if count is None else count
        start = len(self.tokens) - count
        dropped = self.tokens[start:]
        del self.tokens[start:]
        self.num_drafts -= count
        return dropped

    @property
    def is_prefilling(self) -> bool:
        """Whether part of the prompt is still to be computed."""
        return self.num_computed < self.num_prompt


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of pending tokens that one step computes, with logits for the last `num_outputs`."""

    sequence: Sequence
    start: int
    stop: int
    num_outputs: int

    @property
    def tokens(self) -> list[int]:
        """The token ids of the run."""
        return self.sequence.tokens[self.start : self.stop]
