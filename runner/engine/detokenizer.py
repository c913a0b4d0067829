"""Tokens to text as it comes, never half a character.

Owns the bytes that wait for the rest of their character. Control tokens are silent, except those
that look like XML tags (`<think>`, `<tool_call>`): these are text to whoever reads the answer.
"""

from __future__ import annotations

import codecs
import re
from typing import Protocol

_XML_TAG = re.compile(rb"</?[A-Za-z_][\w-]*>")


class Vocabulary(Protocol):
    """What is asked of the model's vocabulary."""

    def piece(self, token: int, *, special: bool = True) -> bytes:
        """The bytes a token stands for."""
        ...

    def attribute(self, token: int) -> str:
        """`control`, `unknown` or `other`."""
        ...


def visible_piece(vocabulary: Vocabulary, token: int) -> bytes:
    """The bytes a reader should see for one token."""
    piece = vocabulary.piece(token)
    if vocabulary.attribute(token) == "control" and not _XML_TAG.fullmatch(piece):
        return b""
    return piece


class Detokenizer:
    """One sequence's stream of characters."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def feed(self, token: int) -> str:
        """The characters that this token completes."""
        return self._decoder.decode(visible_piece(self._vocabulary, token))

    def finish(self) -> str:
        """What is left, with a replacement character for half a one."""
        return self._decoder.decode(b"", final=True)
