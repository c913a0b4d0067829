"""Constrained output: which tokens are allowed next, and which need no model at all.

Owns llguidance. A guide follows one sequence: it waits for its trigger, forces its prefix, rules
every token until the grammar is satisfied, and hands over. Invariant: no grammar hangs or kills
the engine; what is too large or too slow becomes an error.
"""

from __future__ import annotations

import os
from typing import Literal

import llguidance
import llguidance.llamacpp
import numpy as np

from runner.errors import InvalidRequestError
from runner.types import Constraint

from .llama import Logits, Model

# llguidance counts work as fuel, which bounds a mask but not every lexer: what that takes is
# bounded by `runner.chat.grammar` and `runner.chat.schema`, before a grammar comes here.
LIMITS = llguidance.LLParserLimits(verbose_errors=False)
TAG_RULES = {"call_open": "<tool_call>", "call_close": "</tool_call>"}

Phase = Literal["watching", "ruling", "free", "over"]


class GuideError(Exception):
    """The grammar could not be followed any further within its limits."""


class GrammarCompiler:
    """Grammars over one model's vocabulary, which is read when the first one is asked for."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._tokenizer: llguidance.LLTokenizer | None = None

    def _prepare(self) -> llguidance.LLTokenizer:
        """The vocabulary as llguidance sees it; under a second and 40 MB for 128k tokens, once."""
        if self._tokenizer is None:
            # An error under a chain of rules would be described from the whole stack, at each link.
            os.environ.setdefault("RUST_LIB_BACKTRACE", "0")
            ends = list(self.model.end_tokens)
            self._tokenizer = llguidance.llamacpp.lltokenizer_from_vocab(
                self.model.vocab, eos_token=ends or None
            )
        return self._tokenizer

    def compile(self, constraint: Constraint) -> llguidance.LLMatcher:
        """A matcher at the start of the grammar. Raises InvalidRequestError."""
        tokenizer = self._prepare()
        try:
            grammar = self._grammar(constraint)
            matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
        except Exception as error:  # the GBNF reader raises many kinds, even plain ones
            raise _refusal(constraint, str(error)) from None
        if matcher.is_error():
            raise _refusal(constraint, matcher.get_error())
        return matcher

    def _grammar(self, constraint: Constraint) -> str:
        text = constraint.grammar
        match constraint.kind:
            case "json_schema":
                return llguidance.LLMatcher.grammar_from_json_schema(text)
            case "regex":
                return llguidance.LLMatcher.grammar_from_regex(text)
            case "gbnf":
                from .gbnf import write_lark

                return llguidance.LLMatcher.grammar_from_lark(write_lark(text))
            case "lark":
                return llguidance.LLMatcher.grammar_from_lark(self._with_tag_tokens(text))

    def _with_tag_tokens(self, lark: str) -> str:
        """Where a tag is one token of the vocabulary, its rule stands for that token."""
        for rule, tag in TAG_RULES.items():
            if len(self.model.tokenize(tag, special=True)) == 1:
                lark = lark.replace(f'{rule}: "{tag}"', f"{rule}: {tag}")
        return lark


def _refusal(constraint: Constraint, reason: str) -> InvalidRequestError:
    param = "grammar" if constraint.kind in ("gbnf", "lark", "regex") else "response_format"
    first_line = reason.strip().splitlines()[0] if reason.strip() else "it cannot be compiled"
    return InvalidRequestError(
        f"the grammar or schema cannot be used: {first_line[:300]}", param=param
    )


class Guide:
    """One sequence's way through its constraints."""

    def __init__(self, compiler: GrammarCompiler, constraint: Constraint) -> None:
        self._compiler = compiler
        self._tail = ""
        self._enter(constraint)
        # A grammar that cannot be used is refused before anything runs.
        self._ready: llguidance.LLMatcher | None = compiler.compile(constraint)
        link = constraint.then
        while link is not None:
            compiler.compile(link)
            link = link.then

    @property
    def is_over(self) -> bool:
        """Whether the answer is complete."""
        return self.phase == "over"

    @property
    def is_ruling(self) -> bool:
        """Whether the next token has to be masked."""
        return self.phase == "ruling"

    def begin(self) -> list[int]:
        """Tokens that come before the first sampled one."""
        return self._arm("") if self._constraint.trigger is None else []

    def mask(self, logits: Logits) -> None:
        """Rule out, in place, every token that the grammar does not allow next."""
        bits = self._bits
        self._matcher.unsafe_compute_mask_ptr(bits.ctypes.data, bits.nbytes)
        self._check()
        allowed = np.unpackbits(bits.view(np.uint8), count=len(logits), bitorder="little")
        logits[allowed == 0] = -np.inf

    def take(self, token: int, text: str) -> list[int]:
        """A token was generated, `text` became visible: the tokens that must follow it."""
        if self.phase == "watching":
            return self._watch(text)
        if self.phase == "ruling":
            self._matcher.consume_token(token)
            self._check()
            return self._advance()
        return []

    def take_end(self) -> list[int] | None:
        """The model drew an end of generation: what must still follow, None if it may end."""
        if self.phase != "ruling" or self._constraint.ends_answer:
            return None
        return self._satisfy() or None

    # -- phases -----------------------------------------------------------------------------

    def _enter(self, constraint: Constraint) -> None:
        self._constraint = constraint
        self._tail = ""
        self.phase: Phase = "watching"

    def _watch(self, text: str) -> list[int]:
        trigger = self._constraint.trigger
        if trigger is None:
            return []
        self._tail += text
        at = self._tail.find(trigger)
        if at >= 0:
            return self._arm(self._tail[at + len(trigger) :])
        self._tail = self._tail[-len(trigger) :]
        return []

    def _arm(self, surplus: str) -> list[int]:
        """Rule from here on; `surplus` was generated behind the trigger already."""
        ready, self._ready = self._ready, None
        self._matcher = self._compiler.compile(self._constraint) if ready is None else ready
        self._bits = np.zeros((self._compiler.model.num_vocab + 31) // 32, dtype=np.int32)
        self.phase = "ruling"
        prefix = self._constraint.prefix
        if not surplus.strip() and not prefix.startswith(surplus):
            surplus = ""  # a token that completed the trigger brought more white space than due
        if prefix.startswith(surplus):
            forced = self._tokens(prefix[len(surplus) :])
        else:
            forced = []
            self._matcher.consume_tokens(self._tokens(surplus.removeprefix(prefix)))
            self._check()
        return forced + self._advance()

    def _advance(self) -> list[int]:
        """Tokens that the grammar leaves no choice about, and what follows once it is satisfied."""
        forced: list[int] = self._matcher.compute_ff_tokens()
        if forced:
            self._matcher.consume_tokens(forced)
            self._check()
        if self._matcher.is_stopped():
            return forced + self._satisfy()
        return forced

    def _satisfy(self) -> list[int]:
        constraint = self._constraint
        if constraint.then is not None:
            self._enter(constraint.then)
            return self.begin()
        if constraint.ends_answer:
            self.phase = "over"
        elif constraint.repeat:
            self._enter(constraint)
        else:
            self.phase = "free"
        return []

    def _tokens(self, text: str) -> list[int]:
        return self._compiler.model.tokenize(text, special=True) if text else []

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GuideError(self._matcher.get_error().strip().splitlines()[0][:300])
