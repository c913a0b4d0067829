"""How long steps take, and what follows from it. Pure: fed with measured times.

Beside running decodes a prompt is computed in pieces small enough that no stream's gap between
tokens grows much; alone it is computed in pieces that take a second or so, so that progress shows
even where a token is slow. The cost of a batch by its size is what tells whether checking drafts
pays.
"""

from __future__ import annotations

GAP_FACTOR = 2.2  # a mixed step may take this many times a plain decode step
UNNOTICED_S = 0.01  # a gap that long is nothing to anyone, however fast the model
TARGET_ALONE_S = 1.5
WHOLE_PIECE = 64  # llama.cpp computes multiples of it best
SMALLEST_PIECE = 8
TILE = 16  # llama.cpp computes so many tokens at once in less time than a few fewer
SMOOTHING = 0.3
LARGEST_KNOWN = 128  # above this, batches are prompts; below, each size has its own cost


class Pace:
    """Rolling times of decode steps, of one prompt token, and of small batches by size."""

    def __init__(self, *, batch_size: int, first_piece: int = 64) -> None:
        self._batch_size = batch_size
        self._first_piece = first_piece
        self._prompt_token_s: float | None = None
        self._cost_s: dict[int, float] = {}

    def record(self, *, num_decoded: int, num_prompt: int, duration_s: float) -> None:
        """One step computed so many tokens of streams (drafts too) and tokens of prompts."""
        num_tokens = num_decoded + num_prompt
        if 0 < num_tokens <= LARGEST_KNOWN:
            bucket = num_tokens.bit_length()
            per_token = duration_s / num_tokens
            self._cost_s[bucket] = blend(self._cost_s.get(bucket), per_token)
        if num_prompt >= SMALLEST_PIECE:
            beside_s = self.cost_s(num_decoded) or 0.0 if num_decoded else 0.0
            extra = max(duration_s - beside_s, 1e-6)
            self._prompt_token_s = blend(self._prompt_token_s, extra / num_prompt)

    def budget(self, *, num_decoding: int) -> int:
        """Tokens the next step may compute, the `num_decoding` tokens of streams included."""
        if not num_decoding:
            return self.whole_budget()
        if self._prompt_token_s is None:
            piece = self._first_piece
        else:
            allowed_s = (GAP_FACTOR - 1) * (self.cost_s(num_decoding) or 0.0)
            piece = int(max(allowed_s, UNNOTICED_S) / self._prompt_token_s)
        total = num_decoding + max(SMALLEST_PIECE, piece)
        return min(self._batch_size, max(total, TILE))

    def whole_budget(self) -> int:
        """Tokens that a step may compute when no stream minds waiting for it."""
        if self._prompt_token_s is None:
            return min(self._batch_size, self._first_piece)
        tokens = max(SMALLEST_PIECE, int(TARGET_ALONE_S / self._prompt_token_s))
        if tokens > WHOLE_PIECE:
            tokens -= tokens % WHOLE_PIECE
        return min(self._batch_size, tokens)

    def cost_s(self, num_tokens: int) -> float | None:
        """Seconds that a batch of this size takes; None where nothing was measured.

        Sizes are kept by powers of two. Where a size was never run, the least it could take is
        said, so that it is tried: no less than a smaller batch took, and for each token no less
        than in a larger one.
        """
        if not self._cost_s:
            return None
        bucket = num_tokens.bit_length()
        if bucket in self._cost_s:
            return self._cost_s[bucket] * num_tokens
        smaller = [known for known in self._cost_s if known < bucket]
        larger = [known for known in self._cost_s if known > bucket]
        floor_s = self._cost_s[max(smaller)] * (1 << (max(smaller) - 1)) if smaller else 0.0
        each_s = self._cost_s[min(larger)] if larger else 0.0
        return max(floor_s, each_s * num_tokens)


def blend(old: float | None, new: float) -> float:
    """The old value moved towards the new one; the new one where there is none yet."""
    return new if old is None else old + SMOOTHING * (new - old)
