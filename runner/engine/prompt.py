"""From prompt text to token ids that fit the context.

Owns how pieces are joined (text of a caller is never read as control tokens), where a BOS goes,
and what is left out when a prompt is too long and the caller allowed that.
"""

from __future__ import annotations

from collections.abc import Sequence

from runner.errors import ContextLengthError
from runner.types import Overflow, PromptPiece

from .llama import Model


def tokenize_prompt(model: Model, pieces: Sequence[PromptPiece], *, add_begin: bool) -> list[int]:
    """The ids of all pieces in order, after a BOS where the vocabulary wants one."""
    tokens: list[int] = []
    for position, piece in enumerate(pieces):
        begin = model.begin_text()
        is_first = position == 0 and add_begin and not (begin and piece.text.startswith(begin))
        tokens += model.tokenize(piece.text, special=not piece.literal, first=is_first)
    return tokens


def fit_prompt(tokens: list[int], context: int, overflow: Overflow) -> list[int]:
    """The tokens, cut in the middle if they are too many and `overflow` says so.

    At least a quarter of the context stays free for the answer after a cut.

    Raises:
        ContextLengthError: too long, and nothing may be left out here.
    """
    if len(tokens) < context:
        return tokens
    if overflow != "truncate_middle":
        raise ContextLengthError(len(tokens), context)
    kept = max(2, context * 3 // 4)
    return tokens[: kept // 2] + tokens[len(tokens) - (kept - kept // 2) :]
