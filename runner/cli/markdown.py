"""Streamed Markdown for a terminal: which part is finished, and what is safe to print.

Pure text in, text out. Invariant: however the text is cut up on its way, the same blocks come out,
and together they are the text.
"""

from __future__ import annotations

import re

FENCE = re.compile(r"\s*(`{3,}|~{3,})([^`]*)$")
_UNSAFE = [
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
]
_WITHOUT_CONTROLS = dict.fromkeys(_UNSAFE)


def printable(text: str) -> str:
    """The text without what would steer a terminal or turn the reading direction around."""
    return text.translate(_WITHOUT_CONTROLS)


class Blocks:
    """Cuts a stream of Markdown into blocks that later text cannot change any more.

    A block ends before a line at the left margin that follows an empty one, outside of fences.
    """

    def __init__(self) -> None:
        self._block: list[str] = []
        self._line = ""
        self._fence = ""
        self._is_after_blank = False

    @property
    def pending(self) -> str:
        """What is not finished yet."""
        return "".join(self._block) + self._line

    def feed(self, text: str) -> list[str]:
        """The blocks that this text completes."""
        self._line += text
        finished = []
        while "\n" in self._line:
            line, _, self._line = self._line.partition("\n")
            block = self._take(line + "\n")
            if block:
                finished.append(block)
        return finished

    def close(self) -> str:
        """The last block; the stream is over."""
        rest = self.pending
        self._block, self._line, self._fence, self._is_after_blank = [], "", "", False
        return rest

    def _take(self, line: str) -> str:
        finished = ""
        is_blank = not line.strip()
        if self._is_after_blank and not self._fence and not line[0].isspace():
            finished = "".join(self._block)
            self._block = []
        self._block.append(line)
        self._is_after_blank = is_blank
        self._note_fence(line)
        return finished

    def _note_fence(self, line: str) -> None:
        found = FENCE.match(line.rstrip())
        if found is None:
            return
        marks, rest = found[1], found[2]
        if not self._fence:
            self._fence = marks
        elif marks.startswith(self._fence) and not rest.strip():
            self._fence = ""
