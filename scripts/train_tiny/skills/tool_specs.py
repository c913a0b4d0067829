"""Tools with typed parameters, arguments for them, and how a person asks for a call.

Most tools are made up, name and all; some are everyday ones with natural requests.
"""

import json
from dataclasses import dataclass
from random import Random
from string import ascii_uppercase
from typing import Any

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Call, Message
from scripts.train_tiny.wordings import Bank, fill
from scripts.train_tiny.wordings.everyday import EVERYDAY, Everyday
from scripts.train_tiny.wordings.unseen import UNSEEN

_ACTIONS = words.listed(
    """
    get fetch find list show check read load count measure open close start stop create delete
    remove update send book order buy sell rent lock unlock turn move copy clean paint build
    repair rename archive print scan schedule cancel approve publish assign invite record upload
    download search query lookup set add
    """
)
_PARAMETER_NAMES = words.listed(
    """
    city name color size count limit level date day hour user user_id room room_id title topic
    format mode speed weight price amount quantity target source path language country region
    zone tag priority status kind type group team owner title label query key value depth height
    width max_rows min_price start_date end_date item order_id page page_size verbose force
    dry_run enabled active recursive notify urgent sort_by unit currency
    """
)
_DOMAINS = ("com", "org", "net")
_KINDS = {"string": 9, "integer": 6, "number": 3, "boolean": 4, "enum": 4, "array": 2}
_ENUMS = (
    "low medium high",
    "small medium large",
    "asc desc",
    "json csv xml",
    "red green blue",
    "fast slow",
    "day week month",
    "north south east west",
    "public private",
)


@dataclass(frozen=True)
class Parameter:
    """One parameter: its JSON name and kind, and whether it must be given."""

    name: str
    kind: str
    required: bool
    options: tuple[str, ...] = ()

    def spoken(self, rng: Random) -> str:
        """The name as a person says it."""
        return self.name if rng.random() < 0.3 else self.name.replace("_", " ")

    def schema(self, rng: Random, described: bool) -> Message:
        """The parameter as JSON schema."""
        if self.kind == "array":
            shape: Message = {"type": "array", "items": {"type": "string"}}
        elif self.kind in ("integer", "number", "boolean"):
            shape = {"type": self.kind}
        else:
            shape = {"type": "string"}
        about = {"description": f"The {self.name.replace('_', ' ')}"} if described else {}
        options = {"enum": list(self.options)} if self.options else {}
        parts = [shape, about, options]
        if rng.random() < 0.2:
            parts = [about, shape, options]
        return {key: item for part in parts for key, item in part.items()}


@dataclass(frozen=True)
class Tool:
    """A tool, what it does as a clause, and its schema as the request carries it."""

    name: str
    act: str
    parameters: tuple[Parameter, ...]
    schema: Message
    everyday: Everyday | None = None


def _schema(rng: Random, name: str, about: str, parameters: tuple[Parameter, ...]) -> Message:
    described = rng.random() < 0.35
    properties = {item.name: item.schema(rng, described) for item in parameters}
    required = [item.name for item in parameters if item.required]
    shape: Message = {"type": "object", "properties": properties}
    if required or rng.random() < 0.5:
        shape["required"] = required
    if rng.random() < 0.08:
        shape["additionalProperties"] = False
    function: Message = {"name": name}
    if rng.random() < 0.92:
        function["description"] = about
    if parameters or rng.random() < 0.7:
        function["parameters"] = shape
    return {"type": "function", "function": function}


def everyday(rng: Random, entry: Everyday | None = None) -> Tool:
    """One of the familiar tools."""
    entry = entry or rng.choice(EVERYDAY)
    parameters = tuple(
        Parameter(name, kind, required, options)
        for name, kind, required, options in entry.parameters
    )
    schema = _schema(rng, entry.name, entry.about, parameters)
    return Tool(entry.name, entry.act, parameters, schema, entry)


