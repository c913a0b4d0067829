"""Characters come whole, control tokens stay silent, tags are text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.engine.detokenizer import Detokenizer


class ByteVocabulary:
    """Token n is byte n; from 256 on, control tokens."""

    CONTROL = {256: b"<|im_end|>", 257: b"<think>", 258: b"</tool_call>"}

    def piece(self, token: int, *, special: bool = True) -> bytes:
        return self.CONTROL.get(token) or bytes([token])

    def attribute(self, token: int) -> str:
        return "control" if token >= 256 else "other"


@given(st.text(max_size=40))
def test_text_comes_out_as_it_went_in_and_never_half_a_character(text: str) -> None:
    detokenizer = Detokenizer(ByteVocabulary())
    pieces = [detokenizer.feed(byte) for byte in text.encode()]
    assert "".join(pieces) + detokenizer.finish() == text
    assert all("�" not in piece for piece in pieces) or "�" in text


@given(st.lists(st.integers(0, 255), max_size=40))
def test_broken_bytes_never_raise(tokens: list[int]) -> None:
    detokenizer = Detokenizer(ByteVocabulary())
    text = "".join(map(detokenizer.feed, tokens)) + detokenizer.finish()
    assert text == bytes(tokens).decode("utf-8", errors="replace")


def test_tags_are_visible_and_turn_markers_are_not() -> None:
    detokenizer = Detokenizer(ByteVocabulary())
    assert [detokenizer.feed(token) for token in (256, 257, 258)] == ["", "<think>", "</tool_call>"]
