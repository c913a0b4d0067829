"""JSON Schemas: bounded, checked, and enforceable as they come out."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import jsonschema
import pytest

from runner.chat.constraint import JSON_STYLE
from runner.chat.schema import MAX_BOUND, prepare_schema
from runner.errors import InvalidRequestError
from runner.types import Constraint

from .grammars import write_at_random

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
    num_done = 0
    for seed in range(4):
        text = write_at_random(constraint, Random(seed), max_bytes=600)
        if text is not None:
            num_done += 1
            jsonschema.validate(json.loads(text), schema, format_checker=jsonschema.FormatChecker())
    assert num_done


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
