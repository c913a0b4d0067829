"""Schemas and grammars of any shape: refused or obeyed, soon, and no engine dies of them (F2).

`RUNNER_TEST_SCHEMAS` and `RUNNER_TEST_GRAMMARS` set how many (60 and 40; the full runs are 2000
and 1000). None of them may cost 2 s of processor time, nor take 2 s beside waiting for a core.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.caller import MODEL, chat_body, engine_of
from tests.serving import Server, serve

from .effort import Effort

JSON = {"Content-Type": "application/json"}
CHAT = "/v1/chat/completions"
NUM_SCHEMAS = int(os.environ.get("RUNNER_TEST_SCHEMAS", "60"))
NUM_GRAMMARS = int(os.environ.get("RUNNER_TEST_GRAMMARS", "40"))
LIMIT_S = 2.0
HANG_S = 20.0
BOUNDS = (0, 1, 2, 7, 1000, 99_999, 100_001, 10**6, 2**63, -1, 1.5, "many", None)
PATTERNS = (
    "^a*$", "(a|b){3}", "(" * 500 + ")" * 500, "(a{1,40}){1,40}", "(a+)+b", "[", "\\p{L}{1,1000}",
    "(?=a)b", "\\1", "a{1001}", "^" * 50, "[\\x00-\\uffff]{0,1000}", ".*" * 40, "\ud800",
)  # fmt: skip
KEYWORDS = (
    "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "multipleOf",
    "minProperties", "maxProperties", "exclusiveMinimum",
)  # fmt: skip
LEAVES: Any = st.one_of(
    st.sampled_from(
        [{}, True, False, None, 7, [], "string", {"type": "nothing"}, {"type": ["null", "null"]}]
    ),
    st.builds(
        lambda kind: {"type": kind}, st.sampled_from(["string", "integer", "number", "null"])
    ),
    st.builds(
        lambda kind, word, bound: {"type": kind, word: bound},
        st.sampled_from(["string", "integer", "array", "object", "number"]),
        st.sampled_from(KEYWORDS),
        st.sampled_from(BOUNDS),
    ),
    st.builds(lambda text: {"type": "string", "pattern": text}, st.sampled_from(PATTERNS)),
    st.builds(
        lambda num: {"enum": [f"v{i}" for i in range(num)]}, st.sampled_from([0, 1, 400, 501])
    ),
    st.builds(
        lambda where: {"$ref": where},
        st.sampled_from(["#", "#/$defs/a", "#/nowhere", "http://x/y", "file:///etc/passwd", "", 1]),
    ),
    st.builds(lambda value: {"const": value}, st.sampled_from([None, "", "\x00", 1e308, [[]], {}])),
    st.builds(
        lambda name: {"type": "string", "format": name},
        st.sampled_from(["date", "time", "date-time", "x", "uuid", 3, [], {}]),
    ),
)
NAMES = st.sampled_from(["a", "b", "", "$ref", "\u0000", "ключ", "x" * 300, "__proto__"])


def _around(inner: Any) -> Any:
    """Schemas of schemas."""
    many = st.lists(inner, max_size=4)
    return st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(lambda items: {"type": "array", "prefixItems": items, "maxItems": 9}, many),
        st.builds(
            lambda word, items: {word: items}, st.sampled_from(["anyOf", "oneOf", "allOf"]), many
        ),
        st.builds(
            lambda found, needs: {
                "type": "object",
                "properties": found,
                "additionalProperties": False,
                "required": list(found) if needs else [],
            },
            st.dictionaries(NAMES, inner, max_size=5),
            st.booleans(),
        ),  # fmt: skip
        st.builds(
            lambda one: {**one, "$defs": {"a": one}} if isinstance(one, dict) else one, inner
        ),
        st.builds(lambda one: {"not": one}, inner),
    )


SCHEMAS: Any = st.recursive(LEAVES, _around, max_leaves=12)
WIDE = st.builds(
    lambda one, num: {"type": "object", "properties": {f"p{i}": one for i in range(num)}},
    LEAVES,
    st.sampled_from([50, 200, 201]),
)
ATOMS = (
    '"a"', "[a-z]", "[^\\n]", "root", "item", '""', '"\\x00"', "[", '"', "(", ")", "|", "*", "+",
    "?", "{2,3}", "{0,1001}", "{,}", "::=", "\n", "#", "\\", '"a"?' * 30, "(" * 201, "\ud800",
    "start: /a+/", "%ignore /x/", "%import common.INT", "/(a+)+$/", ":", "item ::= item item\n",
)  # fmt: skip
PIECES: Any = st.recursive(
    st.sampled_from(
        [
            '"a"',
            '"Hello"',
            "[a-z]",
            "[^a]",
            '""',
            "one",
            "two",
            "root",
            '"\\n"',
            "[0-9]",
            '"\\u00fc"',
        ]
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(" ".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda many: f"({' | '.join(many)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2,9}", "{0,200}", "{3}"])).map("".join),
    ),
    max_leaves=8,
)
SOUND = st.tuples(PIECES, PIECES, PIECES).map(
    lambda rules: "\n".join(
        f"{n} ::= {r}" for n, r in zip(("root", "one", "two"), rules, strict=True)
    )
)
WORDS = st.lists(st.sampled_from(ATOMS), max_size=14).map(" ".join)
GRAMMARS: Any = st.one_of(
    SOUND, SOUND, WORDS, WORDS.map("root ::= ".__add__), WORDS.map("start: ".__add__), st.text()
)


def _nested(num: int) -> Any:
    schema: Any = {"type": "null"}
    for _ in range(num):
        schema = {"type": "array", "items": schema, "maxItems": 1}
    return schema


DEEP = st.builds(_nested, st.sampled_from([10, 60, 70, 400]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of our own, whose engine is ours to hurt."""
    with serve(tmp_path_factory.mktemp("constraints"), MODEL, "--offline") as it:
        yield it


