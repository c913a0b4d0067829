"""JSON Schemas: bounded, checked, and enforceable as they come out."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

import jsonschema
import pytest

from runner.chat.constraint import JSON_STYLE
from runner.chat.schema import MAX_BOUND, prepare_schema
from runner.errors import InvalidRequestError
from runner.types import Constraint

from .grammars import matcher, write_at_random
from .schemas import strict_formats

NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/Node"}},
    "required": ["value"],
}
USABLE: list[dict[str, Any]] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "number"}}},
    {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^x_": {"type": "integer"}}},
    {"type": "object", "minProperties": 1, "maxProperties": 2},
    {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "array", "items": {"type": "string"}, "uniqueItems": False},
    {"type": "integer", "minimum": -5, "exclusiveMaximum": 7},
    {"type": "integer", "multipleOf": 3, "minimum": 0, "maximum": 30},
    {"type": "number", "minimum": 0.5, "maximum": 1.5},
    {"type": "string", "minLength": 2, "maxLength": 5},
    {"type": "string", "pattern": "^[a-f]{2,4}-\\d+$"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "ipv4"},
    {"type": "integer", "format": "int32"},
    {"enum": [1, "ü", None, {"a": [1]}, "北京"]},
    {"const": {"b": [1, 2]}},
    {"type": ["string", "null"]},
    {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]},
    {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}]},
    {
        "allOf": [{"$ref": "#/$defs/A"}, {"properties": {"y": {"type": "integer"}}}],
        "required": ["x", "y"],
        "$defs": {"A": {"type": "object", "properties": {"x": {"type": "integer"}}}},
    },
    {
        "type": "object",
        "properties": {"k": {"type": "integer"}},
        "anyOf": [{"properties": {"l": {"type": "integer"}}, "required": ["l"]}, {}],
    },
    {**NODE, "$defs": {"Node": NODE}},
    {"$ref": "#/definitions/A", "definitions": {"A": {"type": "array", "items": {"type": "null"}}}},
    {"type": "object", "properties": {"$ref": {"type": "integer"}, "not": {"type": "null"}}},
    {"type": "object", "properties": {"ключ": {"enum": ["да"]}}, "required": ["ключ"]},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "T", "type": "boolean"},
    {"type": "object", "x-guidance": {"lenient": True}, "properties": {"id": {"type": "integer"}}},
]


@pytest.mark.parametrize("schema", USABLE, ids=json.dumps)
def test_random_weights_satisfy_every_usable_schema(schema: dict[str, Any]) -> None:
    prepared = prepare_schema(schema, param="p")
    constraint = Constraint("json_schema", json.dumps({**prepared, "x-guidance": JSON_STYLE}))
    num_done, formats = 0, strict_formats()
    for seed in range(4):
        text = write_at_random(constraint, Random(seed), max_bytes=600)
        if text is not None:
            num_done += 1
            jsonschema.validate(json.loads(text), schema, format_checker=formats)
    assert num_done


@pytest.mark.parametrize(
    "beside",
    [
        {},
        {"pattern": "[02468]"},
        {"minLength": 4, "maxLength": 40},
        {"allOf": [{"pattern": "1"}]},
        {"anyOf": [{"pattern": "2"}, {"maxLength": 22}]},
        {"$ref": "#/$defs/A", "$defs": {"A": {"pattern": "0"}}},
        {"type": ["string", "null"]},
    ],
    ids=json.dumps,
)
@pytest.mark.parametrize("kind", ["date", "time", "date-time", "uuid", "ipv4", "ipv6"])
def test_random_weights_write_formats_that_a_strict_reader_takes(
    kind: str, beside: dict[str, Any]
) -> None:
    schema = {"type": "string", **beside, "format": kind}
    prepared = prepare_schema(schema, param="p")
    constraint = Constraint("json_schema", json.dumps({**prepared, "x-guidance": JSON_STYLE}))
    num_done, formats = 0, strict_formats()
    for seed in range(40):
        text = write_at_random(constraint, Random(seed), max_bytes=200)
        if text is not None:
            num_done += 1
            jsonschema.validate(json.loads(text), schema, format_checker=formats)
    assert num_done > 20


def obeying(kind: str) -> Callable[[str], bool]:
    """Whether a text could be written where a string of this format is asked for."""
    prepared = prepare_schema({"type": "string", "format": kind}, param="p")
    fresh = matcher("json_schema", json.dumps(prepared))

    def can_be_written(text: str) -> bool:
        tokens = list(json.dumps(text).encode())
        tried = fresh.deep_copy()
        return tried.try_consume_tokens(tokens) == len(tokens) and tried.is_accepting()

    return can_be_written


def test_the_dates_that_can_be_written_are_those_of_the_calendar() -> None:
    can_be_written = obeying("date")
    for year in (0, 1, 4, 10, 100, 400, 999, 1000, 1900, 1996, 2000, 2023, 2024, 2100, 9999):
        for month in range(14):
            for day in (0, 1, 9, 10, 28, 29, 30, 31, 32):
                text = f"{year:04}-{month:02}-{day:02}"
                try:
                    is_date = bool(datetime.date.fromisoformat(text))
                except ValueError:
                    is_date = False
                assert can_be_written(text) == is_date, text


@pytest.mark.parametrize(
    ("text", "is_time"),
    [
        ("00:00:00Z", True),
        ("23:59:59.123456789+23:59", True),
        ("09:30:00-05:00", True),
        ("23:59:60Z", False),
        ("23:09:60-14:17", False),
        ("24:00:00Z", False),
        ("12:60:00Z", False),
        ("12:00:00", False),
        ("12:00:00z", False),
        ("12:00:00+24:00", False),
        ("12:00:00+05", False),
    ],
)
def test_times_are_those_that_every_reader_knows(text: str, is_time: bool) -> None:
    assert obeying("time")(text) == is_time
    assert obeying("date-time")(f"2024-02-29T{text}") == is_time
    assert not obeying("date-time")(f"2023-02-29T{text}")


def test_listed_values_are_taken_at_their_word() -> None:
    schema = {"enum": ["2016-12-31T23:59:60Z"], "format": "date-time"}
    assert prepare_schema(schema, param="p") == schema


@pytest.mark.parametrize("odd", [3, None, [], {}, ["date"]], ids=json.dumps)
def test_a_format_that_is_no_name_says_nothing(odd: Any) -> None:
    assert prepare_schema({"type": "string", "format": odd}, param="p") == {"type": "string"}


@pytest.mark.parametrize(
    ("keyword", "schema"),
    [
        ("not", {"not": {"type": "string"}}),
        ("if", {"type": "object", "properties": {"a": {"if": {}, "then": {}}}}),
        ("uniqueItems", {"type": "array", "uniqueItems": True}),
        ("contains", {"anyOf": [{"contains": {"type": "integer"}}]}),
        ("dependentRequired", {"$defs": {"a": {"dependentRequired": {}}}}),
        ("propertyNames", {"additionalProperties": {"propertyNames": {}}}),
        ("unevaluatedProperties", {"items": {"unevaluatedProperties": False}}),
        ("$dynamicRef", {"prefixItems": [{"$dynamicRef": "#a"}]}),
        ("$ref", {"$ref": "https://example.org/schema"}),
        ("$ref", {"items": {"$ref": "other.json#/a"}}),
        ("$ref", {"$ref": "file:///etc/passwd"}),
        ("$ref", {"$ref": "#anchor"}),
        ("format", {"format": "idn-email"}),
        ("pattern", {"pattern": "(?=a)b"}),
        ("pattern", {"pattern": "(a)\\1"}),
        ("pattern", {"pattern": "a{1,2000}"}),
        ("pattern", {"patternProperties": {"a{1001}": {}}}),
        ("pattern", {"pattern": "a{" + "1" * 5000 + "}"}),
        ("pattern", {"pattern": 5}),
        ("enum", {"enum": list(range(501))}),
        ("enum", {"enum": []}),
        ("properties", {"properties": {str(index): {} for index in range(201)}}),
        ("properties", {"properties": []}),
        ("patternProperties", {"patternProperties": {f"^{index}_": {} for index in range(51)}}),
        ("maxItems", {"maxItems": MAX_BOUND + 1}),
        ("minLength", {"minLength": -1}),
        ("maxLength", {"maxLength": "5"}),
    ],
)
def test_what_cannot_be_enforced_is_named(keyword: str, schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        prepare_schema(schema, param="response_format.json_schema")
    assert f"'{keyword}'" in str(caught.value)
    assert caught.value.param == "response_format.json_schema"


def test_size_and_depth_are_bounded() -> None:
    with pytest.raises(InvalidRequestError, match="at most 65536"):
        prepare_schema({"description": "a" * 70_000}, param="p")
    deep: dict[str, Any] = {}
    for _ in range(10_000):
        deep = {"items": deep}
    with pytest.raises(InvalidRequestError, match="deeper than 64"):
        prepare_schema(deep, param="p")


def test_objects_admit_only_the_properties_they_list() -> None:
    inner = {"type": "object", "properties": {"b": {"type": "integer"}}}
    prepared = prepare_schema({"properties": {"a": inner}}, param="p")
    assert prepared["additionalProperties"] is False
    assert prepared["properties"]["a"]["additionalProperties"] is False
    opened = prepare_schema({"properties": {"a": inner}, "additionalProperties": True}, param="p")
    assert opened["additionalProperties"] is True
    combined = prepare_schema({"allOf": [inner, inner]}, param="p")
    assert "additionalProperties" not in combined["allOf"][0]


def test_values_and_property_names_are_no_keywords() -> None:
    schema = {
        "properties": {"not": {"const": {"not": 1, "$ref": "x"}}, "$id": {"default": {"if": 1}}},
        "examples": [{"$ref": "http://x"}],
    }
    prepared = prepare_schema(schema, param="p")
    assert prepared["properties"] == schema["properties"]


def test_references_are_moved_below_the_place_of_the_schema() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A"}, "b": {"$ref": "#"}}, "$defs": {"A": {}}}
    prepared = prepare_schema(schema, param="p", root="#/anyOf/2/x")
    assert prepared["properties"]["a"]["$ref"] == "#/anyOf/2/x/$defs/A"
    assert prepared["properties"]["b"]["$ref"] == "#/anyOf/2/x"


def test_the_callers_schema_is_left_as_it_was() -> None:
    schema = {"$id": "x", "properties": {"a": {"format": "odd", "$ref": "#"}}}
    before = json.dumps(schema)
    prepare_schema(schema, param="p")
    assert json.dumps(schema) == before


def patterned(num: int) -> list[dict[str, Any]]:
    return [{"pattern": f"^.*a.{{{index}}}$"} for index in range(num)]


def chained(num: int) -> dict[str, Any]:
    """Definitions that each refer to the one before, with a pattern beside."""
    links = {
        f"d{index}": {"$ref": f"#/$defs/d{index - 1}", "pattern": f"a.{{{index}}}"}
        for index in range(1, num)
    }
    return {"$ref": f"#/$defs/d{num - 1}", "$defs": {**links, "d0": {"pattern": "a"}}}


def merged(num: int) -> dict[str, Any]:
    """Objects that all speak of the same property."""
    parts = [{"properties": {"a": {"anyOf": [part, {}]}}} for part in patterned(num)]
    return {"type": "object", "allOf": parts}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "allOf": patterned(11)},
        {"allOf": [{"allOf": patterned(6)}, {"anyOf": [{"allOf": patterned(5)}, {}]}]},
        {"items": {"format": "date", "allOf": patterned(10)}},
        chained(11),
        chained(200),
        merged(11),
        {"allOf": [{"$ref": "#/$defs/a"}] * 11, "$defs": {"a": {"pattern": "a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, {"pattern": "a"}]}}},
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_a_crowd_of_patterns_on_one_value_is_refused_at_once(schema: dict[str, Any]) -> None:
    begun_s = time.process_time()
    with pytest.raises(InvalidRequestError, match="at most 10 patterns"):
        prepare_schema(schema, param="p")
    assert time.process_time() - begun_s < 1


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "allOf": patterned(10)},
        {"anyOf": patterned(40)},
        {"properties": {f"p{index}": part for index, part in enumerate(patterned(100))}},
        chained(10),
        merged(10),
        {"properties": {"next": {"$ref": "#"}, "at": {"format": "date"}}},
        {
            "allOf": [{"$ref": "#/$defs/a"}, {"properties": {"b": {"$ref": "#/$defs/a"}}}],
            "$defs": {
                "a": {"properties": {"at": {"format": "date"}, "b": {"$ref": "#/$defs/b"}}},
                "b": {"items": {"$ref": "#/$defs/a"}},
            },
        },
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_patterns_on_many_values_are_no_crowd(schema: dict[str, Any]) -> None:
    assert prepare_schema(schema, param="p")


def test_references_are_counted_in_no_time_however_they_are_tangled() -> None:
    names = [f"n{index}" for index in range(600)]
    tangled = {
        name: {"properties": {"x": {"$ref": f"#/$defs/{names[index * 7 % 600]}"}, "a": {}}}
        for index, name in enumerate(names)
    }
    begun_s = time.process_time()
    prepare_schema({"$ref": "#/$defs/n1", "$defs": tangled}, param="p")
    assert time.process_time() - begun_s < 1
