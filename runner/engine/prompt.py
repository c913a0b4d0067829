"""From prompt text to token ids that fit the context.

Owns how pieces are joined (text of a caller is never read as control tokens), where a BOS goes,
and what is left out when a prompt is too long and the caller allowed that. Invariant: text that
cannot fit is never tokenized whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from runner.errors import ContextLengthError
from runner.types import Overflow, PromptPiece

from .llama import Model

# Vocabularies whose tokens make up the whole text: others may drop or merge what they do not know.
FAITHFUL = ("gpt2", "llama")
EASY_BYTES = 16  # a token: text of no more is soon tokenized


class PromptReader:
    """Reads prompts in one model's vocabulary."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @cached_property
    def longest_bytes(self) -> int:
        """Of the longest token; without bound where tokens do not tell how long a text is."""
        if self._model.metadata("tokenizer.ggml.model") not in FAITHFUL:
            return sys.maxsize
        return max(len(self._model.piece(token)) for token in range(self._model.num_vocab))

    def tokenize(self, pieces: Sequence[PromptPiece], *, add_begin: bool) -> list[int]:
        """The ids of all pieces in order, after a BOS where the vocabulary wants one."""
        model = self._model
        tokens: list[int] = []
        for position, piece in enumerate(pieces):
            begin = model.begin_text()
            is_first = position == 0 and add_begin and not (begin and piece.text.startswith(begin))
            tokens += model.tokenize(piece.text, special=not piece.literal, first=is_first)
        return tokens

    def fit(self, pieces: list[PromptPiece], context: int, overflow: Overflow) -> list[PromptPiece]:
        """The pieces, without a middle that `fit_prompt` would leave out anyway.

        Raises:
            ContextLengthError: too long however its tokens fall, and nothing may be left out here.
        """
        num_bytes = sum(len(piece.text.encode("utf-8")) for piece in pieces)
        if num_bytes <= context * EASY_BYTES or num_bytes <= context * self.longest_bytes:
            return pieces
        if overflow != "truncate_middle":
            num_tokens = (num_bytes - 1) // self.longest_bytes
            raise ContextLengthError(num_tokens, context, has_more=True)
        return _ends(pieces, context * self.longest_bytes)


def _ends(pieces: list[PromptPiece], num_chars: int) -> list[PromptPiece]:
    """The first and the last so many characters; all, where these meet."""
    begins_at = sum(len(piece.text) for piece in pieces) - num_chars
    kept, at = [], 0
    for piece in pieces:
        head = piece.text[: max(0, num_chars - at)]
        tail = piece.text[max(len(head), begins_at - at) :]
        at += len(piece.text)
        kept += [replace(piece, text=text) for text in (head, tail) if text]
    return kept


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