def _parameter_name(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.6:
        return rng.choice(_PARAMETER_NAMES)
    made = words.made_up(rng)
    return made if kind < 0.85 else f"{made}_{rng.choice(('id', 'name', 'level', 'code', 'count'))}"


def _parameter(rng: Random, name: str, kind: str, required: bool) -> Parameter:
    options: tuple[str, ...] = ()
    if kind == "enum":
        made = tuple({words.made_up(rng): None for _ in range(rng.randint(2, 4))})
        options = tuple(rng.choice(_ENUMS).split()) if rng.random() < 0.5 else made
    return Parameter(name, kind, required, options)


def made_up(
    rng: Random, noun: str = "", count: int | None = None, first: Parameter | None = None
) -> Tool:
    """A tool nobody has seen before, with 0 to 4 parameters."""
    noun = noun or thing(rng)
    action = rng.choice(_ACTIONS)
    name = f"{action}_{noun.replace(' ', '_')}"
    if rng.random() < 0.1:
        name = action + "".join(part.capitalize() for part in noun.split())
    count = rng.choice((0, 1, 1, 2, 2, 3, 4)) if count is None else count
    names: dict[str, None] = {first.name: None} if first else {}
    while len(names) < count:
        names[_parameter_name(rng)] = None
    kinds = rng.choices(list(_KINDS), list(_KINDS.values()), k=len(names))
    parameters = [
        _parameter(rng, item, kind, rng.random() < 0.65)
        for item, kind in zip(names, kinds, strict=True)
    ]
    if first:
        parameters[0] = first
    parameters.sort(key=lambda item: not item.required)
    act = f"{action} the {noun}"
    about = rng.choice(
        (act.capitalize(), f"{act.capitalize()}.", f"{action.capitalize()}s the {noun}")
    )
    return Tool(name, act, tuple(parameters), _schema(rng, name, about, tuple(parameters)))


def thing(rng: Random) -> str:
    """What a made-up tool is about."""
    noun = words.made_up(rng) if rng.random() < 0.7 else rng.choice(words.NOUNS)
    if rng.random() < 0.35:
        noun += " " + rng.choice(
            ("report", "level", "rate", "status", "list", "record", "ticket", "price")
        )
    return noun


def toolbox(rng: Random, needed: list[Tool], most: int = 4) -> tuple[Message, ...]:
    """The schemas of the needed tools among others that do not fit, in random order."""
    tools = list(needed)
    for _ in range(rng.randint(0, max(0, most - len(needed)))):
        noun = ""
        if rng.random() < 0.25 and not needed[0].everyday:
            noun = needed[0].act.split(" the ", 1)[1]
        tools.append(everyday(rng) if rng.random() < 0.25 else made_up(rng, noun))
    by_name = {tool.name: tool for tool in reversed(tools)}
    acts = {tool.act for tool in needed}
    kept = [tool for tool in by_name.values() if tool in needed or tool.act not in acts]
    rng.shuffle(kept)
    return tuple(tool.schema for tool in kept)


def _suffix(rng: Random) -> str:
    return "." + rng.choice(("txt", "md", "json", "py"))


def argument(rng: Random, item: Parameter) -> Any:
    """A value for a parameter."""
    makers: dict[str, Any] = {
        "integer": words.integer,
        "number": words.decimal,
        "boolean": lambda r: r.random() < 0.5,
        "array": lambda r: list({words.made_up(r): None for _ in range(r.randint(1, 3))}),
        "enum": lambda r: r.choice(item.options),
        "city": lambda r: r.choice(words.CITIES) if r.random() < 0.6 else words.name(r),
        "text": lambda r: " ".join(words.word(r) for _ in range(r.randint(1, 4))),
        "email": lambda r: f"{words.made_up(r)}@{words.made_up(r)}.{r.choice(_DOMAINS)}",
        "sum": lambda r: f"{r.randint(2, 999)} {r.choice('+-*/')} {r.randint(2, 999)}",
        "symbol": lambda r: "".join(r.choice(ascii_uppercase) for _ in range(r.randint(3, 4))),
        "word": words.made_up,
        "path": lambda r: r.choice(("/", "", "./", "docs/")) + words.made_up(r) + _suffix(r),
        "clock": words.clock,
        "string": words.value,
    }
    return makers[item.kind](rng)


def arguments(rng: Random, tool: Tool, skip: str = "") -> dict[str, Any]:
    """Arguments in schema order; optional ones are often left out."""
    return {
        item.name: argument(rng, item)
        for item in tool.parameters
        if item.name != skip and (item.required or rng.random() < 0.5)
    }


def spoken_value(rng: Random, value: Any, item: Parameter) -> str:
    """A value as a person writes it."""
    if isinstance(value, bool):
        pairs = (("true", "false"), ("true", "false"), ("yes", "no"), ("on", "off"))
        return rng.choice(pairs)[0 if value else 1]
    if isinstance(value, list):
        if rng.random() < 0.3:
            return json.dumps(value)
        return value[0] if len(value) == 1 else ", ".join(value[:-1]) + " and " + value[-1]
    if not isinstance(value, str):
        return str(value)
    quoted = " " in value and item.kind in ("text", "string")
    return f'"{value}"' if quoted or rng.random() < 0.12 else value


def spoken_arguments(rng: Random, bank: Bank, tool: Tool, given: dict[str, Any]) -> str:
    """The arguments as the tail of a request, such as ' with city Oslo and limit 3'."""
    items = [item for item in tool.parameters if item.name in given]
    if not items:
        return ""
    rng.shuffle(items)
    said = [spoken_value(rng, given[item.name], item) for item in items]
    if len(items) == 1 and isinstance(given[items[0].name], str) and rng.random() < 0.4:
        return bank.plain(rng, "arg_alone", v=said[0])
    opener = bank.plain(rng, "args_open")
    same = bank.plain(rng, "arg") if rng.random() < 0.5 else ""
    phrases = [
        fill(same or bank.plain(rng, "arg"), {"n": item.spoken(rng), "v": text})
        for item, text in zip(items, said, strict=True)
    ]
    if opener.endswith("- "):
        return opener + "\n- ".join(phrases)
    last = rng.choice((" and ", " and ", ", ", ", and ", "; "))
    joined = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + last + phrases[-1]
    return opener + joined + (")" if opener.endswith("(") else "")


def request(rng: Random, bank: Bank, tool: Tool, given: dict[str, Any], intent: str = "act") -> str:
    """A sentence that asks for this call."""
    if tool.everyday and intent == "act" and rng.random() < 0.75:
        known = tool.everyday.unseen if bank is UNSEEN else tool.everyday.train
        fitting = [text for text in known if _slots(text) == set(given)]
        if fitting:
            kinds = {item.name: item for item in tool.parameters}
            said = {key: spoken_value(rng, value, kinds[key]) for key, value in given.items()}
            return fill(rng.choice(fitting), said)
    tail = spoken_arguments(rng, bank, tool, given)
    sentence = bank.say(rng, intent, act=tool.act, tool=tool.name, args=tail)
    return sentence + rng.choice(
        ("", "", ".", ".", "?" if sentence.lower().startswith("c") else ".")
    )


def clause(rng: Random, bank: Bank, tool: Tool, given: dict[str, Any]) -> str:
    """The call as a clause inside a longer request."""
    tail = spoken_arguments(rng, bank, tool, given)
    return bank.plain(rng, "clause", act=tool.act, tool=tool.name, args=tail)


def call(tool: Tool, given: dict[str, Any]) -> Call:
    """The call itself, arguments in schema order."""
    return Call(
        tool.name, {item.name: given[item.name] for item in tool.parameters if item.name in given}
    )


def _slots(template: str) -> set[str]:
    return {part.split("}")[0] for part in template.split("{")[1:]}
