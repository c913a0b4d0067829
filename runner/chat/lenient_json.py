"""Near-valid JSON in, valid JSON out, while it is being written.

Owns the repair of one JSON value: single quotes, Python's True/False/None, bare keys, trailing
and missing commas, raw line breaks in strings. Valid JSON comes out letter by letter as it went
in. Knows nothing of tools. Invariant: what came out is always the beginning of a valid value,
and the same however the text was cut.
"""

from __future__ import annotations

import json
import re
from typing import Literal

SPACE = " \t\r\n"
QUOTES = "\"'"
OPENERS = {"{": "}", "[": "]"}
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
ALMOST_NUMBER = re.compile(r"\+?(?P<sign>-?)(?P<whole>\d*)\.?(?P<part>\d*)")
LITERALS = {
    "true": "true",
    "false": "false",
    "null": "null",
    "True": "true",
    "False": "false",
    "None": "null",
    "undefined": "null",
    "NaN": "null",
    "Infinity": "null",
    "-Infinity": "null",
}
HEX_ESCAPES = {"u": 4, "x": 2, "U": 8}
RAW_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
MAX_DEPTH = 128

Expecting = Literal["value", "key", "colon", "more"]


class LenientString:
    """One quoted string, rewritten to double quotes; starts after the opening quote."""

    def __init__(self, quote: str) -> None:
        self._quote = quote
        self._escape = ""
        self.is_complete = False

    def feed(self, char: str) -> str:
        """Take one character; returns the JSON text it becomes."""
        if self._escape:
            return self._feed_escape(char)
        if char == "\\":
            self._escape = char
            return ""
        if char == self._quote:
            self.is_complete = True
            return '"'
        return _escape_raw(char)

    def _feed_escape(self, char: str) -> str:
        escape = self._escape + char
        if len(escape) == 2:
            if char in HEX_ESCAPES:
                self._escape = escape
                return ""
            self._escape = ""
            return _rewrite_escape(char)
        if char not in "0123456789abcdefABCDEF":
            self._escape = ""
            return "\\\\" + escape[1:-1] + self.feed(char)
        is_whole = len(escape) == 2 + HEX_ESCAPES[escape[1]]
        self._escape = "" if is_whole else escape
        return _rewrite_hex(escape[1], escape[2:]) if is_whole else ""


def _escape_raw(char: str) -> str:
    if char == '"':
        return '\\"'
    if char < " ":
        return RAW_ESCAPES.get(char) or f"\\u{ord(char):04x}"
    return char


def _rewrite_hex(kind: str, digits: str) -> str:
    if kind == "U":
        return json.dumps(chr(min(int(digits, 16), 0x10FFFF)))[1:-1]
    return "\\u" + digits.rjust(4, "0")


def _rewrite_escape(char: str) -> str:
    if char in '"\\/bfnrt':
        return "\\" + char
    if char == "'":
        return char
    if char == "\n":
        return ""
    return "\\\\" + _escape_raw(char)


class LenientJson:
    """One JSON value, taken character by character.

    `feed` returns the valid text that became certain. Nothing may be fed once `is_complete`; a
    value that was a bare number or word (`is_bare`) is only complete at the character after it,
    which is then not part of the value and still to be read.
    """

    def __init__(self) -> None:
        self._stack: list[str] = []
        self._expecting: Expecting = "value"
        self._string: LenientString | None = None
        self._word = ""
        self._gap = ""  # a comma and space that come out only before another member
        self.is_complete = False
        self.is_bare = False
        self.is_broken = False

    @property
    def is_in_string(self) -> bool:
        """Whether the next character belongs to a quoted string."""
        return self._string is not None

    def feed(self, char: str) -> str:
        """Take one character; returns the JSON text that is certain by now."""
        if self._string is not None:
            return self._feed_string(self._string, char)
        if self._is_word_part(char):
            self._word += char
            return ""
        written = self._end_word()
        if self.is_complete or self.is_broken:
            return written
        return written + self._feed_structure(char)

    def close(self) -> str:
        """What completes the value when the text ended outside a string, else it is broken."""
        written = self._end_word()
        if self._string is not None or self._expecting == "colon" or self._lacks_value():
            self.is_broken = True
        if self.is_broken:
            return ""
        written += "".join(reversed(self._stack))
        self._stack.clear()
        self.is_complete = True
        return written

    def _lacks_value(self) -> bool:
        is_due = self._expecting == "value" and not self.is_complete and not self._gap
        return is_due and self._stack[-1:] != ["]"]

    def _is_word_part(self, char: str) -> bool:
        return char not in SPACE and char not in "{}[]:,<" and char not in QUOTES

    def _feed_string(self, string: LenientString, char: str) -> str:
        written = string.feed(char)
        if string.is_complete:
            self._string = None
            self._end_item()
        return written

    def _feed_structure(self, char: str) -> str:
        if char in SPACE:
            return self._feed_space(char)
        if char in QUOTES:
            return self._start_item() + self._open_string(char)
        if char in OPENERS:
            return self._open(char)
        if char in "}]":
            return self._close_one(char)
        return self._separate(char)

    def _feed_space(self, char: str) -> str:
        if self._gap:
            self._gap += char
            return ""
        return char if self._stack else ""

    def _open_string(self, quote: str) -> str:
        if self.is_broken:
            return ""
        self._string = LenientString(quote)
        return '"'

    def _open(self, char: str) -> str:
        written = self._start_item()
        if self.is_broken or self._expecting == "key" or len(self._stack) >= MAX_DEPTH:
            self.is_broken = True
            return ""
        self._stack.append(OPENERS[char])
        self._expecting = "key" if char == "{" else "value"
        return written + char

    def _close_one(self, char: str) -> str:
        ends_early = self._expecting == "colon" or (
            self._expecting == "value" and self._stack[-1:] == ["}"]
        )
        if not self._stack or self._stack[-1] != char or ends_early:
            self.is_broken = True
            return ""
        self._gap = ""
        self._stack.pop()
        self._expecting = "value"
        self._end_item()
        return char

    def _separate(self, char: str) -> str:
        if char == ":" and self._expecting == "colon":
            self._expecting = "value"
            return char
        if char == "," and self._expecting == "more":
            self._gap = ","
            self._expecting = "key" if self._stack[-1] == "}" else "value"
            return ""
        self.is_broken = True
        return ""

    def _start_item(self) -> str:
        """Before a key or value: the comma that is due, also one that was forgotten."""
        if self._expecting == "more":
            self._expecting = "key" if self._stack[-1] == "}" else "value"
            return ", "
        if self._expecting == "colon":
            self.is_broken = True
        gap, self._gap = self._gap, ""
        return gap

    def _end_item(self) -> None:
        if self._expecting == "key":
            self._expecting = "colon"
        elif self._stack:
            self._expecting = "more"
        else:
            self.is_complete = True

    def _end_word(self) -> str:
        if not self._word:
            return ""
        word, self._word = self._word, ""
        written = self._start_item()
        if self.is_broken:
            return ""
        is_key = self._expecting == "key"
        self._end_item()
        self.is_bare = self.is_complete
        return written + (json.dumps(word, ensure_ascii=False) if is_key else _rewrite_word(word))


def _rewrite_word(word: str) -> str:
    if word in LITERALS:
        return LITERALS[word]
    if NUMBER.fullmatch(word):
        return word
    almost = ALMOST_NUMBER.fullmatch(word)
    if almost and almost["whole"] + almost["part"]:
        part = f".{almost['part']}" if almost["part"] else ""
        return almost["sign"] + (almost["whole"].lstrip("0") or "0") + part
    return json.dumps(word, ensure_ascii=False)
