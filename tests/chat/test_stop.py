"""Stop strings over a stream of pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.chat.stop import StopMatcher, TextRun, count_held

from .answers import cut_everywhere


def run(pieces: list[str], stop: tuple[str, ...]) -> tuple[str, str | None]:
    """The text before the stop string, and which one it was."""
    matcher = StopMatcher(stop)
    text = "".join(matcher.feed(piece) for piece in pieces)
    return text + matcher.flush(), matcher.matched


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("hello", (), ("hello", None)),
        ("hello", ("",), ("hello", None)),
        ("hello STOP x", ("STOP",), ("hello ", "STOP")),
        ("aab", ("ab",), ("a", "ab")),
        ("ababac", ("abac",), ("ab", "abac")),
        ("STO", ("STOP",), ("STO", None)),
        ("one\n\ntwo", ("\n\n", "\n"), ("one", "\n")),
        ("xyz", ("yz", "xyz"), ("", "xyz")),
        ("abcd", ("abcde", "bc"), ("a", "bc")),
        ("ü🙂!", ("🙂",), ("ü", "🙂")),
    ],
)
def test_the_first_string_to_be_completed_stops_the_text(
    text: str, stop: tuple[str, ...], expected: tuple[str, str | None]
) -> None:
    for pieces in cut_everywhere(text):
        assert run(pieces, stop) == expected


def test_nothing_comes_out_after_the_stop() -> None:
    matcher = StopMatcher(("x",))
    assert matcher.feed("ax") == "a"
    assert matcher.is_stopped
    assert matcher.feed("more") == ""


def test_text_is_held_back_no_longer_than_needed() -> None:
    matcher = StopMatcher(("stop",))
    assert [matcher.feed(piece) for piece in ("as", "t", "a", "st")] == ["a", "", "sta", ""]


@given(
    st.text("ab", max_size=24),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
    st.data(),
)
def test_any_chunking_gives_the_same_text(text: str, stop: list[str], data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    whole, matched = run([text], tuple(stop))
    assert run(pieces, tuple(stop)) == (whole, matched)
    assert not any(needle in whole for needle in stop)
    assert text.startswith(whole + (matched or ""))


@given(st.text("ab", max_size=8), st.lists(st.text("ab", max_size=4), max_size=3))
def test_what_is_held_is_the_longest_beginning_of_a_needle(text: str, needles: list[str]) -> None:
    beginnings = {needle[:size] for needle in needles for size in range(len(needle))}
    longest = max((len(part) for part in beginnings if text.endswith(part)), default=0)
    assert count_held(text, needles) == longest


def test_space_before_a_marker_is_dropped_and_kept_before_text() -> None:
    text_run = TextRun((), 0, skips_space=True, holds_space="always")
    assert [text_run.feed(piece) for piece in ("\n ", "a ", "b\n")] == ["", "a", " b"]
    assert text_run.end(at_marker=True) == ""
