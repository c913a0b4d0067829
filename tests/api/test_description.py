"""Requests drawn from the OpenAPI description: whatever comes, it is answered, and soon.

Most values are as the description has them, some are anything at all. `RUNNER_TEST_API_CASES`
sets how many requests are sent (150; the full run is 5000).
"""

from __future__ import annotations

import os
import string
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.api.app import create_app
from runner.config import Settings
from runner.services import build

from .caller import MODEL, Caller, Json, chat_body, engine_of

NUM_CASES = int(os.environ.get("RUNNER_TEST_API_CASES", "150"))
LIMIT_S = 2.0
# what fetches weights, or stops the engine on purpose, is not for a test like this
ACTING = ("/pull", "/load", "/unload", "/remove")
SMALL: dict[str, st.SearchStrategy[Any]] = {
    "max_tokens": st.integers(1, 6),
    "max_completion_tokens": st.sampled_from([None, 1, 4]),
    "keep_alive": st.sampled_from([None, 60, "5m", "1h", "soon", ""]),  # 0 ends an engine rightly
    "model": st.sampled_from([MODEL] * 12 + ["tiny", "hermes-4-405b", "nobody", ""]),
}
NASTY = ["", "\x00", "<|im_end|>", "<tool_call>", "</think>", "{", "ё🙂\u202e", "a" * 300, "-1"]
TEXT = st.one_of(
    st.sampled_from(NASTY),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.text(string.printable, max_size=12),
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
GRAMMARS = st.sampled_from(
    ['root ::= "a" | "b"', "start: /[a-z]{1,4}/", "root ::= (", "root ::= x"]
)
SCHEMAS = st.sampled_from(
    [
        {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"]},
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 2}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/x"}}},
        {"type": "string", "pattern": "(a+)+$"},
        {"type": "object", "additionalProperties": False},
        {"type": "nothing"},
        {"not": {}},
        {"const": "ё"},
    ]
)
WISHES = {"grammar": GRAMMARS, "parameters": SCHEMAS, "schema": SCHEMAS}


def values(schema: Json, name: str = "") -> st.SearchStrategy[Any]:
    """Values of a JSON Schema as pydantic writes them; `name` is the field's."""
    if name in WISHES:
        return WISHES[name] | JSON
    if "anyOf" in schema:
        return st.one_of([values(branch, name) for branch in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    match schema.get("type"):
        case "object":
            return objects(schema)
        case "array":
            items = values(schema.get("items", {}))
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=4)
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True)
        case "string":
            return TEXT
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "integer":
            low, high = schema.get("minimum", -(2**40)), schema.get("maximum", 2**40)
            return st.integers(int(low), int(high)) | st.integers(-2, 2000)
        case "number":
            low, high = schema.get("minimum", -1e6), schema.get("maximum", 1e6)
            return st.floats(float(low), float(high))
    return JSON


def objects(schema: Json) -> st.SearchStrategy[Json]:
    """Objects with the required fields and some of the others."""
    properties = schema.get("properties", {})
    if not properties:
        return st.dictionaries(TEXT, JSON, max_size=3)
    drawn = {
        name: SMALL[name] if name in SMALL else values(part, name)
        for name, part in properties.items()
    }
    needed = schema.get("required", [])
    optional = {name: drawn[name] for name in drawn if name not in needed}
    return st.builds(
        lambda always, some: {**always, **some},
        st.fixed_dictionaries({name: drawn[name] for name in needed}),
        st.lists(st.sampled_from(sorted(optional)), max_size=6, unique=True).flatmap(
            lambda names: st.fixed_dictionaries({name: optional[name] for name in names})
        )
        if optional
        else st.just({}),
    )


@st.composite
def spoilt(draw: st.DrawFn, body: Json) -> Any:
    """The body, now and then with one field replaced by anything, dropped, or one too many."""
    way = draw(st.sampled_from(["whole"] * 6 + ["replace", "drop", "add", "other"]))
    if way == "other":
        return draw(JSON)
    if way == "add":
        return {**body, draw(TEXT): draw(JSON)}
    if way == "whole" or not body:
        return body
    name = draw(st.sampled_from(sorted(body)))
    if name in SMALL and name != "model":
        return body
    return {key: draw(JSON) if key == name else value for key, value in body.items()} | (
        {name: None} if way == "drop" else {}
    )


def describe() -> Json:
    """The OpenAPI description."""
    description: Json = create_app(build(Settings(offline=True))).openapi()
    return description


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A method, a path and a body."""
    path, method = draw(st.sampled_from(OPERATIONS))
    filled = path
    for name in ("name", "model", "id"):
        filled = filled.replace(f"{{{name}}}", quote(draw(TEXT), safe=""))
    content = DESCRIPTION["paths"][path][method].get("requestBody", {}).get("content", {})
    if not content:
        return method, filled, None
    body = draw(BODIES[path])
    if "completions" in path:
        body = {"max_tokens": 4, **body}
        body["max_tokens"] = body["max_tokens"] or 4
    return method, filled, draw(spoilt(body))


DESCRIPTION = describe()
OPERATIONS = [
    (path, method)
    for path, item in DESCRIPTION["paths"].items()
    for method in item
    if not any(word in path for word in ACTING)
    for _ in range(6 if "completions" in path else 1)
]
BODIES = {
    path: values(item["post"]["requestBody"]["content"]["application/json"]["schema"])
    for path, item in DESCRIPTION["paths"].items()
    if "requestBody" in item.get("post", {})
}


def send(caller: Caller, method: str, path: str, body: Any) -> tuple[httpx.Response, float]:
    """The response, and how long it took."""
    begun_s = time.monotonic()
    response = caller.http.request(method, path, json=body)
    return response, time.monotonic() - begun_s


def check(caller: Caller, method: str, path: str, body: Any) -> None:
    """One request is answered without a 5xx, and within the limit the second time at least."""
    response, took_s = send(caller, method, path, body)
    if response.status_code >= 500:
        assert response.json()["error"]["code"] == "no_route", response.text
    elif response.status_code >= 400:
        assert {"message", "type", "param", "code"} <= set(response.json()["error"])
    assert "[DONE]" not in response.text or response.text.endswith("data: [DONE]\n\n")
    if took_s > LIMIT_S:
        assert send(caller, method, path, body)[1] < LIMIT_S


@pytest.mark.timeout(7200)
def test_any_request_is_answered_soon_and_the_engine_survives(caller: Caller) -> None:
    caller.json("/v1/chat/completions", chat_body())
    before = engine_of(caller.server)

    @settings(
        max_examples=NUM_CASES,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(drawn=requests())
    def run(drawn: tuple[str, str, Any]) -> None:
        check(caller, *drawn)
        now = engine_of(caller.server)
        assert (now["pid"], now["crashes"]) == (before["pid"], before["crashes"])

    run()


def test_the_description_covers_every_endpoint_and_refers_to_nothing_missing() -> None:
    text = str(DESCRIPTION)
    for path in (
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/tokenize",
        "/detokenize",
        "/apply-template",
        "/health",
        "/metrics",
    ):
        assert path in DESCRIPTION["paths"]
    known = DESCRIPTION.get("components", {}).get("schemas", {})
    for reference in text.split("#/components/schemas/")[1:]:
        assert reference.partition("'")[0] in known
