"""How long steps take, and what follows from it. Pure: fed with measured times.

Beside running decodes a prompt is computed in pieces small enough that no stream's gap between
tokens grows much; alone it is computed in pieces that take a second or so, so that progress shows
even where a token is slow. The cost of a batch by its size is what tells whether checking drafts
pays.
"""

from __future__ import annotations

# In plain decode steps: what a mixed step is to take (machines are uneven, and 3 is promised), and
# what it may take where that ends a tile or tries a larger block.
GAP_FACTOR, GAP_LIMIT = 2.0, 2.8
UNNOTICED_S = 0.01  # a gap that long is nothing to anyone, however fast the model
TARGET_ALONE_S = 1.5
WHOLE_PIECE = 64  # llama.cpp computes multiples of it best
SMALLEST_PIECE = 4
GROWTH = 2  # from one piece beside streams to the next: what a token takes depends on how many
TILE, TILE_REST = 16, 3  # llama.cpp computes a tile in no more time than that many tokens fewer
BLOCK, BLOCK_STEP = 32, 1.65  # a token over a block of so many makes AMX take so many times as long
FIRST_SHARE = 0.5  # of a decode step: what a prompt token beside streams may take, until known
LEAST_SHARE = 0.1  # of a mixed step: what its prompt took at least, whatever was measured
SMOOTHING = 0.3
LARGEST_KNOWN = 128  # above this, batches are prompts; below, each size has its own cost


class Pace:
    """Rolling times of decode steps, of one prompt token, and of small batches by size."""

    def __init__(self, *, batch_size: int) -> None:
        self._batch_size = batch_size
        self._alone_s: float | None = None  # for one prompt token, in a step of mostly prompts
        self._beside_s: float | None = None  # the same, beside streams
        self._largest_alone = 0  # tokens of a step that says what one takes alone
        self._last_piece = SMALLEST_PIECE  # beside streams
        self._last_total, self._last_s = 0, 0.0  # of the step with that piece
        self._cost_s: dict[int, float] = {}

    def record(self, *, num_decoded: int, num_prompt: int, duration_s: float) -> None:
        """One step computed so many tokens of streams (drafts too) and tokens of prompts."""
        num_tokens = num_decoded + num_prompt
        if 0 < num_tokens <= LARGEST_KNOWN:
            bucket = num_tokens.bit_length()
            per_token = duration_s / num_tokens
            self._cost_s[bucket] = blend(self._cost_s.get(bucket), per_token)
        if num_prompt < SMALLEST_PIECE:
            return
        is_whole = num_prompt > GROWTH * self._last_piece + TILE_REST
        if not num_decoded or is_whole:
            self._record_alone(num_tokens, duration_s)
        else:
            extra_s = max(duration_s - self._plain_s(num_decoded), LEAST_SHARE * duration_s)
            self._beside_s = blend(self._beside_s, extra_s / num_prompt)
            self._last_piece = num_prompt
            self._last_total, self._last_s = num_tokens, duration_s

    def _record_alone(self, num_tokens: int, duration_s: float) -> None:
        """A token takes less in a large piece: smaller ones count only until one is known."""
        worth_knowing = min(WHOLE_PIECE, self.whole_budget())
        if num_tokens >= worth_knowing and self._largest_alone < worth_knowing:
            self._alone_s = None
        if num_tokens >= worth_knowing or self._largest_alone < worth_knowing:
            self._alone_s = blend(self._alone_s, duration_s / num_tokens)
        self._largest_alone = max(self._largest_alone, num_tokens)

    def budget(self, *, num_decoding: int) -> int:
        """Tokens the next step may compute, the `num_decoding` tokens of streams included.

        Where nothing is known yet the first piece is a small one, and what it took says more.
        """
        if not num_decoding:
            tokens = self.whole_budget()
            return tokens - tokens % WHOLE_PIECE if tokens > WHOLE_PIECE else tokens
        plain_s = self._plain_s(num_decoding)
        each_s = self._beside_s or FIRST_SHARE * plain_s
        allowed_s = max((GAP_FACTOR - 1) * plain_s, UNNOTICED_S)
        piece = round(allowed_s / each_s) if each_s else SMALLEST_PIECE
        piece = max(SMALLEST_PIECE, min(piece, GROWTH * self._last_piece))
        to_tile = -(num_decoding + piece) % TILE
        if to_tile <= TILE_REST and (piece + to_tile) * each_s <= (GAP_LIMIT - 1) * plain_s:
            piece += to_tile
        return min(self._batch_size, self._within_block(num_decoding, num_decoding + piece))

    def _within_block(self, num_decoding: int, total: int) -> int:
        """At most the last piece's block, or less if that took too long.

        More only if the block was full, and one more does not take long: by what pieces take, since
        one that was quick proves nothing.
        """
        plain_s = self._plain_s(num_decoding)
        limit_s = max(GAP_LIMIT * plain_s, UNNOTICED_S)
        least = num_decoding + SMALLEST_PIECE
        end = -(-max(self._last_total, least) // BLOCK) * BLOCK
        if self._last_s > limit_s and end > BLOCK:
            return min(total, max(end - BLOCK, least))
        usual_s = plain_s + (self._beside_s or 0.0) * self._last_piece
        is_full = end - self._last_total <= TILE_REST
        if is_full and max(self._last_s, usual_s) * BLOCK_STEP <= limit_s:
            return total
        return min(total, end)

    def whole_budget(self) -> int:
        """Tokens that a step may compute when no stream minds waiting for it."""
        if self._alone_s is None:
            return min(self._batch_size, WHOLE_PIECE)
        return min(self._batch_size, max(SMALLEST_PIECE, int(TARGET_ALONE_S / self._alone_s)))

    def _plain_s(self, num_decoding: int) -> float:
        """A step of streams only; nothing where none was measured."""
        return self.cost_s(num_decoding) or 0.0

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
