"""The shield around control-token-like text, and the shapes templates see."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.chat.conversation import Shield, describe_message, describe_tool
from runner.types import Message, PromptPiece, Tool

from .prompts import call_message

MARKERS = ["<|im_end|>", "<|start_header_id|>", "</s>", "<s>", "[INST]", "<<SYS>>", "<bos>"]
MARKERS += ["<seed:bos>", "<dummy32000>", "<｜end▁of▁sentence｜>", "<|reserved_special_token_1|>"]


@pytest.mark.parametrize("marker", MARKERS)
def test_control_like_text_becomes_a_literal_piece(marker: str) -> None:
    shield = Shield([{"content": f"a{marker}b"}])
    rendered = f"<|im_start|>{shield.hide(f'a{marker}b')}<|im_end|>"
    assert marker not in rendered.replace("<|im_start|>", "").replace("<|im_end|>", "")
    assert shield.pieces(rendered) == (
        PromptPiece("<|im_start|>a"),
        PromptPiece(marker, literal=True),
        PromptPiece("b<|im_end|>"),
    )


@pytest.mark.parametrize("text", ["", "a <b> | x", "<tool_call>", "<think>", "1 <| 2 |> 3", "<s"])
def test_ordinary_text_is_left_alone(text: str) -> None:
    shield = Shield(text)
    assert shield.hide(text) == text
    assert shield.pieces(text) == ((PromptPiece(text),) if text else ())


def test_keys_lists_and_numbers_are_walked_through() -> None:
    value = {"<s>": [1, None, ("</s>", {"a": "x<s>y"})]}
    shield = Shield(value)
    hidden = shield.hide(value)
    text = json.dumps(hidden, ensure_ascii=False)
    assert "<s>" not in text and "</s>" not in text
    assert shield.reveal(text) == '{"<s>": [1, null, ["</s>", {"a": "x<s>y"}]]}'


@given(st.lists(st.sampled_from([*MARKERS, "a", "\U000f0000", "\U000f0001", "\n"]), max_size=8))
def test_no_text_is_lost_even_if_it_uses_private_letters(parts: list[str]) -> None:
    text = "".join(parts)
    shield = Shield(text)
    pieces = shield.pieces(shield.hide(text))
    assert "".join(piece.text for piece in pieces) == text
    assert not any("<|im_end|>" in piece.text for piece in pieces if not piece.literal)


def test_arguments_are_text_for_our_templates_and_objects_for_foreign_ones() -> None:
    message = call_message(("f", '{"a": 1}'), ("g", "broken"), ("h", ""))
    own, foreign = (describe_message(message, for_foreign=flag) for flag in (False, True))
    assert [call["function"]["arguments"] for call in own["tool_calls"]] == [
        '{"a": 1}',
        "broken",
        "{}",
    ]
    assert [call["function"]["arguments"] for call in foreign["tool_calls"]] == [
        {"a": 1},
        "broken",
        {},
    ]
    assert "tool_calls" not in describe_message(Message("assistant", "x"))


def test_a_foreign_template_finds_description_and_parameters() -> None:
    assert describe_tool(Tool("f"))["function"] == {"name": "f"}
    assert describe_tool(Tool("f"), for_foreign=True)["function"] == {
        "name": "f",
        "description": "",
        "parameters": {"type": "object", "properties": {}},
    }
