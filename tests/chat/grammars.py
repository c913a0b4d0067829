"""Shared words of the constraint tests: llguidance over bytes, as the engine uses it."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

import llguidance
from llguidance import LLMatcher, LLTokenizer

from runner.types import Constraint

ENDERS = b'"}],'


@cache
def byte_tokenizer() -> LLTokenizer:
    """One token per byte."""
    return LLTokenizer("byte")


def matcher(kind: str, grammar: str) -> LLMatcher:
    """A matcher at the beginning of the grammar; fails the test where it does not compile."""
    compiled = llguidance.grammar_from(kind, grammar)
    made = LLMatcher(byte_tokenizer(), compiled, log_level=0)
    assert not made.is_error(), made.get_error()
    return made


def accepts(constraint: Constraint, text: str) -> bool:
    """Whether the whole text satisfies the constraint's own grammar."""
    made = matcher(constraint.kind, constraint.grammar)
    tokens = list(text.encode())
    return made.try_consume_tokens(tokens) == len(tokens) and made.is_accepting()


def write_at_random(constraint: Constraint, rng: Random, max_bytes: int = 4000) -> str | None:
    """Text of random weights under the constraint; None when it did not come to an end."""
    made = matcher(constraint.kind, constraint.grammar)
    written = bytearray()
    for _ in range(max_bytes):
        allowed = [token for token in _allowed(made) if token < 256]
        if made.is_accepting() and (not allowed or rng.random() < 0.3):
            return written.decode()
        enders = [token for token in allowed if token in ENDERS]
        token = rng.choice(enders if enders and rng.random() < 0.5 else allowed)
        assert made.consume_token(token)
        written.append(token)
    return None


def _allowed(made: LLMatcher) -> list[int]:
    if made.is_stopped():
        return []
    return [token for token, bias in enumerate(made.compute_logit_bias()) if bias]


def calls_in(text: str) -> list[dict[str, Any]]:
    """The calls of a text that is nothing but call blocks."""
    blocks = text.split("<tool_call>\n")[1:]
    return [json.loads(block.split("\n</tool_call>")[0]) for block in blocks]
