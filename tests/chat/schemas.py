"""JSON Schemas by the hundred: every keyword that can be enforced, nested and mixed by a seed.

All of them are bounded, so that a writer who knows nothing comes to an end.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from random import Random
from typing import Any

import jsonschema

Schema = dict[str, Any]
NAMES = ("id", "name", "größe", "城市", "a b", "x-y", "$price", "naïve", "items", "type", "🚀")
PATTERNS = (r"^[a-f]{2,4}-\d{1,3}$", r"^(left|right|up)$", r"^[A-Z]{3}$", r"^\+?\d{3,6}$")
FORMATS = ("date", "time", "date-time", "uuid", "ipv4")
VALUES: tuple[Any, ...] = (1, -7, 2.5, "ü", "北京", "", None, True, [1, "b"], {"k": [None]})


CLOCK = re.compile(r"\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return bool(CLOCK.fullmatch(value) and datetime.time.fromisoformat(value))


def _is_moment(value: object) -> bool:
    if not isinstance(value, str):
        return True
    is_shaped = value[10:11] == "T" and CLOCK.fullmatch(value[11:]) is not None
    return bool(is_shaped and datetime.datetime.fromisoformat(value))


def strict_formats() -> jsonschema.FormatChecker:
    """Formats as strict readers take them: RFC 3339 in capitals, and only what a calendar has.

    The library's own checker knows `time` as draft 3 did, without an offset, and not `date-time`.
    """
    checker = jsonschema.FormatChecker()
    checker.checks("time", raises=ValueError)(_is_time)
    checker.checks("date-time", raises=ValueError)(_is_moment)
    return checker


def _string(rng: Random, _depth: int) -> Schema:
    kind = rng.randrange(4)
    if kind == 0:
        return {"type": "string", "pattern": rng.choice(PATTERNS)}
    if kind == 1:
        return {"type": "string", "format": rng.choice(FORMATS)}
    least = rng.randint(0, 3)
    return {"type": "string", "minLength": least, "maxLength": least + rng.randint(0, 8)}


def _integer(rng: Random, _depth: int) -> Schema:
    low = rng.randint(-500, 500)
    high = low + rng.randint(2, 900)
    lower = rng.choice(("minimum", "exclusiveMinimum"))
    upper = rng.choice(("maximum", "exclusiveMaximum"))
    return {"type": "integer", lower: low, upper: high}


def _number(rng: Random, _depth: int) -> Schema:
    low = round(rng.uniform(-50, 50), 1)
    return {"type": "number", "minimum": low, "maximum": round(low + rng.uniform(1, 80), 1)}


def _constant(rng: Random, _depth: int) -> Schema:
    if rng.random() < 0.3:
        return {"const": rng.choice(VALUES)}
    return {"enum": rng.sample(VALUES, rng.randint(1, 5))}


def _plain(rng: Random, _depth: int) -> Schema:
    return rng.choice(({"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}))


def _array(rng: Random, depth: int) -> Schema:
    if rng.random() < 0.3:
        items = [_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    least = rng.randint(0, 2)
    most = least + rng.randint(0, 2)
    return {
        "type": "array", "items": _schema(rng, depth - 1), "minItems": least, "maxItems": most,
    }  # fmt: skip


def _object(rng: Random, depth: int) -> Schema:
    names = rng.sample(NAMES, rng.randint(0, 4))
    properties = {name: _schema(rng, depth - 1) for name in names}
    required = [name for name in names if rng.random() < 0.7]
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | {"required": required} if required or rng.random() < 0.5 else found


def _union(rng: Random, depth: int) -> Schema:
    return {"anyOf": [_schema(rng, depth - 1) for _ in range(rng.randint(2, 3))]}


def _reference(_rng: Random, _depth: int) -> Schema:
    return {"$ref": "#/$defs/part"}


_LEAVES: tuple[Callable[[Random, int], Schema], ...] = (
    _string, _string, _integer, _number, _constant, _plain, _reference,
)  # fmt: skip
_BRANCHES = (_array, _object, _object, _union)


def _schema(rng: Random, depth: int) -> Schema:
    makers = _LEAVES if depth <= 0 or rng.random() < 0.45 else _BRANCHES
    return rng.choice(makers)(rng, depth)


def random_schema(seed: int) -> Schema:
    """One schema; the same seed always gives the same one."""
    rng = Random(f"schema {seed}")
    top = _object(rng, 3) if rng.random() < 0.8 else _schema(rng, 3)
    part = rng.choice((_string, _integer, _constant))(rng, 0)
    return {**top, "$defs": {"part": part}}
