"""The event reader: any cut of the same bytes gives the same texts, within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.wire import MAX_EVENT_BYTES, OversizeError, SseReader

STREAM = (
    "\ufeffdata: one\r\n\r\n: OPENROUTER PROCESSING\n\n: \n\nevent: ping\nid: 4\nretry: 9\n\n"
    "data:two\n\ndata: thr\ndata: ee é😀\n\ndata: [DONE]\n"
).encode()
TEXTS = ["one", "two", "thr\nee é😀", "[DONE]"]


def read(pieces: list[bytes]) -> list[str]:
    reader = SseReader()
    texts = [text for piece in pieces for text in reader.feed(piece)]
    return [*texts, *reader.finish()]


def test_every_single_cut_gives_the_same_events() -> None:
    for at in range(len(STREAM) + 1):
        assert read([STREAM[:at], STREAM[at:]]) == TEXTS
    assert read([STREAM[at : at + 1] for at in range(len(STREAM))]) == TEXTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_chunking_gives_the_same_events(cuts: list[int]) -> None:
    places = sorted({0, len(STREAM), *cuts})
    assert read([STREAM[a:b] for a, b in zip(places, places[1:], strict=False)]) == TEXTS


@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_failing(data: bytes) -> None:
    assert all(isinstance(text, str) for text in read([data]))


@pytest.mark.parametrize("line", [b"data: ", b"", b": "])
def test_a_line_without_end_is_refused_before_it_fills_the_memory(line: bytes) -> None:
    reader = SseReader()
    with pytest.raises(OversizeError):
        for _ in range(3 * MAX_EVENT_BYTES // 65536):
            list(reader.feed(line + b"x" * 65536))


def test_many_data_lines_in_one_event_are_bounded_too() -> None:
    reader = SseReader()
    with pytest.raises(OversizeError):
        for _ in range(3 * MAX_EVENT_BYTES // 65536):
            list(reader.feed(b"data: " + b"x" * 65536 + b"\n"))
