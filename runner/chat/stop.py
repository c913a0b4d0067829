"""Holding text back until it is certain: stop strings and markers over a stream of pieces.

Owns matching only; knows neither channels nor tokens. Invariant: however a text is cut into
pieces, what comes out in all is the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

SpaceRule = Literal["never", "at_start", "always"]


def count_held(text: str, needles: Iterable[str]) -> int:
    """How many characters at the end of `text` may still become one of the needles."""
    longest = 0
    for needle in needles:
        for size in range(min(len(needle) - 1, len(text)), longest, -1):
            if text.endswith(needle[:size]):
                longest = size
                break
    return longest


class StopMatcher:
    """Passes text through until a stop string is complete; the string itself never comes out.

    The first string to be completed wins; of two that end together, the longer one.
    """

    def __init__(self, stop: Iterable[str]) -> None:
        self._stop = tuple(needle for needle in stop if needle)
        self._held = ""
        self.matched: str | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a stop string was completed: nothing after it counts."""
        return self.matched is not None

    def feed(self, text: str) -> str:
        """Take more text; returns what is certain to stand before any stop string."""
        if self.is_stopped:
            return ""
        text = self._held + text
        found = [(text.find(needle), needle) for needle in self._stop]
        ends = [(start + len(needle), start, needle) for start, needle in found if start >= 0]
        if ends:
            _, start, self.matched = min(ends)
            self._held = ""
            return text[:start]
        num_certain = len(text) - count_held(text, self._stop)
        self._held = text[num_certain:]
        return text[:num_certain]

    def flush(self) -> str:
        """The text still held back; it is ordinary text once nothing follows."""
        held, self._held = self._held, ""
        return held


class TextRun:
    """One stretch of visible text between two markers, with its place in the stream.

    Space is held back where a marker that follows would make it meaningless: nowhere, before
    the first word, or after each. `position` is the offset in the whole stream up to which text
    has come out.
    """

    SPACE = " \t\r\n"

    def __init__(
        self, stop: Iterable[str], position: int, *, skips_space: bool, holds_space: SpaceRule
    ) -> None:
        self._matcher = StopMatcher(stop)
        self._skips_space = skips_space
        self._holds_space = holds_space
        self._space = ""
        self._has_text = False
        self.position = position

    @property
    def is_stopped(self) -> bool:
        """Whether one of the stop strings was completed."""
        return self._matcher.is_stopped

    def feed(self, text: str) -> str:
        """Take more text; returns what is certain."""
        if self._skips_space and not self._has_text:
            stripped = text.lstrip(self.SPACE)
            self.position += len(text) - len(stripped)
            text = stripped
        text = self._space + text
        body = text.rstrip(self.SPACE)
        self._has_text = self._has_text or bool(body)
        if self._is_holding():
            self._space = text[len(body) :]
            return self._matcher.feed(body)
        self._space = ""
        return self._matcher.feed(text)

    def _is_holding(self) -> bool:
        is_at_start = self._holds_space == "at_start" and not self._has_text
        return is_at_start or self._holds_space == "always"

    def end(self, *, at_marker: bool) -> str:
        """The text still held back; before a marker the space at its end is dropped."""
        space = "" if at_marker else self._space
        self._space = ""
        certain = self._matcher.feed(space)
        return certain if self.is_stopped else certain + self._matcher.flush()
