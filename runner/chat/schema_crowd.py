"""How many regular expressions of a schema may bear on one and the same string.

Owns that count and nothing else; the schema may refer to itself. Each expression more doubles the
time in which a grammar library finds whether any text obeys all of them. Invariant: never fewer
than there are, up to where counting stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from runner.types import JsonObject

EXPRESSIONS = ("pattern", "format")
MAPS_INSIDE = ("properties", "patternProperties")
SCHEMAS_INSIDE = ("items", "prefixItems", "additionalProperties", "additionalItems")
CHOICES = ("anyOf", "oneOf")
MAX_ROUNDS = 40  # schemas that refer to each other are counted anew until nothing changes


@dataclass(frozen=True, slots=True)
class Crowd:
    """Expressions on a value itself, and the most on any value inside it."""

    here: int = 0
    inside: int = 0

    def __add__(self, other: Crowd) -> Crowd:
        return Crowd(self.here + other.here, self.inside + other.inside)

    def __or__(self, other: Crowd) -> Crowd:
        return Crowd(max(self.here, other.here), max(self.inside, other.inside))

    @property
    def most(self) -> int:
        """On one string, wherever."""
        return max(self.here, self.inside)


def count_expressions(schema: JsonObject, limit: int) -> int:
    """The most that may bear on one string; `limit + 1` stands for more, or for no end of them."""
    known = {reference: Crowd() for reference in _references(schema)}
    for _ in range(MAX_ROUNDS):
        before, count = dict(known), _Count(known)
        for reference in known:
            found = count.of(_resolve(schema, reference))
            known[reference] = Crowd(min(found.here, limit + 1), min(found.inside, limit + 1))
        if known == before:
            return min(count.of(schema).most, limit + 1)
    return limit + 1


class _Count:
    """One round through a schema, with what is known so far of the targets of its references."""

    def __init__(self, known: dict[str, Crowd]) -> None:
        self._known = known
        self._counted: dict[int, Crowd] = {}

    def of(self, schema: Any) -> Crowd:
        """Each place is counted once, however many refer to it."""
        if not isinstance(schema, dict):
            return Crowd()
        found = self._counted.get(id(schema))
        if found is None:
            found = self._counted[id(schema)] = self._count(schema)
        return found

    def _count(self, schema: JsonObject) -> Crowd:
        found = Crowd(sum(isinstance(schema.get(keyword), str) for keyword in EXPRESSIONS))
        for keyword in (*MAPS_INSIDE, *SCHEMAS_INSIDE):
            inside = [self.of(part).most for part in _parts_inside(schema.get(keyword), keyword)]
            found += Crowd(0, max(inside, default=0))
        for part in _listed(schema.get("allOf")):
            found += self.of(part)
        for keyword in CHOICES:
            either = Crowd()
            for part in _listed(schema.get(keyword)):
                either |= self.of(part)
            found += either
        reference = schema.get("$ref")
        return found + self._known[reference] if isinstance(reference, str) else found


def _parts_inside(value: Any, keyword: str) -> list[Any]:
    if keyword in MAPS_INSIDE:
        return list(value.values()) if isinstance(value, dict) else []
    return value if isinstance(value, list) else [value]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _references(schema: Any) -> Iterator[str]:
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                yield reference
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _resolve(schema: Any, reference: str) -> Any:
    """What a reference of the form `#/…` points to; None where there is nothing."""
    for step in filter(None, reference.removeprefix("#").split("/")):
        name = unquote(step).replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict):
            schema = schema.get(name)
        elif isinstance(schema, list) and name.isdecimal() and int(name) < len(schema):
            schema = schema[int(name)]
        else:
            return None
    return schema
