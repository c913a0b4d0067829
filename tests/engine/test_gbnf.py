"""GBNF in Lark: the same texts as by llguidance's own converter, in a fraction of its time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from llguidance.gbnf_to_lark import gbnf_to_lark

from runner.engine.gbnf import HEADER, write_lark

BODIES = st.lists(
    st.sampled_from(['"a"', "[b-d]", "one", "two", "three", "(", ")", "|", "*", "{2,3}", "# x\n"]),
    max_size=8,
).map(" ".join)


def rules_of(lark: str) -> list[str]:
    """What is said, line by line, without the header and comments."""
    lines = (line for line in lark.splitlines() if not line.startswith(("//", "%")))
    return [line for line in lines if line.strip()]


@given(BODIES, BODIES, BODIES, BODIES)
def test_it_says_what_the_converter_says(root: str, one: str, two: str, three: str) -> None:
    text = f"root ::= {root}\none ::= {one}\ntwo ::= {two}\nthree ::= {three}\n"
    try:
        expected = gbnf_to_lark(text)
    except Exception as refusal:
        with pytest.raises(type(refusal)):
            write_lark(text)
    else:
        assert rules_of(write_lark(text)) == rules_of(expected)
        assert write_lark(text).startswith(HEADER)


def test_a_chain_of_rules_takes_no_longer_than_other_text() -> None:
    links = [f"r{i} ::= {'[a]' * 30} r{i + 1}" for i in range(998)]
    text = "\n".join(["root ::= r0", *links, 'r998 ::= "x"'])
    begun_s = time.process_time()
    lark = write_lark(text)
    assert time.process_time() - begun_s < 1
    assert 'R998: "x"' in lark


def test_nothing_is_forced() -> None:
    compiled = LLMatcher.grammar_from_lark(write_lark('root ::= w w\nw ::= "x"+'))
    assert LLMatcher(LLTokenizer("byte"), compiled, log_level=0).compute_ff_tokens() == []
