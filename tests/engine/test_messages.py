"""Frames survive any chunking; words come back as they were sent."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.messages import (
    MAX_FRAME_BYTES,
    Cancel,
    FrameSplitter,
    Output,
    Outputs,
    Submit,
    decode_from_child,
    decode_from_parent,
    encode,
)
from runner.types import Constraint, PromptPiece, SamplingParams, TokenLogprob

SUBMIT = Submit(
    id=7,
    pieces=[PromptPiece("héllo", literal=True)],
    tokens=[],
    sampling=SamplingParams(temperature=0.5, logit_bias=(("12", -1.0),)),
    max_tokens=None,
    constraint=Constraint("lark", "start: x", then=Constraint("regex", "y")),
)
OUTPUTS = Outputs([Output(7, "hé", [1, 2], [TokenLogprob("h", b"h", -0.5, ())])])


def test_words_come_back_as_they_were_sent() -> None:
    assert decode_from_parent(encode(SUBMIT)[4:]) == SUBMIT
    assert decode_from_child(encode(OUTPUTS)[4:]) == OUTPUTS


@given(st.lists(st.integers(1, 60), max_size=60))
def test_any_chunking_gives_the_same_frames(sizes: list[int]) -> None:
    stream = b"".join(map(encode, (SUBMIT, Cancel(3), SUBMIT)))
    splitter, bodies = FrameSplitter(), []
    for size in [*sizes, len(stream)]:
        bodies += splitter.feed(stream[:size])
        stream = stream[size:]
    assert [decode_from_parent(body) for body in bodies] == [SUBMIT, Cancel(3), SUBMIT]


def test_impossible_length_is_refused() -> None:
    with pytest.raises(ValueError, match="not one of ours"):
        FrameSplitter().feed(struct.pack(">I", MAX_FRAME_BYTES + 1))
