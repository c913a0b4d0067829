"""Chunks and whole bodies as the real service shapes them, and their bytes on the wire.

Shapes follow recorded traffic: `role` and `content` on every delta, `native_finish_reason`,
`provider`, reasoning in two fields, and usage in one of five places.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .brain import Said
from .profile import Profile
from .scenario import Scenario, Wire

Chunk = dict[str, Any]
COMMENTS = {"processing": ": OPENROUTER PROCESSING", "bare": ": ", "none": ""}


@dataclass(frozen=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str
    provider: str
    is_text: bool = False

    def chunk(self, delta: dict[str, Any], finish: str | None = None) -> Chunk:
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
        choice["native_finish_reason"] = finish
        if self.is_text:
            choice["text"] = delta.get("content") or ""
        else:
            choice["delta"] = {"role": "assistant", "content": "", **delta}
        return self.bare([choice])

    def bare(self, choices: list[dict[str, Any]]) -> Chunk:
        return {
            "id": self.id,
            "provider": self.provider,
            "model": self.model,
            "object": "text_completion" if self.is_text else "chat.completion.chunk",
            "created": self.created,
            "choices": choices,
        }


def cut(text: str) -> list[str]:
    """Text as tokens: words with the space before them."""
    return re.findall(r"\s*\S+|\s+$", text)


def tokens_of(said: Said, profile: Profile, scenario: Scenario, limit: int) -> list[Chunk]:
    """The deltas of an answer, one per token, cut at `limit`."""
    form = scenario.reasoning_form or ("tags" if profile.reasoning_field == "tags" else "field")
    deltas: list[Chunk] = []
    if said.reasoning and form in ("tags", "open_tags"):
        closing = "\n</think>\n" if form == "tags" else ""
        deltas += [{"content": t} for t in cut(f"<think>\n{said.reasoning}{closing}")]
    elif said.reasoning:
        deltas += [_reasoning(t, profile, form) for t in cut(said.reasoning)]
    deltas += [{"content": t} for t in cut(said.text)]
    deltas = deltas[:limit]
    return deltas + [
        delta
        for number, call in enumerate(said.calls)
        for delta in tool_deltas(scenario.tool_form, number, call)
    ]


def _reasoning(text: str, profile: Profile, form: str) -> Chunk:
    if form == "both":
        return {"reasoning": text, "reasoning_content": text}
    if profile.reasoning_field == "reasoning_content":
        return {"reasoning_content": text}
    details = [{"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}]
    return {"reasoning": text, "reasoning_details": details}


def tool_deltas(form: str, number: int, call: Any) -> list[Chunk]:
    """One call as deltas, whole or in one of the broken forms seen in the wild."""
    half = len(call.arguments) // 2
    first = {"index": number, "id": call.id, "type": "function"}
    first["function"] = {"name": call.name, "arguments": ""}
    rest = [call.arguments[:half], call.arguments[half:]]
    later = [{"index": number, "type": "function", "function": {"arguments": r}} for r in rest]
    entries: list[Any] = [first, *later]
    if form == "trailing_space":
        entries.append({"index": number, "function": {"arguments": " \n"}})
    elif form == "duplicate_call":
        entries.append({**first, "function": {"name": call.name, "arguments": call.arguments}})
    elif form == "no_index":
        entries = [{k: v for k, v in entry.items() if k != "index"} for entry in entries]
    elif form == "from_one":
        entries = [{**entry, "index": number + 1} for entry in entries]
    elif form == "same_index":
        second = {**first, "id": "call_fake_2"}
        second["function"] = {"name": call.name, "arguments": call.arguments}
        entries.append(second)
    elif form == "no_id":
        entries[0] = {k: v for k, v in first.items() if k != "id"}
    elif form == "object_arguments":
        whole = {"name": call.name, "arguments": json.loads(call.arguments)}
        entries = [{**first, "function": whole}]
    elif form == "cut_arguments":
        entries = entries[:2]
    return [{"content": None, "tool_calls": [entry]} for entry in entries]


def endings(head: Head, finish: str, usage: Chunk, scenario: Scenario) -> list[Chunk]:
    """The chunks after the last token: the finish, and usage in its place."""
    wire = scenario.wire
    last = head.chunk({}, finish)
    after: list[Chunk] = []
    if wire.usage == "on_finish":
        last["usage"] = usage
    elif wire.usage == "empty_choices":
        after.append({**head.bare([]), "usage": usage})
    elif wire.usage == "null_finish":
        after.append({**head.chunk({}), "usage": usage})
    elif wire.usage == "repeated_finish":
        after.append({**head.chunk({}, finish), "usage": usage})
    repeated = [last] if scenario.tool_form == "duplicate_finish" else []
    return [last, *repeated, *after]


def encode(chunk: Chunk, wire: Wire) -> bytes:
    """One event."""
    if wire.has_unknown_fields:
        chunk = {**chunk, "x_new_field": {"nested": [1, None]}, "service_tier": None}
    text = json.dumps(chunk, ensure_ascii=False)
    return f"data: {text}{wire.newline}{wire.newline}".encode()


def comment(wire: Wire) -> bytes:
    """One keep-alive, or nothing in the variant without."""
    text = COMMENTS[wire.comment]
    return f"{text}{wire.newline}{wire.newline}".encode() if text else b""


def split(data: bytes, wire: Wire) -> Iterator[bytes]:
    """The pieces in which bytes are written; `byte` begins with single ones."""
    if wire.split in ("event", "all"):
        yield data
        return
    rng = random.Random(wire.seed + len(data))
    largest = 1 if wire.split == "byte" else 60
    while data:
        size = rng.randint(1, largest)
        yield data[:size]
        data = data[size:]
        largest = min(largest + 1, 60)


def whole_body(head: Head, said: Said, finish: str, usage: Chunk) -> Chunk:
    """The answer to a request that did not ask for a stream."""
    message: Chunk = {"role": "assistant", "content": said.text, "refusal": None}
    if said.reasoning:
        message["reasoning"] = said.reasoning
    if said.calls:
        message["content"] = None
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "index": number,
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(said.calls)
        ]
    choice = {"index": 0, "finish_reason": finish, "native_finish_reason": finish}
    body = head.bare([{**choice, "message": message}])
    return {**body, "object": "chat.completion", "usage": usage}
