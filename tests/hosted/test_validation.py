"""Documents against schemas: the verdict agrees with a reference implementation."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.validation import bare_document, find_fault

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null"])


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": TYPES | st.lists(TYPES, min_size=1, max_size=2, unique=True),
            "properties": st.dictionaries(st.sampled_from("xyz"), inner, max_size=2),
            "required": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
            "additionalProperties": inner | st.booleans(),
            "items": inner,
            "minItems": st.integers(0, 2),
            "maxLength": st.integers(0, 2),
            "minimum": st.integers(-3, 3),
            "exclusiveMaximum": st.integers(-3, 3),
            "multipleOf": st.integers(1, 3),
            "pattern": st.sampled_from(["^a", "b$"]),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    )


SCHEMAS = st.recursive(st.just({}) | st.fixed_dictionaries({"type": TYPES}), _schemas, max_leaves=5)


@given(VALUES, SCHEMAS)
def test_the_verdict_agrees_with_the_reference(value: Any, schema: Any) -> None:
    fault = find_fault(json.dumps(value), schema, must_be_object=False)
    assert (fault is None) is jsonschema.Draft202012Validator(schema).is_valid(value)


def test_references_within_the_schema_are_followed_also_in_circles() -> None:
    tree = {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
                "required": ["next"],
            }
        },
        "$ref": "#/$defs/node",
    }
    good, bad = '{"next": {"next": null}}', '{"next": {"next": 3}}'
    assert find_fault(good, tree, must_be_object=True) is None
    assert find_fault(bad, tree, must_be_object=True)


@pytest.mark.parametrize(
    "text",
    ['{"a": 1}', '```json\n{"a": 1}\n```', 'Here you are:\n{"a": 1}\nDone.', ' {"a": 1}\n'],
)
def test_the_document_is_found_among_the_words_around_it(text: str) -> None:
    assert json.loads(bare_document(text)) == {"a": 1}


def test_what_is_no_json_or_no_object_is_said_so() -> None:
    assert "not JSON" in (find_fault("{", None, must_be_object=True) or "")
    assert "not a JSON object" in (find_fault("[]", None, must_be_object=True) or "")
