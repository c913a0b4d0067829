"""JSON Schemas from outside: bounded, checked, and rewritten so that they can stand in a grammar.

Owns which keywords can be enforced and how large a schema may be; knows no grammar library.
Invariant: what comes out has only local references, below the place it was prepared for, and
every instance of it is an instance of the schema that went in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from runner.errors import InvalidRequestError
from runner.types import JsonObject

from .schema_crowd import count_expressions

MAX_BYTES = 64 * 1024
MAX_DEPTH = 64
MAX_ENUM = 500
MAX_PROPERTIES = 200
MAX_BOUND = 100_000  # bounds on lengths are cheap to enforce; those inside a pattern are not
MAX_PATTERN_REPEAT = 1000
MAX_PATTERNS_AT_ONCE = 10  # on one string
MAX_PATTERN_PROPERTIES = 50  # each is compared with every other

UNSUPPORTED = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "contains",
        "minContains",
        "maxContains",
        "dependentRequired",
        "dependentSchemas",
        "dependencies",
        "propertyNames",
        "unevaluatedProperties",
        "unevaluatedItems",
        "$dynamicRef",
        "$dynamicAnchor",
        "$recursiveRef",
        "$recursiveAnchor",
    }
)
SUPPORTED_FORMATS = frozenset(
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"]
)
UNSUPPORTED_FORMATS = frozenset(
    {
        "idn-email",
        "idn-hostname",
        "uri-reference",
        "iri",
        "iri-reference",
        "uri-template",
        "json-pointer",
        "relative-json-pointer",
        "regex",
    }
)
FOURTH = "(?:0[48]|[2468][048]|[13579][26])"  # of a hundred, those that four divides
YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
DATE = (
    f"(?:{YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|"
    "(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|"
    f"(?:[0-9]{{2}}{FOURTH}|{FOURTH}00)-02-29)"
)
HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIME = rf"{HOUR}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{HOUR})"
# RFC 3339 without what only some readers take: leap seconds (which the grammar library allows in
# any minute, as it does February 29 in any year), the year 0, small letters, endless fractions.
FORMAT_PATTERNS = {"date": f"^{DATE}$", "time": f"^{TIME}$", "date-time": f"^{DATE}T{TIME}$"}
FIXED = frozenset({"const", "enum"})
SCHEMA_KEYWORDS = frozenset({"items", "additionalProperties", "additionalItems"})
ITEM_KEYWORDS = frozenset({"items", "prefixItems"})
DEFINITIONS = frozenset({"$defs", "definitions"})
MAP_KEYWORDS = DEFINITIONS | {"properties", "patternProperties"}
BOUNDS = frozenset(
    {
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    }
)
DROPPED = frozenset({"$schema", "$id", "id", "x-guidance", "$comment"})
OPENERS = frozenset(["additionalProperties", "patternProperties", "minProperties"])
COMBINERS = frozenset(["allOf", "anyOf", "oneOf", "$ref"])
LOOK_AROUND = re.compile(r"\(\?<?[=!]|(?<!\\)(?:\\\\)*\\[1-9]")
PATTERN_REPEAT = re.compile(r"\{(\d+)(?:,(\d*))?\}")


def prepare_schema(schema: JsonObject, *, param: str, root: str = "#") -> JsonObject:
    """A schema that can be enforced, to be placed at the JSON pointer `root`.

    Raises:
        InvalidRequestError: it is too large, refers outside itself, or uses a keyword that
            cannot be enforced; the message names the keyword.
    """
    _check_size(schema, param)
    if count_expressions(schema, MAX_PATTERNS_AT_ONCE) > MAX_PATTERNS_AT_ONCE:
        message = (
            f"{param}: at most {MAX_PATTERNS_AT_ONCE} patterns and formats may bear on a value"
        )
        raise InvalidRequestError(f"{message}; combine fewer", param=param)
    return _Preparation(param, root, closes_definitions=not _is_combined(schema)).prepare(schema)


class _Preparation:
    """One walk through a schema; `param` is what errors point to.

    Objects that list their properties are closed to others: callers mean that, and it spares the
    model endless inventions. What may be combined with another schema stays open.
    """

    def __init__(self, param: str, root: str, *, closes_definitions: bool) -> None:
        self._param = param
        self._root = root
        self._closes_definitions = closes_definitions
        self._num_pattern_properties = 0

    def prepare(self, schema: JsonObject, *, may_close: bool = True) -> JsonObject:
        """The schema rewritten."""
        inner = may_close and not _is_combining(schema)
        prepared: JsonObject = {}
        for keyword, value in schema.items():
            if keyword not in DROPPED:
                self._check_keyword(keyword, value)
                if not _is_idle(keyword, value):
                    prepared[keyword] = self._prepare_value(keyword, value, inner)
        if may_close and _is_closable(schema):
            prepared["additionalProperties"] = False
        return _narrow_format(prepared)

    def _prepare_value(self, keyword: str, value: Any, inner: bool) -> Any:
        if keyword == "$ref":
            return self._root + str(value)[1:]
        if keyword in MAP_KEYWORDS and isinstance(value, dict):
            may_close = self._closes_definitions or keyword not in DEFINITIONS
            return {name: self._prepare_any(item, may_close) for name, item in value.items()}
        if keyword in COMBINERS and isinstance(value, list):
            return [self._prepare_any(item, inner) for item in value]
        if keyword in ITEM_KEYWORDS and isinstance(value, list):
            return [self._prepare_any(item, True) for item in value]
        return self._prepare_any(value, True) if keyword in SCHEMA_KEYWORDS else value

    def _prepare_any(self, value: Any, may_close: bool) -> Any:
        return self.prepare(value, may_close=may_close) if isinstance(value, dict) else value

    def _check_keyword(self, keyword: str, value: Any) -> None:
        if keyword in UNSUPPORTED or (keyword == "uniqueItems" and value is not False):
            self._refuse(f"the JSON Schema keyword {keyword!r} cannot be enforced; leave it out")
        if keyword == "$ref" and not (isinstance(value, str) and re.match(r"#(/|$)", value)):
            self._refuse("'$ref' may only point into the schema itself, as '#/…'")
        if keyword == "format" and isinstance(value, str) and value in UNSUPPORTED_FORMATS:
            self._refuse(f"the 'format' {value!r} cannot be enforced; leave it out or use pattern")
        if keyword == "pattern":
            self._check_pattern(value)
        if keyword == "patternProperties" and isinstance(value, dict):
            self._check_pattern_properties(value)
        self._check_amount(keyword, value)

    def _check_pattern(self, pattern: Any) -> None:
        if not isinstance(pattern, str):
            self._refuse("'pattern' must be a string")
        if LOOK_AROUND.search(pattern):
            self._refuse("'pattern' with look-around or back-references cannot be enforced")
        counts = (count for pair in PATTERN_REPEAT.findall(pattern) for count in pair if count)
        if any(len(count) > 9 or int(count) > MAX_PATTERN_REPEAT for count in counts):
            self._refuse(f"'pattern' may repeat at most {MAX_PATTERN_REPEAT} times")

    def _check_pattern_properties(self, value: JsonObject) -> None:
        self._num_pattern_properties += len(value)
        if self._num_pattern_properties > MAX_PATTERN_PROPERTIES:
            self._refuse(f"'patternProperties' may name {MAX_PATTERN_PROPERTIES} patterns in all")
        for pattern in value:
            self._check_pattern(pattern)

    def _check_amount(self, keyword: str, value: Any) -> None:
        if keyword == "enum" and (not isinstance(value, list) or not 0 < len(value) <= MAX_ENUM):
            self._refuse(f"'enum' must be a list of 1 to {MAX_ENUM} values")
        if keyword == "properties" and (not isinstance(value, dict) or len(value) > MAX_PROPERTIES):
            self._refuse(f"'properties' must be an object of at most {MAX_PROPERTIES} schemas")
        if keyword in BOUNDS and not _is_amount(value):
            self._refuse(f"{keyword!r} must be a whole number from 0 to {MAX_BOUND}")

    def _refuse(self, message: str) -> None:
        raise InvalidRequestError(f"{self._param}: {message}", param=self._param)


def _narrow_format(prepared: JsonObject) -> JsonObject:
    """Dates and times as a pattern of our own, unless the values are listed anyway."""
    pattern, parts = FORMAT_PATTERNS.get(prepared.get("format", "")), prepared.get("allOf", [])
    if pattern is None or FIXED & prepared.keys() or not isinstance(parts, list):
        return prepared
    others = {keyword: value for keyword, value in prepared.items() if keyword != "format"}
    return {**others, "allOf": [*parts, {"pattern": pattern}]}


def _is_combining(schema: JsonObject) -> bool:
    """Whether its parts see each other's properties."""
    return "allOf" in schema or ("properties" in schema and bool(COMBINERS & schema.keys()))