@pytest.fixture
def judge(server: Server) -> Iterator[Judge]:
    judge = Judge(server)
    yield judge
    judge.http.close()


class Judge:
    """Sends bodies, and remembers the slowest and how they ended."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.origin, timeout=HANG_S + 10)
        self.pid = engine_of(server)["pid"]
        self.statuses: Counter[int] = Counter()
        self.dearest_s = self.slowest_s = 0.0
        self.dearest: dict[str, Any] = {}

    def ask(self, **fields: Any) -> None:
        """One body: an answer or a 4xx, in the envelope, in time."""
        body = json.dumps(chat_body(max_tokens=4, **fields))  # escapes what is no UTF-8
        response, taken_s, computed_s = self._post(body)
        if max(taken_s, computed_s) > LIMIT_S and response.status_code == 200:
            # less reading the prompt, where a schema stands too
            response, taken_s, computed_s = self._post(body)
        self.slowest_s = max(self.slowest_s, taken_s)
        if computed_s > self.dearest_s:
            self.dearest_s, self.dearest = computed_s, fields
        self.statuses[response.status_code] += 1
        assert response.status_code in (200, 400), (fields, response.text[:500])
        if response.status_code == 400:
            assert response.json()["error"]["type"] == "invalid_request_error"
        assert computed_s < LIMIT_S, fields

    def _post(self, body: str) -> tuple[httpx.Response, float, float]:
        """The answer; seconds until then, less those without a core; processor time."""
        pids = [self.server.process.pid, self.pid]
        before, begun_s = Effort.of(pids), time.monotonic()
        response = self.http.post(CHAT, content=body, headers=JSON)
        taken_s, after = time.monotonic() - begun_s, Effort.of(pids)
        assert taken_s < HANG_S, body[:2000]
        return response, taken_s - after.starved_since(before), after.computed_since(before)

    def conclude(self, what: str) -> None:
        """Nobody died, and nothing took long."""
        sys.stderr.write(
            f"{self.statuses.total()} {what}: {dict(self.statuses)}, the slowest took "
            f"{self.slowest_s:.2f} s, the dearest {self.dearest_s:.2f} s of processor time: "
            f"{str(self.dearest)[:200]}\n"
        )
        assert engine_of(self.server)["pid"] == self.pid
        assert engine_of(self.server)["crashes"] == 0
        assert self.slowest_s < LIMIT_S


def fuzz(judge: Judge, num_cases: int, cases: Any, wrap: Any) -> None:
    """Many of them."""

    @settings(
        max_examples=num_cases, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def try_one(case: Any) -> None:
        judge.ask(**wrap(case))

    try_one()


@pytest.mark.timeout(120 + NUM_SCHEMAS)
def test_no_schema_hurts(judge: Judge) -> None:
    def as_format(schema: Any) -> dict[str, Any]:
        wish = {"name": "it", "schema": schema, "strict": True}
        return {"response_format": {"type": "json_schema", "json_schema": wish}}

    def as_tool(schema: Any) -> dict[str, Any]:
        function = {"name": "it", "parameters": schema}
        return {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}

    fuzz(judge, NUM_SCHEMAS * 2 // 3, st.one_of(SCHEMAS, SCHEMAS, WIDE, DEEP), as_format)
    fuzz(
        judge, NUM_SCHEMAS - NUM_SCHEMAS * 2 // 3, st.one_of(SCHEMAS, SCHEMAS, WIDE, DEEP), as_tool
    )
    judge.conclude("schemas")
    assert judge.statuses[200] and judge.statuses[400]


def chained(links: int, body: str) -> str:
    """Rules of which each stands in the one before it."""
    rules = [f"r{i} ::= {body.replace('next', f'r{i + 1}')}" for i in range(links - 2)]
    return "\n".join(["root ::= r0", *rules, f'r{links - 2} ::= "x"'])


HARD = {
    "forced, item by item": 'root ::= "a" root',
    "forced through a loop": 'root ::= "a"* root',
    "forced by two rules": 'root ::= "a" item\nitem ::= "a" item',
    "forced within one lexeme": 'root ::= w w\nw ::= "x"+',
    "forced within one lexeme, in Lark": "start: W W\nW: /x+/",
    "a chain of rules": chained(1000, "next"),
    "a longer chain of rules": chained(5000, "next"),
    "a chain of nested rules": chained(999, '("a" next)'),
    "a chain of deeply nested rules": chained(400, '("a" ' * 25 + "next" + ")" * 25),
    "a chain that ends in terminals": chained(999, '("a" next "b"){2,3}'),
    "a chain with long links": chained(999, "[a]" * 36 + " next"),
    "literals that double": chained(999, "next next"),
    "operands": "start: A\nA: " + " & ".join(["/((a|b)*a(a|b){50})*/"] * 5),
    "many choices": "start: " + "|".join(["r"] * 60_000) + '\nr: "x"',
    "just not too many choices": "start: " + "|".join(["r"] * 5000) + '\nr: "x"',
    "many options": "start: " + "r* " * 30_000 + '\nr: "x"',
    "just not too many options": "start: " + "r* " * 1666 + '\nr: "x"',
}


@pytest.mark.parametrize("grammar", HARD.values(), ids=HARD)
def test_a_grammar_that_is_hard_to_follow_is_soon_answered(judge: Judge, grammar: str) -> None:
    judge.ask(grammar=grammar)
    judge.ask()
    judge.conclude("hard grammars")


@pytest.mark.timeout(120 + NUM_GRAMMARS)
def test_no_grammar_hurts(judge: Judge) -> None:
    judge.ask(grammar='root ::= "yes" | "no"')
    judge.ask(grammar="root ::= (")
    fuzz(judge, NUM_GRAMMARS, GRAMMARS, lambda text: {"grammar": text})
    judge.conclude("grammars")
    assert judge.statuses[200] and judge.statuses[400]
