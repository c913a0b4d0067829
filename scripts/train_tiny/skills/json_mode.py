"""JSON mode: an object with the keys asked for, its values taken from the prompt."""

import json
from random import Random
from typing import Any

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Message, Scene, Step, json_object, user
from scripts.train_tiny.wordings import Bank, fill

from .tool_specs import Parameter, spoken_value

FIRST_SENTENCE = "You are a helpful assistant that answers in JSON."
_KINDS = {"string": 10, "integer": 6, "number": 2, "boolean": 2, "array": 1}


def schema_prompt(schema: Message, indent: int | None = None) -> str:
    """The system text of JSON mode."""
    shown = json.dumps(schema, ensure_ascii=False, indent=indent)
    return (
        f"{FIRST_SENTENCE} Here's the json schema you must adhere to:\n<schema>\n{shown}\n</schema>"
    )


def _value(rng: Random, kind: str, strict: bool) -> Any:
    if kind == "integer":
        return words.integer(rng)
    if kind == "number":
        return words.decimal(rng)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "array":
        return list({words.made_up(rng): None for _ in range(rng.randint(1, 3))})
    while True:
        value = words.value(rng)
        if not value.isdigit() or (strict and rng.random() < 0.3):
            return value


def _keys(rng: Random) -> list[str]:
    found: dict[str, None] = {}
    wanted = rng.choice((1, 2, 2, 3, 3, 4, 5))
    while len(found) < wanted:
        key = rng.choice(words.FIELDS) if rng.random() < 0.6 else words.made_up(rng)
        found[key.replace(" ", "_")] = None
    return list(found)


def _schema(rng: Random, kinds: dict[str, str]) -> Message:
    def shape(kind: str) -> Message:
        return {"type": "array", "items": {"type": "string"}} if kind == "array" else {"type": kind}

    properties = {key: shape(kind) for key, kind in kinds.items()}
    if rng.random() < 0.15:
        properties = {key: {"title": key.capitalize(), **item} for key, item in properties.items()}
    schema: Message = {"type": "object", "properties": properties, "required": list(kinds)}
    if rng.random() < 0.3:
        schema = {"title": words.made_up(rng).capitalize(), **schema}
    if rng.random() < 0.15:
        schema["additionalProperties"] = False
    return schema


def _stated(rng: Random, bank: Bank, fields: dict[str, Any], kinds: dict[str, str]) -> str:
    order = list(fields)
    if rng.random() < 0.4:
        rng.shuffle(order)
    pattern = bank.plain(rng, "json_values")
    phrases = []
    for key in order:
        item = Parameter(key, kinds[key], True)
        said = spoken_value(rng, fields[key], item)
        said = said.strip('"') if isinstance(fields[key], str) and rng.random() < 0.7 else said
        used = pattern if rng.random() < 0.7 else bank.plain(rng, "json_values")
        phrases.append(fill(used, {"f": item.spoken(rng), "v": said}))
    if len(phrases) == 1:
        return phrases[0]
    joiner = rng.choice((", ", ", ", "; ", "\n"))
    last = joiner if joiner == "\n" or rng.random() < 0.4 else rng.choice((" and ", ", and "))
    return joiner.join(phrases[:-1]) + last + phrases[-1]


def _kinds(rng: Random) -> dict[str, str]:
    return {key: rng.choices(list(_KINDS), list(_KINDS.values()))[0] for key in _keys(rng)}


def _request(
    rng: Random, bank: Bank, kinds: dict[str, str], with_schema: bool
) -> tuple[str, Message]:
    """A request, and the object to answer with."""
    fields = {key: _value(rng, kind, with_schema) for key, kind in kinds.items()}
    others = {}
    if rng.random() < 0.3:
        others = {key: words.value(rng) for key in _keys(rng) if key not in kinds}
    mixed = {**fields, **others}
    stated = _stated(rng, bank, mixed, {**dict.fromkeys(others, "string"), **kinds})
    asked = bank.say(rng, "json_ask", vals=stated)
    if not with_schema:
        shown = [key if rng.random() < 0.7 else f'"{key}"' for key in kinds]
        joined = shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]
        asked += bank.plain(rng, "json_keys", keys=joined)
    return asked, fields


def _step(asked: str, answer: Message) -> Step:
    text = json.dumps(answer, ensure_ascii=False)
    thought = "I answer with a JSON object. The keys are " + ", ".join(answer) + "."
    return Step((user(asked),), text, thought, json_object(answer))


def json_mode(rng: Random, bank: Bank) -> Scene:
    """Objects, their shape given by a schema or by the keys in the request."""
    turns = rng.randint(1, 3)
    if rng.random() < 0.25:
        loose = [_request(rng, bank, _kinds(rng), False) for _ in range(turns)]
        steps = tuple(_step(asked, fields) for asked, fields in loose)
        return Scene(steps, system=FIRST_SENTENCE, json_only=True)
    kinds = _kinds(rng)
    asks = [_request(rng, bank, kinds, True) for _ in range(turns)]
    system = ""
    if rng.random() < 0.25:
        fields = asks[0][1]
        stated = _stated(rng, bank, fields, dict.fromkeys(fields, "string"))
        system = bank.plain(rng, "json_ask", vals=stated)
        asks = [(bank.say(rng, "json_known"), fields)]
    steps = tuple(_step(asked, fields) for asked, fields in asks)
    return Scene(steps, system=system, schema=_schema(rng, kinds), json_only=True)
