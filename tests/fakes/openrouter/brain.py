"""What the fake model says: deterministic text that follows Hermes' prompts where it sees them.

It continues a prefilled tale, calls the first tool it is offered, fills a JSON schema, and
thinks when asked to, so that a client's emulation has something true to work on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from .profile import Profile
from .scenario import Scenario

TALE = (
    "Once upon a time a quick brown fox met a lazy dog by the river. They spoke of crème and of "
    "summer, and when the moon had risen over the old mill they went home the long way round."
)
THOUGHT = "The user wants an answer. I will look at the question and then say it."


@dataclass(frozen=True)
class Call:
    """One tool call."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Said:
    """One answer before it is cut into chunks."""

    reasoning: str = ""
    text: str = ""
    calls: tuple[Call, ...] = ()


def think(body: dict[str, Any], profile: Profile, scenario: Scenario) -> Said:
    """The whole answer to a request."""
    messages = body.get("messages") or [{"role": "user", "content": body.get("prompt") or ""}]
    system = " ".join(str(m.get("content")) for m in messages if m.get("role") == "system")
    reasoning = scenario.reasoning or ""
    if not reasoning and (_wants_thinking(body) or "<think>" in system):
        reasoning = THOUGHT
    if scenario.text is not None:
        return Said(reasoning, scenario.text)
    if messages[-1].get("role") == "assistant":
        return Said(text=_continue(str(messages[-1].get("content") or "")))
    has_result = messages[-1].get("role") == "tool" or "<tool_response>" in str(
        messages[-1].get("content")
    )
    tools = _native_tools(body) or _prompted_tools(system)
    if tools and not has_result:
        return _call(tools[0], body, profile, reasoning)
    schema = _schema(body, system)
    if schema is not None:
        return Said(reasoning, json.dumps(fill(schema)))
    return Said(reasoning, TALE)


def _wants_thinking(body: dict[str, Any]) -> bool:
    wish = body.get("reasoning") or {}
    return bool(wish.get("enabled") or wish.get("effort") not in (None, "none"))


def _continue(opening: str) -> str:
    return TALE[len(opening) :] if TALE.startswith(opening) else " and so on."


def _native_tools(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [tool["function"] for tool in body.get("tools") or []]


def _prompted_tools(system: str) -> list[dict[str, Any]]:
    found = []
    for block in re.findall(r"<tools>\s*(.*?)\s*</tools>", system, re.DOTALL):
        for line in block.splitlines():
            try:
                tool = json.loads(line)
            except ValueError:
                continue
            tools = tool if isinstance(tool, list) else [tool]
            found += [one.get("function", one) for one in tools]
    return found


def _call(tool: dict[str, Any], body: dict[str, Any], profile: Profile, reasoning: str) -> Said:
    arguments = json.dumps(fill(tool.get("parameters") or {"type": "object"}))
    is_native = bool(body.get("tools")) and profile.tools == "native"
    if is_native:
        return Said(reasoning, "", (Call("call_fake_1", tool["name"], arguments),))
    written = f'{{"name": "{tool["name"]}", "arguments": {arguments}}}'
    return Said(reasoning, f"<tool_call>\n{written}\n</tool_call>")


def _schema(body: dict[str, Any], system: str) -> dict[str, Any] | None:
    found = re.search(r"<schema>\s*(.*?)\s*</schema>", system, re.DOTALL)
    if found:
        return dict(json.loads(found[1]))
    wish = body.get("response_format") or {}
    if wish.get("type") == "json_schema":
        return dict(wish["json_schema"].get("schema") or {})
    if wish.get("type") == "json_object" or "JSON" in system:
        return {"type": "object"}
    return None


def fill(schema: dict[str, Any]) -> Any:
    """The simplest value that a schema allows."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        return {name: fill(sub) for name, sub in schema.get("properties", {}).items()}
    if kind == "array":
        return [fill(schema.get("items", {}))]
    return {"integer": 4, "number": 4.5, "boolean": True, "null": None}.get(kind, "sky")
