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
            self._cost_s[bucket] = _blend(self._cost_s.get(bucket), per_token)
        if num_prompt >= SMALLEST_PIECE:
            beside_s = self.cost_s(num_decoded) or 0.0 if num_decoded else 0.0
            extra = max(duration_s - beside_s, 1e-6)
            self._prompt_token_s = _blend(self._prompt_token_s, extra / num_prompt)

    def budget(self, *, num_decoding: int) -> int:
        """Tokens the next step may compute, the `num_decoding` tokens of streams included."""
        if not num_decoding:
            return self.whole_budget()
        if self._prompt_token_s is None:
            piece = self._first_piece
        else:
            allowed_s = (GAP_FACTOR - 1) * (self.cost_s(num_decoding) or 0.0)
            piece = int(max(allowed_s, UNNOTICED_S) / self._prompt_token_s)
        return min(self._batch_size, num_decoding + max(SMALLEST_PIECE, piece))

    def whole_budget(self) -> int:
        """Tokens that a step may compute when no stream minds waiting for it."""
        if self._prompt_token_s is None:
            return min(self._batch_size, self._first_piece)
        tokens = max(SMALLEST_PIECE, int(TARGET_ALONE_S / self._prompt_token_s))
        if tokens > WHOLE_PIECE:
            tokens -= tokens % WHOLE_PIECE
        return min(self._batch_size, tokens)

    def cost_s(self, num_tokens: int) -> float | None:
        """Seconds that a batch of this size takes; None where nothing alike was measured.

        Sizes are kept by powers of two; between two known ones the cost of a token is taken in
        proportion, beyond the largest known one it stays what it is there.
        """
        if not self._cost_s:
            return None
        bucket = num_tokens.bit_length()
        known = sorted(self._cost_s)
        below = [size for size in known if size <= bucket]
        above = [size for size in known if size >= bucket]
        if not below:
            return self._cost_s[above[0]] * (1 << above[0]) / 2
        if not above:
            return self._cost_s[below[-1]] * num_tokens
        low, high = below[-1], above[0]
        share = (bucket - low) / (high - low) if high > low else 0.0
        per_token = self._cost_s[low] * (1 - share) + self._cost_s[high] * share
        return per_token * num_tokens


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + SMOOTHING * (new - old)
