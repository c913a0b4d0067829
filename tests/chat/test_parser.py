"""The output parser: channels, stop strings and markers, the same at any chunking."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.chat.parser import OutputParser, OutputRules
from runner.types import TextDelta, TokenLogprob, ToolCallDelta

from .answers import Answer, cut_everywhere, read

ENDS = ("<|im_end|>", "<|im_start|>")
PLAIN = OutputRules(ends=ENDS)
TOOLS = OutputRules(ends=ENDS, has_tools=True)
THINKING = OutputRules(ends=ENDS, has_tools=True, starts_in="reasoning")
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": [2, "x"]}}\n</tool_call>'
ADD = ("add", '{"a": 1, "b": [2, "x"]}')


def read_all_ways(text: str, rules: OutputRules) -> Answer:
    """The answer, after checking that no way of cutting the text changes it."""
    first, *others = [read(pieces, rules) for pieces in cut_everywhere(text)]
    for other in others:
        assert other == first
    return first


@pytest.mark.parametrize("text", ["", "Hello", "a < b <i> c", " two\n\nlines \n", "½ 🙂 中"])
def test_plain_text_comes_out_as_it_is(text: str) -> None:
    assert read_all_ways(text, PLAIN).text == text


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>\nWell.\n</think>\n\nYes.", "Yes.", "Well."),
        ("\n<think>Well.</think>Yes.", "Yes.", "Well."),
        ("<think></think>Yes.", "Yes.", ""),
        ("<think>\nno end", "", "no end"),
        ("<think>one</think>a<think>two</think>b", "ab", "onetwo"),
        ("stray </think> tag", "stray  tag", ""),
        ("<think>a <b> </ c</think>d", "d", "a <b> </ c"),
    ],
)
def test_thinking_is_split_from_the_answer(text: str, said: str, thought: str) -> None:
    answer = read_all_ways(text, PLAIN)
    assert (answer.text, answer.reasoning) == (said, thought)


def test_an_opened_thought_needs_no_tag() -> None:
    answer = read_all_ways("Well,\nyes.\n</think>\nYes.", THINKING)
    assert (answer.text, answer.reasoning) == ("Yes.", "Well,\nyes.")


def test_a_second_opening_tag_in_a_thought_is_dropped() -> None:
    assert read_all_ways("<think>\nWell.</think>Yes.", THINKING).reasoning == "Well."


@pytest.mark.parametrize(
    ("text", "said", "num_calls"),
    [
        (CALL, "", 1),
        (f"{CALL}\n{CALL}", "", 2),
        (f"I will.\n{CALL}\n", "I will.", 1),
        (f"{CALL}\n\nDone.", "Done.", 1),
        (f"{CALL}<|im_end|>\nnever", "", 1),
        (f"{CALL}{CALL}{CALL}", "", 3),
    ],
)
def test_calls_are_split_from_the_text(text: str, said: str, num_calls: int) -> None:
    answer = read_all_ways(text, TOOLS)
    assert (answer.text, answer.calls, answer.num_faults) == (said, [ADD] * num_calls, 0)
    assert answer.ids == [f"call_{index}" for index in range(num_calls)]


def test_a_call_after_thinking_is_a_call_and_one_inside_is_a_thought() -> None:
    answer = read_all_ways(f"maybe {CALL}?\n</think>\n{CALL}", THINKING)
    assert answer.calls == [ADD]
    assert answer.reasoning == f"maybe {CALL}?"


def test_without_tools_the_tags_vanish_and_nothing_else() -> None:
    answer = read_all_ways(CALL, PLAIN)
    assert not answer.calls
    assert json.loads(answer.text)["name"] == "add"


def test_stop_strings_match_visible_text_only() -> None:
    rules = OutputRules(stop=("\n", "arguments"), has_tools=True, starts_in="reasoning")
    answer = read_all_ways(f"a\nb\n</think>\n{CALL}\nSo\nnever", rules)
    assert (answer.text, answer.reasoning, answer.calls) == ("So", "a\nb", [ADD])
    assert answer.is_stopped


def test_raw_text_knows_no_tags_and_stops_anywhere() -> None:
    rules = OutputRules(stop=("</think>",), has_tags=False)
    assert read_all_ways("\n<think>x</think>y", rules).text == "\n<think>x"


@pytest.mark.parametrize("marker", ENDS)
def test_a_control_marker_ends_the_answer_in_every_channel(marker: str) -> None:
    assert read_all_ways(f"Yes.{marker}no", PLAIN).text == "Yes."
    assert read_all_ways(f"Well{marker}no", THINKING).reasoning == "Well"
    half_call = '<tool_call>\n{"name": "add", "arguments": {"a": 1'
    assert read_all_ways(f"{half_call}{marker}no", TOOLS).calls == [("add", '{"a": 1}')]


@pytest.mark.parametrize("half", ["<tool_ca", "<thi", "</thin", "<|im_en", "</tool_call", "<|"])
def test_half_a_marker_at_the_end_is_not_text(half: str) -> None:
    assert read_all_ways(f"Yes.{half}", TOOLS).text == "Yes."


def test_a_lone_angle_bracket_at_the_end_is_text() -> None:
    assert read_all_ways("1 <", PLAIN).text == "1 <"


def test_nothing_inside_a_json_document_is_a_marker() -> None:
    rules = OutputRules(ends=ENDS, has_tools=True, is_document=True)
    text = '{"a": "<think>", "b": "<tool_call>", "c": "<|im_end|>"}'
    assert read_all_ways(text, rules).text == text
    assert read_all_ways(f"<think>hm</think>\n{text}", rules).text == text
    assert read_all_ways(CALL, rules).calls == [ADD]


def test_text_comes_out_as_soon_as_it_is_certain() -> None:
    parser = OutputParser(TOOLS, lambda: "id")
    assert parser.feed("Hello") == [TextDelta("Hello")]
    assert parser.feed(" ") == []
    assert parser.feed("<") == []
    assert parser.feed("b") == [TextDelta(" <b")]


def test_arguments_stream_as_they_are_written() -> None:
    parser = OutputParser(TOOLS, lambda: "id")
    pieces = ["<tool_call>\n", '{"name": "add', '", ', '"arguments": {"a', '": "x', 'y"', "}}"]
    parts = []
    for piece in pieces:
        events = [event for event in parser.feed(piece) if isinstance(event, ToolCallDelta)]
        parts.append("".join(event.name or event.arguments for event in events))
    assert parts == ["", "", "add", '{"a', '": "x', 'y"', "}"]


def test_log_probabilities_follow_the_visible_text_only() -> None:
    rules = OutputRules(ends=ENDS, has_tools=True, stop=("END",))
    parser = OutputParser(rules, lambda: "id")
    pieces = ["<think>", "hm", "</think>", "\n", "Yes", ", ", "E", "x", "E", "ND", "no"]
    events = []
    for piece in pieces:
        logprob = TokenLogprob(piece, piece.encode(), -1.0)
        events += parser.feed(piece, (logprob,))
    events += parser.finish()
    spoken = [event for event in events if isinstance(event, TextDelta)]
    assert "".join(event.text for event in spoken) == "Yes, Ex"
    assert [item.token for event in spoken for item in event.logprobs] == ["Yes", ", ", "E", "x"]


MATERIAL = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "<tool_call>", "</tool_call>", "<|im_end|>", "<", "</", "<|", "\n"]
        + [CALL, "{", "}", '"', "'", "\\", ",", ":", '"name"', '"arguments": {', "STOP", "ST", " a"]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(MATERIAL, st.sampled_from([PLAIN, TOOLS, THINKING]), st.data())
def test_any_chunking_gives_the_same_answer(
    text: str, rules: OutputRules, data: st.DataObject
) -> None:
    rules = OutputRules(("STOP", "STAND"), rules.ends, rules.starts_in, True, rules.has_tools)
    whole = read([text], rules)
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert read(pieces, rules) == whole
    assert read(text, rules) == whole
    for leak in ("<think>", "</think>", "<tool_call>", "</tool_call>", "<|im_", "STOP"):
        assert leak not in whole.text
