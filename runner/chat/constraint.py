"""What the output must satisfy, from tools and response format.

Owns the grammars' texts as llguidance reads them; runs none. Invariant: every JSON Schema in
them went through `prepare_schema`, every grammar of a caller through `check_grammar`, so all are
bounded. In Lark texts the rules `call_open` and `call_close` stand for the tags: where a
vocabulary has these as single tokens, the engine puts the tokens in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from runner.errors import InvalidRequestError
from runner.types import Constraint, JsonObject, ResponseFormat, Tool, ToolChoice

from .grammar import check_grammar
from .schema import prepare_schema

JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"
THINK_END = "</think>"
# Text that a grammar forces need not come to an end: a caller's grammar allows, it forces nothing.
# On the line of the grammar's first, so that lines keep their numbers in what is said of them.
NO_FORCING = '%llguidance {"no_forcing": true} '


@dataclass(frozen=True, slots=True)
class Wish:
    """What of a request bears on the output's form."""

    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice = ToolChoice()
    is_parallel: bool = True
    response_format: ResponseFormat = ResponseFormat()
    after_thinking: bool = False


def constrain(wish: Wish) -> Constraint | None:
    """The constraint on a whole answer; None when it may be anything.

    With tools on `auto` and a JSON response format the answer is either calls or the JSON, as
    its first letters decide. Raises `InvalidRequestError` for what cannot be enforced.
    """
    if not wish.tools:
        return _constrain_document(wish)
    if wish.tool_choice.mode in ("required", "named"):
        return _force_call(wish)
    if wish.response_format.kind != "text":
        return _constrain_choice(wish)
    calls = _allow_calls(wish.tools, is_parallel=wish.is_parallel)
    if wish.after_thinking and not wish.is_parallel:
        # A call that is only thought of must not end the answer: wait for the thought's end.
        return Constraint("regex", "\n", trigger=THINK_END, then=calls)
    return calls


def _allow_calls(tools: Sequence[Tool], *, is_parallel: bool) -> Constraint:
    """Calls may come at any time; from the opening tag on they are ruled by their schemas.

    The closing tag belongs to the grammar: a model's own token for the last brackets often holds
    the line break behind them, and without it the model would write on.
    """
    return Constraint(
        "lark",
        _write_lark("start: call_rest", _describe_call(tools)),
        trigger=CALL_OPEN,
        prefix="\n",
        repeat=is_parallel,
        ends_answer=not is_parallel,
    )


def _force_call(wish: Wish) -> Constraint:
    """A call at once, or right after the thinking: of a named tool one, else maybe more."""
    named = [tool for tool in wish.tools if tool.name == wish.tool_choice.name]
    is_parallel = wish.is_parallel and not named
    calls = _allow_calls(named or wish.tools, is_parallel=is_parallel)
    return replace(
        calls,
        trigger=THINK_END if wish.after_thinking else None,
        prefix=_lead(wish) + f"{CALL_OPEN}\n",
        repeat=False,
        then=calls if is_parallel else None,
    )


def _constrain_document(wish: Wish) -> Constraint | None:
    response_format = wish.response_format
    if response_format.kind == "text":
        return None
    kind: Literal["json_schema", "gbnf", "lark"] = "json_schema"
    if response_format.kind == "grammar":
        grammar = response_format.grammar or ""
        kind = check_grammar(grammar)
        if kind == "lark":
            grammar = NO_FORCING + grammar
    else:
        grammar = _write_document_schema(response_format)
    trigger = THINK_END if wish.after_thinking else None
    return Constraint(kind, grammar, trigger, prefix=_lead(wish), ends_answer=True)


def _constrain_choice(wish: Wish) -> Constraint:
    """Calls or the JSON document, as Lark: the tags of calls cannot be told by JSON Schema."""
    if wish.response_format.kind == "grammar":
        raise InvalidRequestError(
            "a grammar cannot be combined with tools; set tool_choice to none or leave it out",
            param="grammar",
        )
    grammar = _write_lark(
        "start: calls | document",
        'calls: call ("\\n" call)*' if wish.is_parallel else "calls: call",
        'call: call_open "\\n" call_rest',
        f'call_open: "{CALL_OPEN}"',
        _describe_call(wish.tools),
        f"document: %json {_write_document_schema(wish.response_format)}",
    )
    trigger = THINK_END if wish.after_thinking else None
    return Constraint("lark", grammar, trigger, prefix=_lead(wish), ends_answer=True)


def _describe_call(tools: Sequence[Tool]) -> str:
    """The rules of a call from its JSON on."""
    return _write_lark(
        'call_rest: call_body "\\n" call_close',
        f'call_close: "{CALL_CLOSE}"',
        f"call_body: %json {_write_call_schema(tools)}",
    )


def _write_lark(*rules: str) -> str:
    return "".join(rule.rstrip("\n") + "\n" for rule in rules)


def _lead(wish: Wish) -> str:
    return "\n" if wish.after_thinking else ""


def _write_call_schema(tools: Sequence[Tool]) -> str:
    """One call as JSON Schema text: a branch per tool, its name first, then its arguments."""
    branches = [_describe_branch(index, tool) for index, tool in enumerate(tools)]
    return json.dumps({"x-guidance": JSON_STYLE, "anyOf": branches})


def _describe_branch(index: int, tool: Tool) -> JsonObject:
    param = f"tools[{index}].function.parameters"
    schema = {"type": "object", **tool.parameters}
    if schema["type"] != "object":
        raise InvalidRequestError(f"{param}: the type must be 'object'", param=param)
    arguments = prepare_schema(schema, param=param, root=f"#/anyOf/{index}/properties/arguments")
    if not arguments.keys() - {"type", "properties"} and not arguments.get("properties"):
        arguments["additionalProperties"] = False
    return {
        "type": "object",
        "properties": {"name": {"const": tool.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _write_document_schema(response_format: ResponseFormat) -> str:
    schema: JsonObject = {"type": "object"}
    if response_format.kind == "json_schema":
        if response_format.schema is None:
            raise InvalidRequestError(
                "response_format of type json_schema needs a schema", param="response_format"
            )
        schema = prepare_schema(response_format.schema, param="response_format.json_schema")
    return json.dumps({**schema, "x-guidance": JSON_STYLE})
