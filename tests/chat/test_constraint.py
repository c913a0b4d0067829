"""Constraints: the grammars compile, let the right text through and nothing else."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from llguidance import LLMatcher

from runner.chat.constraint import NO_FORCING, Wish, constrain
from runner.chat.parser import OutputRules
from runner.errors import InvalidRequestError
from runner.types import Constraint, ResponseFormat, Tool, ToolChoice

from .answers import read
from .grammars import accepts, byte_tokenizer, calls_in, matcher, write_at_random
from .prompts import ADD, NOW

CALL = '{"name": "add", "arguments": {"a": 1, "b": -2}}'
JSON = ResponseFormat("json_object")
REQUIRED = ToolChoice("required")
CLOSE = "\n</tool_call>"


def made(**wish: Any) -> Constraint:
    """The constraint, which must be there."""
    constraint = constrain(Wish(**wish))
    assert constraint is not None
    return constraint


def test_free_text_without_tools_is_not_constrained() -> None:
    assert constrain(Wish()) is None
    assert constrain(Wish(after_thinking=True)) is None


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        (CALL, True),
        ('{"name": "now", "arguments": {}}', True),
        ('{"name": "add", "arguments": {"a": 1}}', False),
        ('{"name": "add", "arguments": {"a": 1, "b": "2"}}', False),
        ('{"name": "add", "arguments": {"a": 1, "b": 2, "c": 3}}', False),
        ('{"name": "sub", "arguments": {}}', False),
        ('{"name": "now", "arguments": {"a": 1}}', False),
        ('{"arguments": {}, "name": "now"}', False),
        ('{"name": "now", "arguments": {}, "x": 1}', False),
        ('{"name":"now","arguments":{}}', False),
        ('{"name": "now"}', False),
    ],
)
def test_a_call_names_a_known_tool_and_satisfies_its_schema(text: str, is_right: bool) -> None:
    assert accepts(made(tools=(ADD, NOW)), text + CLOSE) is is_right


def test_with_auto_the_grammar_waits_for_the_opening_tag() -> None:
    constraint = made(tools=(ADD,))
    assert (constraint.trigger, constraint.prefix) == ("<tool_call>", "\n")
    assert accepts(constraint, CALL + CLOSE) and not accepts(constraint, CALL)
    assert constraint.repeat and not constraint.ends_answer
    single = made(tools=(ADD,), is_parallel=False)
    assert single.ends_answer and not single.repeat


def test_a_call_that_is_only_thought_of_does_not_end_the_answer() -> None:
    assert made(tools=(ADD,), after_thinking=True) == made(tools=(ADD,))
    single = made(tools=(ADD,), after_thinking=True, is_parallel=False)
    assert (single.trigger, single.ends_answer) == ("</think>", False)
    assert single.then == made(tools=(ADD,), is_parallel=False)
    assert accepts(single, "\n") and not accepts(single, "")


@pytest.mark.parametrize("after_thinking", [False, True])
def test_a_required_call_comes_first_and_more_may_follow(after_thinking: bool) -> None:
    constraint = made(tools=(ADD, NOW), tool_choice=REQUIRED, after_thinking=after_thinking)
    assert constraint.trigger == ("</think>" if after_thinking else None)
    assert constraint.prefix == ("\n" if after_thinking else "") + "<tool_call>\n"
    assert constraint.then == made(tools=(ADD, NOW)) and not constraint.ends_answer
    assert accepts(constraint, CALL + CLOSE)
    rules = OutputRules(has_tools=True, starts_in="reasoning" if after_thinking else "text")
    text = ("Hm.</think>" if after_thinking else "") + constraint.prefix + CALL + CLOSE
    assert read([text], rules).calls == [("add", '{"a": 1, "b": -2}')]


def test_a_single_required_call_ends_the_answer() -> None:
    constraint = made(tools=(ADD,), tool_choice=REQUIRED, is_parallel=False)
    assert constraint.ends_answer and constraint.then is None


def test_a_named_tool_is_the_only_one() -> None:
    constraint = made(tools=(ADD, NOW), tool_choice=ToolChoice("named", "now"))
    assert accepts(constraint, '{"name": "now", "arguments": {}}' + CLOSE)
    assert not accepts(constraint, CALL + CLOSE)


def test_references_inside_a_tools_schema_still_lead_somewhere() -> None:
    schema = {
        "properties": {"x": {"$ref": "#/$defs/X"}, "again": {"$ref": "#"}},
        "required": ["x"],
        "$defs": {"X": {"type": "integer", "minimum": 3}},
        "$id": "https://example.org/x",
    }
    constraint = made(tools=(NOW, Tool("f", "", schema)))
    assert accepts(constraint, '{"name": "f", "arguments": {"x": 3, "again": {"x": 4}}}' + CLOSE)
    assert not accepts(constraint, '{"name": "f", "arguments": {"x": 2}}' + CLOSE)


def test_unicode_names_and_constants_are_allowed() -> None:
    tool = Tool("wetter_für", "", {"properties": {"ört": {"enum": ["Köln", "北京"]}}})
    text = '{"name": "wetter_für", "arguments": {"ört": "北京"}}'
    assert accepts(made(tools=(tool,)), text + CLOSE)


def test_a_tool_that_takes_no_object_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        constrain(Wish(tools=(NOW, Tool("f", "", {"type": "string"}))))
    assert caught.value.param == "tools[1].function.parameters"


def test_json_mode_gives_any_object_and_ends_the_answer() -> None:
    constraint = made(response_format=JSON)
    assert accepts(constraint, '{"a": [1, {"b": null}], "ü": "x"}')
    assert not accepts(constraint, "[1]") and not accepts(constraint, "Sure: {}")
    assert constraint.ends_answer and constraint.trigger is None and constraint.prefix == ""
    later = made(response_format=JSON, after_thinking=True)
    assert (later.trigger, later.prefix) == ("</think>", "\n")


def test_a_json_schema_rules_the_whole_answer() -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "maxItems": 2}
    constraint = made(response_format=ResponseFormat("json_schema", schema))
    assert accepts(constraint, "[1, 2]")
    assert not accepts(constraint, "[1, 2, 3]") and not accepts(constraint, "[1,2]")
    with pytest.raises(InvalidRequestError, match="needs a schema"):
        constrain(Wish(response_format=ResponseFormat("json_schema")))


def test_tools_with_json_give_either_calls_or_the_document() -> None:
    schema = {"type": "object", "properties": {"z": {"type": "integer"}}, "required": ["z"]}
    wish = {"tools": (ADD, NOW), "response_format": ResponseFormat("json_schema", schema)}
    constraint = made(**wish)
    block = f"<tool_call>\n{CALL}\n</tool_call>"
    assert constraint.kind == "lark" and constraint.ends_answer
    assert accepts(constraint, '{"z": 1}')
    assert accepts(constraint, block) and accepts(constraint, f"{block}\n{block}")
    assert not accepts(constraint, "Hello") and not accepts(constraint, f'{block}\n{{"z": 1}}')
    single = made(**wish, is_parallel=False)
    assert accepts(single, block) and not accepts(single, f"{block}\n{block}")
    for tag in ('call_open: "<tool_call>"\n', 'call_close: "</tool_call>"\n'):
        assert tag in constraint.grammar  # where a tag is one token, the engine puts that there
    later = made(**wish, after_thinking=True)
    assert (later.trigger, later.prefix) == ("</think>", "\n")


def test_a_required_call_wins_over_the_response_format() -> None:
    wish = {"tools": (ADD,), "tool_choice": REQUIRED}
    assert made(**wish, response_format=JSON) == made(**wish)


GBNF = 'root ::= "yes" | "no" # ::='
LARK = 'start: "yes" | "no"'


@pytest.mark.parametrize(
    ("text", "kind"), [(GBNF, "gbnf"), (LARK, "lark"), (f'{LARK} | "a ::="', "lark")]
)
def test_a_grammar_is_told_by_its_notation(text: str, kind: str) -> None:
    constraint = made(response_format=ResponseFormat("grammar", grammar=text))
    lead = NO_FORCING if kind == "lark" else ""
    assert (constraint.kind, constraint.grammar) == (kind, lead + text)
    assert constraint.ends_answer
    if "yes" in text:
        assert accepts(constraint, "yes") and not accepts(constraint, "maybe")


def test_a_callers_grammar_forces_no_text_but_ours_do() -> None:
    """Text that is forced need not come to an end, and the search for its end cannot be stopped."""
    endless = made(response_format=ResponseFormat("grammar", grammar='start: W W\nW: "x"+'))
    matching = matcher(endless.kind, endless.grammar)
    assert matching.compute_ff_tokens() == []
    assert accepts(endless, "xx") is False  # the first W takes all: it never ends, nor hangs
    ours = made(tools=(ADD,), tool_choice=REQUIRED)
    assert matcher(ours.kind, ours.grammar).compute_ff_tokens()


def test_a_fault_in_a_grammar_is_placed_in_the_callers_own_lines() -> None:
    faulty = made(response_format=ResponseFormat("grammar", grammar="start: b\nb: c"))
    compiled = LLMatcher.grammar_from_lark(faulty.grammar)
    assert LLMatcher(byte_tokenizer(), compiled, log_level=0).get_error().startswith("at 2(")


def test_a_grammar_cannot_be_combined_with_tools() -> None:
    with pytest.raises(InvalidRequestError, match="cannot be combined"):
        constrain(Wish(tools=(ADD,), response_format=ResponseFormat("grammar", grammar=GBNF)))


@pytest.mark.parametrize("seed", range(6))
def test_random_weights_make_right_calls_only(seed: int) -> None:
    constraint = made(tools=(ADD, NOW), tool_choice=REQUIRED)
    text = write_at_random(constraint, Random(seed))
    assert text is not None
    call = json.loads(text.removesuffix(CLOSE))
    assert call["name"] in ("add", "now")
    rules = OutputRules(has_tools=True)
    answer = read(constraint.prefix + text, rules)
    assert [(name, json.loads(arguments)) for name, arguments in answer.calls] == [
        (call["name"], call["arguments"])
    ]
    assert answer.num_faults == 0


@pytest.mark.parametrize("seed", range(6))
def test_random_weights_with_tools_and_json_make_one_of_both(seed: int) -> None:
    constraint = made(tools=(NOW,), response_format=JSON)
    text = write_at_random(constraint, Random(seed))
    assert text is not None
    answer = read(text, OutputRules(has_tools=True, is_document=True))
    if text.startswith("<"):
        assert len(answer.calls) == len(calls_in(text)) > 0 and answer.text == ""
    else:
        assert isinstance(json.loads(answer.text), dict) and not answer.calls
