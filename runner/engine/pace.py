"""How many tokens one step may compute, from how long steps took. Pure: fed with measured times.

Beside running decodes a prompt is computed in pieces small enough that no stream's gap between
tokens grows much; alone it is computed in pieces that take under half a second, so that cancelling
and progress stay quick even where a token is slow.
"""

from __future__ import annotations

GAP_FACTOR = 2.2  # a mixed step may take this many times a plain decode step
TARGET_ALONE_S = 0.4
SMALLEST_PIECE = 8
SMOOTHING = 0.3


class Pace:
    """Rolling times of decode steps and of one prompt token."""

    def __init__(self, *, batch_size: int, first_piece: int = 64) -> None:
        self._batch_size = batch_size
        self._first_piece = first_piece
        self._decode_s: float | None = None
        self._prompt_token_s: float | None = None

    def record(self, *, num_decoded: int, num_prompt: int, duration_s: float) -> None:
        """One step computed so many single tokens of streams and tokens of prompts."""
        if num_prompt == 0 and num_decoded:
            self._decode_s = _blend(self._decode_s, duration_s)
        elif num_prompt >= SMALLEST_PIECE:
            extra = duration_s - (self._decode_s or 0.0 if num_decoded else 0.0)
            self._prompt_token_s = _blend(self._prompt_token_s, max(extra, 1e-6) / num_prompt)

    def budget(self, *, num_decoding: int) -> int:
        """Tokens the next step may compute, the decodes included."""
        if self._prompt_token_s is None:
            piece = self._first_piece
        elif num_decoding:
            allowed_s = (GAP_FACTOR - 1) * (self._decode_s or 0.0)
            piece = int(allowed_s / self._prompt_token_s)
        else:
            piece = int(TARGET_ALONE_S / self._prompt_token_s)
        return min(self._batch_size, num_decoding + max(SMALLEST_PIECE, piece))


def _blend(old: float | None, new: float) -> float:
    return new if old is None else old + SMOOTHING * (new - old)
