"""Near-valid JSON becomes valid, and valid JSON stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.chat.lenient_json import LenientJson
from runner.chat.tool_call import repair

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
CONTAINERS = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(), VALUES, max_size=4)


@settings(max_examples=80, deadline=None)
@given(CONTAINERS, st.booleans(), st.sampled_from([None, 2]))
def test_valid_json_comes_out_as_it_went_in(
    value: object, is_ascii: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    repaired = repair(text)
    assert repaired is not None and json.loads(repaired) == value
    assert repaired.replace("\x7f", "") == text.replace("\x7f", "")


@settings(max_examples=80, deadline=None)
@given(CONTAINERS)
def test_python_literals_become_json(value: object) -> None:
    repaired = repair(repr(value))
    assert repaired is not None
    assert json.loads(repaired) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{'a': True, 'b': None}", {"a": True, "b": None}),
        ('{"a": 1,}', {"a": 1}),
        ("[1, 2, ]", [1, 2]),
        ('{a: 1, b_c: "x"}', {"a": 1, "b_c": "x"}),
        ('{"a": yes}', {"a": "yes"}),
        ("{'it': 'don\\'t \"shout\"'}", {"it": 'don\'t "shout"'}),
        ('{"a": "two\nlines\tand\x01"}', {"a": "two\nlines\tand\x01"}),
        (r'{"a": "\d+\w \x41 \u00e4"}', {"a": r"\d+\w A ä"}),
        (r'{"a": "\u12 \xZ"}', {"a": r"\u12 \xZ"}),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}),
        ("[.5, +3, 007, 1., NaN, -Infinity]", [0.5, 3, 7, 1, None, None]),
        ("[-.5, -00.50, +, -, ., 1e5, 1.5E-3]", [-0.5, -0.5, "+", "-", ".", 1e5, 1.5e-3]),
        ('{"a": {"b": [1, {"c": 2', {"a": {"b": [1, {"c": 2}]}}),
        ('{"a": 1, ', {"a": 1}),
        ("{", {}),
        ("{}", {}),
        ("[ ]", []),
    ],
)
def test_common_faults_are_repaired(text: str, value: object) -> None:
    repaired = repair(text)
    assert repaired is not None
    assert json.loads(repaired) == value


@pytest.mark.parametrize(
    "text",
    ["", "}", "{]", '{"a"', '{"a":', '{"a":}', "{{}}", "[1,,2]", '{"a": "open', "{1: 2} 3", "<a>"]
    + ['{"a": 1: 2}', "{: 1}", "{,}", "[" * 200, '{"a" 1}'],
)
def test_what_cannot_be_told_is_refused(text: str) -> None:
    assert repair(text) is None


@settings(max_examples=200, deadline=None)
@given(st.text("{}[]:,'\"\\ a1eu\n", max_size=16))
def test_whatever_comes_in_only_valid_json_comes_out(text: str) -> None:
    repaired = repair(text)
    if repaired is not None:
        json.loads(repaired)


def test_numbers_of_any_length_are_left_alone() -> None:
    assert repair("[+" + "1" * 6000 + "]") == "[" + "1" * 6000 + "]"


def test_text_comes_out_while_it_is_written() -> None:
    reader = LenientJson()
    seen = [reader.feed(char) for char in '{"a": [12, tru']
    assert seen == ["{", '"', "a", '"', ":", " ", "[", "", "", "12", "", "", "", ""]
