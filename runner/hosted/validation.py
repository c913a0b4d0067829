"""Whether a JSON document satisfies a JSON Schema, for answers nobody constrained.

Pure. Owns the keywords that answers are checked against; `$ref` only within the schema itself.
Invariant: a keyword that is not known here never makes a document invalid.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

MAX_DEPTH = 64
MAX_PATTERN = 500
FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def bare_document(text: str) -> str:
    """The document without the fence or the words that models like to put around it."""
    fenced = FENCE.match(text)
    text = fenced[1] if fenced else text
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    ends = max(text.rfind("}"), text.rfind("]"))
    if starts and ends > min(starts) and not _is_json(text):
        text = text[min(starts) : ends + 1]
    return text.strip()


def find_fault(text: str, schema: Any, *, must_be_object: bool) -> str | None:
    """What is wrong with a document, in words for the model; None when it is right."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON ({str(error)[:80]})"
    if must_be_object and not isinstance(value, dict):
        return "it is not a JSON object"
    if schema is None:
        return None
    return next(_faults(value, schema, schema, "$", 0), None)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _faults(value: Any, schema: Any, root: Any, path: str, depth: int) -> Iterator[str]:
    if schema is False:
        yield f"{path} is not allowed"
    if not isinstance(schema, dict) or depth > MAX_DEPTH:
        return
    if "$ref" in schema:
        yield from _faults(value, _resolve(schema["$ref"], root), root, path, depth + 1)
    yield from _type_faults(value, schema, path)
    yield from _combined_faults(value, schema, root, path, depth)
    if isinstance(value, dict):
        yield from _object_faults(value, schema, root, path, depth)
    elif isinstance(value, list):
        yield from _array_faults(value, schema, root, path, depth)
    elif isinstance(value, str):
        yield from _string_faults(value, schema, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, schema, path)


def _resolve(ref: Any, root: Any) -> Any:
    if not isinstance(ref, str) or not ref.startswith("#"):
        return True
    found = root
    for part in ref.removeprefix("#").strip("/").split("/"):
        if part:
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name, True) if isinstance(found, dict) else True
    return found


def _type_faults(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else wanted
    if isinstance(names, list) and not any(_is_a(value, name) for name in names):
        yield f"{path} must be {' or '.join(map(str, names))}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} must be one of {json.dumps(schema['enum'])[:200]}"
    if "const" in schema and value != schema["const"]:
        yield f"{path} must be {json.dumps(schema['const'])[:200]}"


def _is_a(value: Any, name: object) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return bool(value.is_integer())
    kinds: tuple[type, ...] = _TYPES.get(str(name), (object,))
    return isinstance(value, kinds)


def _combined_faults(
    value: Any, schema: dict[str, Any], root: Any, path: str, depth: int
) -> Iterator[str]:
    for part in schema.get("allOf", ()):
        yield from _faults(value, part, root, path, depth + 1)
    for keyword in ("anyOf", "oneOf"):
        if keyword not in schema:
            continue
        faults = [next(_faults(value, p, root, path, depth + 1), None) for p in schema[keyword]]
        num_right = faults.count(None)
        if num_right == 0:
            yield faults[0] or f"{path} fits no alternative"
        elif keyword == "oneOf" and num_right > 1:
            yield f"{path} fits more than one alternative"
    if "not" in schema and next(_faults(value, schema["not"], root, path, depth + 1), None) is None:
        yield f"{path} is what it must not be"


def _object_faults(
    value: dict[str, Any], schema: dict[str, Any], root: Any, path: str, depth: int
) -> Iterator[str]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path} lacks {name!r}"
    patterns = schema.get("patternProperties", {})
    for name, inner in value.items():
        here = f"{path}.{name}"
        matching = [sub for pattern, sub in patterns.items() if _matches(pattern, name)]
        if name in known:
            matching.append(known[name])
        if not matching:
            matching.append(schema.get("additionalProperties", True))
        for sub in matching:
            yield from _faults(inner, sub, root, here, depth + 1)
    yield from _size_faults(len(value), schema, ("minProperties", "maxProperties"), path)


def _array_faults(
    value: list[Any], schema: dict[str, Any], root: Any, path: str, depth: int
) -> Iterator[str]:
    prefix = schema.get("prefixItems", [])
    for place, inner in enumerate(value):
        sub = prefix[place] if place < len(prefix) else schema.get("items", True)
        yield from _faults(inner, sub, root, f"{path}[{place}]", depth + 1)
    yield from _size_faults(len(value), schema, ("minItems", "maxItems"), path)
    if schema.get("uniqueItems") is True:
        texts = [json.dumps(inner, sort_keys=True) for inner in value]
        if len(set(texts)) < len(texts):
            yield f"{path} repeats an item"


def _string_faults(value: str, schema: dict[str, Any], path: str) -> Iterator[str]:
    yield from _size_faults(len(value), schema, ("minLength", "maxLength"), path)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, value):
        yield f"{path} does not match {pattern[:100]!r}"


def _matches(pattern: str, text: str) -> bool:
    if len(pattern) > MAX_PATTERN:
        return True
    try:
        return re.search(pattern, text[:2_000]) is not None
    except re.error:
        return True


def _number_faults(value: float, schema: dict[str, Any], path: str) -> Iterator[str]:
    limits: tuple[tuple[str, Callable[[float], bool]], ...] = (
        ("minimum", lambda limit: value >= limit),
        ("maximum", lambda limit: value <= limit),
        ("exclusiveMinimum", lambda limit: value > limit),
        ("exclusiveMaximum", lambda limit: value < limit),
    )
    for keyword, holds in limits:
        limit = schema.get(keyword)
        if isinstance(limit, int | float) and not isinstance(limit, bool) and not holds(limit):
            yield f"{path} breaks {keyword} {limit}"
    step = schema.get("multipleOf")
    if (
        isinstance(step, int | float)
        and step > 0
        and abs(value / step - round(value / step)) > 1e-9
    ):
        yield f"{path} is not a multiple of {step}"


def _size_faults(
    size: int, schema: dict[str, Any], keywords: tuple[str, str], path: str
) -> Iterator[str]:
    least, most = (schema.get(keyword) for keyword in keywords)
    if isinstance(least, int) and size < least:
        yield f"{path} breaks {keywords[0]} {least}"
    if isinstance(most, int) and size > most:
        yield f"{path} breaks {keywords[1]} {most}"
