"""Tool-call pieces: any numbering, any cut, the same whole calls."""

from __future__ import annotations

import json
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.chunk import ToolPiece
from runner.hosted.tool_assembly import ToolAssembly

ARGUMENTS = json.dumps({"at": 'a "quoted" } { \\ place', "deep": [{"x": [1, {"y": "]"}]}]})


def assemble(pieces: list[ToolPiece]) -> tuple[list[tuple[str | None, str]], ToolAssembly]:
    numbers = count()
    assembly = ToolAssembly(lambda: f"new_{next(numbers)}")
    calls: dict[int, list[str | None]] = {}
    for piece in pieces:
        for delta in assembly.feed(piece):
            known = calls.setdefault(delta.index, [delta.name, ""])
            known[1] = (known[1] or "") + delta.arguments
    return [(name, text or "") for name, text in calls.values()], assembly


@given(
    st.lists(st.integers(0, len(ARGUMENTS)), max_size=8),
    st.sampled_from([0, 1, 7]),
    st.text(" \n", max_size=3),
)
def test_any_cut_and_any_first_index_gives_the_whole_call(
    cuts: list[int], index: int, space: str
) -> None:
    places = sorted({0, len(ARGUMENTS), *cuts})
    parts = [ARGUMENTS[a:b] for a, b in zip(places, places[1:], strict=False)]
    pieces = [ToolPiece(index, "c1", "look", "")]
    pieces += [ToolPiece(index, None, None, part) for part in (*parts, space)]
    calls, assembly = assemble(pieces)
    assert calls == [("look", ARGUMENTS)]
    assert assembly.is_whole


@given(st.integers(1, len(ARGUMENTS) - 1))
def test_arguments_that_stop_early_are_known_as_such(at: int) -> None:
    _, assembly = assemble([ToolPiece(0, "c1", "look", ARGUMENTS[:at])])
    assert not assembly.is_whole


def test_a_call_sent_twice_is_one_call() -> None:
    whole = ToolPiece(0, "c1", "look", ARGUMENTS)
    assert assemble([whole, whole])[0] == [("look", ARGUMENTS)]


def test_two_calls_on_one_index_are_told_apart_by_their_ids() -> None:
    first, second = (ToolPiece(0, name, "look", ARGUMENTS) for name in ("c1", "c2"))
    assert len(assemble([first, second])[0]) == 2


def test_calls_without_ids_or_indexes_get_both() -> None:
    pieces = [ToolPiece(None, None, "look", '{"a":'), ToolPiece(None, None, None, "1}")]
    calls, assembly = assemble([*pieces, ToolPiece(None, None, "hear", "{}")])
    assert calls == [("look", '{"a":1}'), ("hear", "{}")]
    assert assembly.num_calls == 2


def test_arguments_of_nothing_are_dropped() -> None:
    assert assemble([ToolPiece(0, None, None, '{"a":1}')])[0] == []
