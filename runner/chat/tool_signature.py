"""The tool prompt that Hermes 2 Pro and Hermes 3 were trained on: Python-like signatures.

Owns one text, equal letter by letter to the models' published tool_use template wherever that
template works, quirks included; what it cannot render (no descriptions, `null`) is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from runner.types import JsonObject

TYPES = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"}
OPENING = (
    "You are a function calling AI model. You are provided with function signatures within "
    "<tools></tools> XML tags. You may call one or more functions to assist with the user query. "
    "Don't make assumptions about what values to plug into functions. Here are the available "
    "tools: <tools> "
)
CALL_SCHEMA = {
    "properties": {
        "name": {"title": "Name", "type": "string"},
        "arguments": {"title": "Arguments", "type": "object"},
    },
    "required": ["name", "arguments"],
    "title": "FunctionCall",
    "type": "object",
}
CLOSING = (
    " </tools>Use the following pydantic model json schema for each tool call you will make: "
    f"{json.dumps(CALL_SCHEMA)}}}\n"  # the stray brace is the published template's own
    "For each function call return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags as follows:\n"
    '<tool_call>\n{"name": <function-name>, "arguments": <args-dict>}\n</tool_call>'
)


def describe_signatures(tools: Sequence[JsonObject]) -> str:
    """The whole prompt for tools in OpenAI's shape."""
    return OPENING + "\n".join(_describe(tool["function"]) for tool in tools) + CLOSING


def _describe(function: JsonObject) -> str:
    parameters = function.get("parameters") or {}
    properties = _properties(parameters)
    types = {name: _python_type(spec) for name, spec in properties.items()}
    signature = ", ".join(f"{name}: {kind}" for name, kind in types.items())
    rows = "".join(
        f"        {name}({types[name]}): {_description(spec)}" for name, spec in properties.items()
    )
    about = f"{function['name']}({signature}) - {function.get('description', '')}\n\n"
    about += f"    Args:\n{rows}" if rows else ""
    shape = json.dumps(parameters, ensure_ascii=False) if properties else "{}"
    head = f'{{"type": "function", "function": {{"name": "{function["name"]}", '
    return f'{head}"description": "{about}", "parameters": {shape}}}'


def _properties(parameters: JsonObject) -> JsonObject:
    properties = parameters.get("properties")
    return properties if isinstance(properties, dict) else {}


def _description(spec: Any) -> str:
    description = spec.get("description", "") if isinstance(spec, dict) else ""
    return str(description).strip()


def _python_type(spec: Any) -> str:
    kind = spec.get("type") if isinstance(spec, dict) else None
    if isinstance(kind, str):
        return _named_type(kind, spec)
    if isinstance(kind, list):
        return f"Union[{','.join(_python_type({'type': item}) for item in kind)}]"
    return "Union[]"


def _named_type(kind: str, spec: JsonObject) -> str:
    if kind in TYPES:
        return TYPES[kind]
    if kind == "array":
        return "list[Union[]]"  # the published template never looks into `items`
    if kind == "object" and "additionalProperties" in spec:
        return f"dict[str, {_python_type(spec['additionalProperties'])}]"
    return "dict" if kind == "object" else "Any"
