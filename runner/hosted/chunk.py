"""One upstream chunk, whatever its dialect, as one typed value.

Owns the permissive reading of providers' JSON; knows no HTTP. Invariant: nothing in a chunk, of
whatever type, raises; what cannot be understood is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolPiece:
    """A piece of a tool call as it was sent, with every field optional."""

    index: int | None
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class UpstreamUsage:
    """What the provider counted; `cost_usd` None when it named none."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk. `error` is the raw error object, from the chunk or its choice."""

    text: str = ""
    reasoning: str = ""
    tools: tuple[ToolPiece, ...] = ()
    finish: str | None = None
    usage: UpstreamUsage | None = None
    error: Any = None
    model: str | None = None
    provider: str | None = None
    generation_id: str | None = None

    @property
    def is_progress(self) -> bool:
        """Whether it carries anything of the answer."""
        return bool(self.text or self.reasoning or self.tools or self.finish)


def read_chunk(text: str) -> Chunk | None:
    """Parse the text of one event; None when it is no JSON object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return chunk_of(value) if isinstance(value, dict) else None


def chunk_of(value: Mapping[str, Any]) -> Chunk:
    """A chunk or whole body as a `Chunk`."""
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    choice = choice if isinstance(choice, dict) else {}
    delta = choice.get("delta") or choice.get("message") or {}
    delta = delta if isinstance(delta, dict) else {}
    return Chunk(
        text=_text(delta.get("content")) or _text(choice.get("text")),
        reasoning=_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")),
        tools=_tool_pieces(delta.get("tool_calls")),
        finish=choice.get("finish_reason")
        if isinstance(choice.get("finish_reason"), str)
        else None,
        usage=_usage(value.get("usage")),
        error=value.get("error") or choice.get("error"),
        model=_text(value.get("model")) or None,
        provider=_text(value.get("provider")) or None,
        generation_id=_text(value.get("id")) or None,
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _tool_pieces(value: Any) -> tuple[ToolPiece, ...]:
    if not isinstance(value, list):
        return ()
    pieces = []
    for entry in value:
        if not isinstance(entry, dict):
            continue
        function = entry.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        index = entry.get("index")
        pieces.append(
            ToolPiece(
                index=index if isinstance(index, int) else None,
                id=_text(entry.get("id")) or None,
                name=_text(function.get("name")) or None,
                arguments=arguments or "",
            )
        )
    return tuple(pieces)


def _usage(value: Any) -> UpstreamUsage | None:
    if not isinstance(value, dict) or not value:
        return None
    return UpstreamUsage(
        prompt_tokens=_count(value.get("prompt_tokens")),
        completion_tokens=_count(value.get("completion_tokens")),
        cached_tokens=_count(_inner(value, "prompt_tokens_details").get("cached_tokens")),
        reasoning_tokens=_count(_inner(value, "completion_tokens_details").get("reasoning_tokens")),
        cost_usd=read_usd(value.get("cost")),
    )


def _inner(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _count(value: Any) -> int:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return max(0, value) if is_count else 0


def read_usd(value: Any) -> float | None:
    """An amount as number or text; None when it is not one, which is not the same as zero."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        amount = float(value)
    except (TypeError, ValueError):
        return None
    return amount if 0 <= amount < 1e6 else None
