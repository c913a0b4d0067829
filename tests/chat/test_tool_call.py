"""One `<tool_call>` block, written well and written badly."""

from __future__ import annotations

import json

import pytest

from runner.chat.parser import OutputRules

from .answers import Answer, cut_everywhere, read

RULES = OutputRules(ends=("<|im_end|>",), has_tools=True)


def read_block(inside: str, after: str = "</tool_call>") -> Answer:
    """What comes of a block, after checking that no cutting changes it."""
    first, *others = [read(cut, RULES) for cut in cut_everywhere(f"<tool_call>{inside}{after}")]
    assert all(other == first for other in others)
    return first


def only_call(answer: Answer) -> tuple[str, object]:
    """The one call, with its arguments read."""
    assert (len(answer.calls), answer.text, answer.num_faults) == (1, "", 0)
    name, arguments = answer.calls[0]
    return name, json.loads(arguments)


@pytest.mark.parametrize(
    "inside",
    [
        '\n{"name": "f", "arguments": {"a": 1}}\n',
        '{"name":"f","arguments":{"a":1}}',
        '\n{"arguments": {"a": 1}, "name": "f"}\n',
        "\n{'arguments': {'a': 1}, 'name': 'f'}\n",
        "\n{'name': 'f', 'arguments': {'a': 1,},}\n",
        "{name: 'f', arguments: {a: 1}}",
        '{"name": "f", "parameters": {"a": 1}}',
        '{"id": "x", "type": "function", "function": {"name": "f", "arguments": {"a": 1}}}',
        '{"function": "f", "arguments": {"a": 1}}',
        '{"name": "f", "arguments": "{\\"a\\": 1}"}',
        "{'name': 'f', 'arguments': '{\"a\": 1}'}",
        '```json\n{"name": "f", "arguments": {"a": 1}}\n```',
        '{"name": "f", "arguments": {"a": 1}',
        '{"name": "f", "arguments": {"a": 1',
        '{"name": "f", "arguments": {"a": 1}}}',
        '{"name": "f", "arguments": {"a": 1}, "name": "g", "arguments": {"b": 2}}',
        '{"name": "f", "note": ["<b>", {"x": 2}], "arguments": {"a": 1}}',
    ],
)
def test_every_way_to_write_a_call_is_understood(inside: str) -> None:
    assert only_call(read_block(inside)) == ("f", {"a": 1})


@pytest.mark.parametrize(
    "inside",
    ['{"name": "f"}', '{"name": "f", "arguments": {}}', '{"name": "f", "arguments": null}']
    + ['{"name": "f", "arguments": ""}', '{"arguments": None, "name": "f"}'],
)
def test_no_arguments_are_an_empty_object(inside: str) -> None:
    assert only_call(read_block(inside)) == ("f", {})


def test_several_calls_in_one_block_are_several_calls() -> None:
    answer = read_block('[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"a": 1}}]')
    assert answer.calls == [("f", "{}"), ("g", '{"a": 1}')]


def test_unicode_and_escapes_arrive_unchanged() -> None:
    value = {"ü": '½ 🙂 "q" \\ \n <b> </b> <tool> {', "e": ["中", -1.5e3, True, None]}
    for is_ascii in (True, False):
        text = json.dumps({"name": "f", "arguments": value}, ensure_ascii=is_ascii)
        assert only_call(read_block(text)) == ("f", value)


def test_a_closing_tag_inside_a_string_is_part_of_the_string() -> None:
    value = {"a": "x</tool_call>y<tool_call>", "b": "</tool_call>"}
    text = json.dumps({"name": "f", "arguments": value})
    assert only_call(read_block(f"\n{text}\n", "</tool_call>\nafter".removesuffix("after"))) == (
        "f",
        value,
    )


def test_a_string_that_never_ends_is_a_fault_and_what_follows_is_read() -> None:
    good = '<tool_call>{"name": "g", "arguments": {"b": 2}}</tool_call>'
    answer = read_block('{"name": "f", "arguments": {"a": "x}}', "\n</tool_call> And")
    assert (answer.text, answer.num_faults) == ("And", 1)
    assert answer.calls == [("f", '{"a": "x}}\\n')]
    answer = read_block('{"name": "f", "arguments": {"a": "x', f"</tool_call>{good}")
    assert answer.num_faults == 1 and answer.calls[-1] == ("g", '{"b": 2}')


@pytest.mark.parametrize(
    "inside",
    [
        "",
        "\n",
        "garbage",
        "<b>",
        "[]",
        "{}",
        '"name"',
        '{"arguments": {"a": 1}}',
        '{"name": 5}',
        '{"name": ""}',
        '{"name": ["f"]}',
        '{"name" "f"}',
        '{"name": "f',
        '{"name"',
        "{'a': {]",
    ],
)
def test_what_is_no_call_is_a_fault_and_shows_nothing(inside: str) -> None:
    answer = read_block(inside)
    assert (answer.text, answer.calls, answer.num_faults) == ("", [], 1)


def test_a_number_of_any_length_is_no_name() -> None:
    text = '<tool_call>{"name": ' + "1" * 5000 + "}</tool_call>"
    assert read([text], RULES).num_faults == 1


def test_broken_arguments_stay_broken_and_are_counted() -> None:
    """Arguments that look whole but are not could make a caller do the wrong thing."""
    answer = read_block('{"name": "f", "arguments": {"path": "/a", [1]: 2}}')
    assert answer.num_faults == 1
    with pytest.raises(ValueError):
        json.loads(answer.calls[0][1])


@pytest.mark.parametrize(
    "inside", ['{"name": "f", "arguments": [1]}', '{"name": "f", "arguments": 5}']
)
def test_arguments_that_are_no_object_are_a_fault(inside: str) -> None:
    assert read_block(inside).num_faults == 1


def test_a_cut_off_answer_keeps_what_was_written() -> None:
    answer = read_block('{"name": "f", "arguments": {"a": [1, 2', "")
    assert (answer.calls, answer.num_faults) == ([("f", '{"a": [1')], 0)
    assert read_block('{"na', "").num_faults == 1


def test_a_forgotten_closing_tag_before_the_next_call_is_no_harm() -> None:
    answer = read_block('{"name": "f", "arguments": {}}\n', '<tool_call>{"name": "g"}</tool_call>')
    assert answer.calls == [("f", "{}"), ("g", "{}")]
    assert answer.num_faults == 0