def _is_closable(schema: JsonObject) -> bool:
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, dict) or not properties or not isinstance(required, list):
        return False
    is_open = (OPENERS | COMBINERS) & schema.keys()
    return not is_open and all(isinstance(name, str) and name in properties for name in required)


def _is_combined(schema: JsonObject) -> bool:
    """Whether any part of the schema combines others, so that definitions must stay open."""
    return any(isinstance(value, dict) and _is_combining(value) for value, _ in _walk(schema))


def _is_idle(keyword: str, value: Any) -> bool:
    """Keywords that say nothing: a format nobody defined is a remark only."""
    if keyword == "format":
        return not isinstance(value, str) or value not in SUPPORTED_FORMATS
    return keyword == "uniqueItems"


def _is_amount(value: Any) -> bool:
    is_whole = isinstance(value, int | float) and not isinstance(value, bool)
    return is_whole and 0 <= value <= MAX_BOUND and value == int(value)


def _check_size(schema: JsonObject, param: str) -> None:
    if any(depth > MAX_DEPTH for _, depth in _walk(schema)):
        message = f"{param}: the schema is nested deeper than {MAX_DEPTH} levels; flatten it"
        raise InvalidRequestError(message, param=param)
    size = len(json.dumps(schema).encode())
    if size > MAX_BYTES:
        message = f"{param}: the schema has {size} bytes but at most {MAX_BYTES} are allowed"
        raise InvalidRequestError(message, param=param)


def _walk(schema: JsonObject) -> Iterator[tuple[Any, int]]:
    """Every container with its depth, a little beyond the limit, without recursion."""
    waiting: list[tuple[Any, int]] = [(schema, 1)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, dict | list) and depth <= MAX_DEPTH + 1:
            yield value, depth
            children = value.values() if isinstance(value, dict) else value
            waiting += [(child, depth + 1) for child in children]
