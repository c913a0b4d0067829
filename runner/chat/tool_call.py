"""One `<tool_call>` block as events: id and name first, then the arguments as they are written.

Owns what may stand between the tags: `{"name": …, "arguments": {…}}` in any key order and in
near-valid JSON. Knows nothing of the text around it. Invariant: no text of the block ever comes
out as anything but a name or arguments; what cannot be read is counted as a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

from runner.types import ToolCallDelta

from .lenient_json import SPACE, LenientJson

CLOSING_TAG = "</tool_call>"
NAME_KEYS = frozenset({"name", "function"})
ARGUMENTS_KEYS = frozenset({"arguments", "parameters"})

Place = Literal["before", "key", "colon", "value", "after", "broken"]
Role = Literal["key", "name", "arguments", "quoted_arguments", "other"]


class CallReader:
    """Reads one block. `feed` returns None inside it, and at its end the text from the tag on."""

    def __init__(
        self, tags: tuple[str, ...], first_index: int, new_call_id: Callable[[], str]
    ) -> None:
        self._tags = tags
        self._index = first_index
        self._new_call_id = new_call_id
        self._held = ""
        self._events: list[ToolCallDelta] = []
        self._doubt: str | None = None  # raw text since a closing tag that stood in a string
        self.num_calls = 0
        self.num_faults = 0
        self._place: Place = "before"
        self._withheld: list[ToolCallDelta] = []  # events while in doubt
        self._start_object()

    def feed(self, text: str) -> str | None:
        """Take more text; returns the rest, which begins with a tag, once the block ended."""
        text = self._held + text
        self._held = ""
        at = 0
        while at < len(text):
            if text[at] == "<":
                tag = self._match_tag(text, at)
                if tag is None:
                    self._held = text[at:]
                    return None
                if tag and not self._is_in_string:
                    self._end_block()
                    return text[at:]
                if tag == CLOSING_TAG and self._doubt is None:
                    self._doubt = ""
            self._take(text[at])
            at += 1
            if self._place == "broken" and self._doubt is not None:
                return self._settle_doubt() + text[at:]
        return None

    def finish(self) -> str:
        """The text ended inside the block; returns what of it must be read as text after all."""
        if self._doubt is not None:
            self._break()
            return self._settle_doubt() + self._held
        if self._place not in ("after", "broken") and not self._is_announced:
            self.num_faults += 1
        return ""

    def _settle_doubt(self) -> str:
        """The string had no end: what follows the tag is no part of it."""
        rest, self._doubt = self._doubt or "", None
        self._withheld.clear()
        return rest

    def drain(self) -> list[ToolCallDelta]:
        """The events since the last time."""
        events, self._events = self._events, []
        return events

    @property
    def _is_in_string(self) -> bool:
        return self._place != "broken" and self._item is not None and self._item.is_in_string

    def _match_tag(self, text: str, at: int) -> str | None:
        """The tag that stands here, "" for none, None when more text has to tell."""
        for tag in self._tags:
            if text.startswith(tag, at):
                return tag
        rest = text[at:]
        return None if any(tag.startswith(rest) for tag in self._tags) else ""

    def _start_object(self) -> None:
        self._depth = 1
        self._item: LenientJson | None = None
        self._role: Role = "key"
        self._written = ""
        self._key = ""
        self._name = ""
        self._waiting = ""  # arguments that came before the name
        self._is_announced = False
        self._has_arguments = False

    def _take(self, char: str) -> None:
        if self._doubt is not None:
            self._doubt += char
        if self._item is not None:
            self._take_in_item(self._item, char)
        elif self._place in ("before", "after"):
            if char == "{":
                self._start_object()
                self._place = "key"
        elif self._place != "broken":
            self._take_between(char)

    def _take_between(self, char: str) -> None:
        """A character of the call object itself, between its keys and values."""
        if char in SPACE or (char == "," and self._place == "key"):
            return
        if self._place == "colon" and char != ":":
            self._break()
        elif self._place == "colon":
            self._place = "value"
        elif self._place == "key" and char == "}":
            self._end_object()
        elif self._place == "value" and char == "{" and self._key == "function":
            self._depth += 1
            self._place = "key"
        else:
            self._role = self._find_role(char)
            self._item, self._written = LenientJson(), ""
            self._take_in_item(self._item, char)

    def _find_role(self, char: str) -> Role:
        if self._place == "key":
            return "key"
        if self._key in NAME_KEYS:
            return "name"
        if self._key in ARGUMENTS_KEYS and not self._has_arguments:
            return "arguments" if char == "{" else "quoted_arguments"
        return "other"

    def _take_in_item(self, item: LenientJson, char: str) -> None:
        written = item.feed(char)
        if item.is_broken:
            self._break()
            return
        if self._role == "arguments":
            self._write_arguments(written)
        else:
            self._written += written
        if item.is_complete:
            self._end_item(item)
            if item.is_bare:
                self._take_again(char)

    def _take_again(self, char: str) -> None:
        if self._doubt:
            self._doubt = self._doubt[:-1]
        self._take(char)

    def _end_item(self, item: LenientJson) -> None:
        self._item = None
        text = _read_string(self._written)
        match self._role:
            case "key":
                self._key = self._written if text is None else text
                self._place = "colon"
                return
            case "name":
                self._end_name(text)
            case "quoted_arguments" if self._written != "null":
                self._end_quoted_arguments(text)
            case _:
                pass
        if self._place != "broken":
            self._place = "key"

    def _end_name(self, name: str | None) -> None:
        if not name:
            self._break()
        elif not self._name:
            self._name = name
            self._announce()

    def _end_quoted_arguments(self, value: str | None) -> None:
        """Arguments given as a string of JSON."""
        text = None if value is None else repair(value.strip() or "{}")
        if text is None or not text.startswith("{"):
            self._break()
        else:
            self._write_arguments(text)

    def _announce(self) -> None:
        self._is_announced = True
        self._emit(ToolCallDelta(self._index + self.num_calls, self._new_call_id(), self._name))
        self.num_calls += 1
        if self._waiting:
            self._write_arguments(self._waiting)

    def _write_arguments(self, text: str) -> None:
        if not text:
            return
        self._has_arguments = True
        if self._is_announced:
            self._emit(ToolCallDelta(self._index + self.num_calls - 1, arguments=text))
        else:
            self._waiting += text

    def _emit(self, event: ToolCallDelta) -> None:
        (self._events if self._doubt is None else self._withheld).append(event)

    def _end_object(self) -> None:
        self._depth -= 1
        if self._depth:
            return
        self._place = "after"
        if not self._is_announced:
            self.num_faults += 1
        elif not self._has_arguments:
            self._write_arguments("{}")

    def _end_block(self) -> None:
        """A tag outside any string: close what the model left open, if that is safe."""
        if self._place in ("key", "colon", "value") or self._item is not None:
            self._close_object()
        elif self._place == "before":
            self.num_faults += 1
        self._doubt = None
        self._events += self._withheld
        self._withheld.clear()

    def _close_object(self) -> None:
        item = self._item
        if item is not None and self._role in ("arguments", "other") and self._place == "value":
            self._write_arguments(item.close() if self._role == "arguments" else "")
            self._item = None
            self._place = "key"
        if self._place == "key" and self._item is None and not (item and item.is_broken):
            self._depth = 1
            self._end_object()
        else:
            self._break()

    def _break(self) -> None:
        """Give this block up: nothing more of it comes out."""
        self._place = "broken"
        self._item = None
        self.num_faults += 1


def _read_string(written: str) -> str | None:
    return str(json.loads(written)) if written.startswith('"') else None


def repair(text: str) -> str | None:
    """Near-valid JSON as valid JSON, or None when it cannot be read."""
    reader = LenientJson()
    written = ""
    for char in text.strip():
        if reader.is_complete:
            return None
        written += reader.feed(char)
        if reader.is_broken:
            return None
    if not reader.is_complete:
        written += reader.close()
    return None if reader.is_broken else written
