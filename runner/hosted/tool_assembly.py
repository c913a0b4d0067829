"""Native tool-call pieces, put together whatever their indexes and ids look like.

Owns which piece belongs to which call. Invariant: a call's arguments are never changed after
they form one complete JSON value, so repeated and trailing pieces do no harm, and a call that
never became complete is known as such.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from runner.types import ToolCallDelta

from .chunk import ToolPiece


@dataclass(slots=True)
class JsonScanner:
    """Watches JSON go by and knows when its outermost value has ended."""

    depth: int = 0
    is_complete: bool = False
    _in_string: bool = False
    _is_escaped: bool = False

    def feed(self, text: str) -> str:
        """The part of the text up to the end of the value."""
        for place, letter in enumerate(text):
            if self.is_complete:
                return text[:place]
            self._step(letter)
        return text

    def _step(self, letter: str) -> None:
        if self._in_string:
            if self._is_escaped:
                self._is_escaped = False
            elif letter == "\\":
                self._is_escaped = True
            elif letter == '"':
                self._in_string = False
        elif letter == '"':
            self._in_string = True
        elif letter in "{[":
            self.depth += 1
        elif letter in "}]":
            self.depth -= 1
            self.is_complete = self.depth <= 0


@dataclass(slots=True)
class _Call:
    index: int
    id: str | None
    scanner: JsonScanner = field(default_factory=JsonScanner)
    has_arguments: bool = False

    @property
    def is_whole(self) -> bool:
        return self.scanner.is_complete or not self.has_arguments


class ToolAssembly:
    """Feed it pieces; it yields deltas numbered from `first_index` in order of appearance."""

    def __init__(self, new_call_id: Callable[[], str], first_index: int = 0) -> None:
        self._new_call_id = new_call_id
        self._first_index = first_index
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}

    @property
    def num_calls(self) -> int:
        """How many calls were begun."""
        return len(self._calls)

    @property
    def is_whole(self) -> bool:
        """Whether every call's arguments are complete."""
        return all(call.is_whole for call in self._calls)

    def feed(self, piece: ToolPiece) -> Iterator[ToolCallDelta]:
        """The deltas of one piece."""
        call = self._find(piece)
        if call is None:
            if piece.name is None:
                return  # arguments of nothing
            call = self._begin(piece)
            yield ToolCallDelta(call.index, call.id, piece.name)
        text = call.scanner.feed(piece.arguments)
        if text:
            call.has_arguments = call.has_arguments or bool(text.strip())
            yield ToolCallDelta(call.index, arguments=text)

    def _find(self, piece: ToolPiece) -> _Call | None:
        """By id, else by index, else the latest; a new id or name at a used index is a new call."""
        if piece.id is not None:
            for call in self._calls:
                if call.id == piece.id:
                    return call
        if piece.index is None:
            is_new = piece.id is not None or piece.name is not None
            return None if is_new or not self._calls else self._calls[-1]
        known = self._by_index.get(piece.index)
        if known is None:
            return None
        is_other = piece.id is not None and piece.name is not None and known.has_arguments
        return None if is_other else known

    def _begin(self, piece: ToolPiece) -> _Call:
        call = _Call(self._first_index + len(self._calls), piece.id or self._new_call_id())
        self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        return call
