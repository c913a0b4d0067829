"""`POST /v1/chat/completions`: one conversation in, one answer out, whole or as a stream.

Owns the rendering of events as OpenAI's chunks and bodies. Which backend answers is the router's
business; closing the response cancels it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from runner.types import (
    Finished,
    JsonObject,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)

from . import body, sse
from .chat_body import ChatBody
from .choice import Choices, open_choices
from .edge import Edge
from .render import logprob_json, merge_usage, route_json, timings_json, usage_json


def chat_router(edge: Edge) -> APIRouter:
    """The endpoint, under both of its paths."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions", openapi_extra=body.openapi(ChatBody))
    async def create_chat_completion(request: Request) -> Response:
        """Answer a conversation."""
        return await answer_chat(edge, request)

    router.add_api_route(
        "/chat/completions", create_chat_completion, methods=["POST"], include_in_schema=False
    )
    return router


async def answer_chat(edge: Edge, request: Request) -> Response:
    """Read, route, and answer as asked for."""
    asked = await edge.read(request, ChatBody)
    wanted = asked.request(edge.occasion(request, asked.model))
    choices = await open_choices(edge, request, [wanted], asked.n or 1)
    shape = ChatShape(
        model=wanted.model,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        exclude_reasoning=wanted.reasoning.exclude,
        has_logprobs=bool(asked.logprobs),
        ignored=asked.unknown_fields(),
    )
    headers = choices.headers()
    if asked.stream:
        awaited = partial(edge.services.local.awaited, wanted.model)
        return sse.EventStream(stream_chat(choices, shape), headers, awaited)
    return JSONResponse(await whole_chat(choices, shape), headers=headers)


@dataclass(frozen=True, slots=True)
class ChatShape:
    """What is the same in every chunk of one answer, and what was asked of its form."""

    model: str
    include_usage: bool
    exclude_reasoning: bool
    has_logprobs: bool
    ignored: tuple[str, ...]
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def chunk(self, provider: str, choices: list[JsonObject], **more: Any) -> JsonObject:
        """One `chat.completion.chunk`."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "provider": provider,
            "system_fingerprint": None,
            "choices": choices,
            **({"usage": None} if self.include_usage else {}),
            **more,
        }


async def stream_chat(choices: Choices, shape: ChatShape) -> AsyncGenerator[bytes]:
    """The frames of a streamed answer, `[DONE]` last."""
    finished: dict[int, Finished] = {}
    async with choices:
        for index in range(choices.count):
            delta = {"role": "assistant", "content": ""}
            yield sse.frame(shape.chunk(choices.provider, [_choice(index, delta)]))
        async for index, event in choices.events():
            if isinstance(event, Finished):
                finished[index] = event
                is_last = len(finished) == choices.count
                yield sse.frame(_finish_chunk(choices, shape, index, event, is_last))
                continue
            delta = _delta(event, shape)
            if delta:
                choice = _choice(index, delta)
                if isinstance(event, TextDelta) and event.logprobs:
                    choice["logprobs"] = _logprobs(event.logprobs)
                yield sse.frame(shape.chunk(choices.provider, [choice]))
        if shape.include_usage:
            yield sse.frame(_usage_chunk(choices, shape, list(finished.values())))
        yield sse.DONE


def _finish_chunk(
    choices: Choices, shape: ChatShape, index: int, event: Finished, is_last: bool
) -> JsonObject:
    chunk = shape.chunk(choices.provider, [_choice(index, {}, event.reason)])
    if is_last and not shape.include_usage:
        chunk |= _closing(choices, shape, event)
    return chunk


def _usage_chunk(choices: Choices, shape: ChatShape, finished: list[Finished]) -> JsonObject:
    usage = usage_json(merge_usage(finished, choices.count))
    chunk = shape.chunk(choices.provider, [])
    return {**chunk, "usage": usage, **_closing(choices, shape, finished[-1])}


def _closing(choices: Choices, shape: ChatShape, event: Finished) -> JsonObject:
    """What goes on the last chunk, or on the body."""
    closing: JsonObject = {"x_route": route_json(choices.route(), shape.ignored)}
    if event.timings is not None:
        closing["timings"] = timings_json(event.timings)
    return closing


def _choice(index: int, delta: JsonObject, finish: str | None = None) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _delta(event: object, shape: ChatShape) -> JsonObject:
    match event:
        case TextDelta(text=text):
            return {"content": text} if text or event.logprobs else {}
        case ReasoningDelta(text=text):
            if shape.exclude_reasoning:
                return {}
            return {"reasoning_content": text, "reasoning": text}
        case ToolCallDelta():
            return {"tool_calls": [_call_delta(event)]}
    return {}


def _call_delta(event: ToolCallDelta) -> JsonObject:
    function: JsonObject = {"arguments": event.arguments}
    call: JsonObject = {"index": event.index, "function": function}
    if event.id is not None:
        call |= {"id": event.id, "type": "function"}
    if event.name is not None:
        function["name"] = event.name
    return call


def _logprobs(entries: tuple[TokenLogprob, ...]) -> JsonObject:
    return {"content": [logprob_json(entry) for entry in entries], "refusal": None}


@dataclass(slots=True)
class Draft:
    """One choice as it comes together."""

    content: str = ""
    reasoning: str = ""
    calls: dict[int, JsonObject] = field(default_factory=dict)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    finished: Finished | None = None

    def add(self, event: object) -> None:
        """Take one event in."""
        match event:
            case TextDelta(text=text, logprobs=logprobs):
                self.content += text
                self.logprobs.extend(logprobs)
            case ReasoningDelta(text=text):
                self.reasoning += text
            case ToolCallDelta(index=index):
                call = self.calls.setdefault(
                    index,
                    {"id": "", "type": "function", "function": {"name": "", "arguments": ""}},
                )
                call["id"] = event.id or call["id"]
                call["function"]["name"] += event.name or ""
                call["function"]["arguments"] += event.arguments
            case Finished():
                self.finished = event

    def json(self, index: int, shape: ChatShape) -> JsonObject:
        """The choice of a whole body."""
        message: JsonObject = {"role": "assistant", "content": self.content, "refusal": None}
        if self.calls:
            message["tool_calls"] = [self.calls[key] for key in sorted(self.calls)]
            message["content"] = self.content or None
        if self.reasoning and not shape.exclude_reasoning:
            message |= {"reasoning_content": self.reasoning, "reasoning": self.reasoning}
        logprobs = _logprobs(tuple(self.logprobs)) if self.logprobs else None
        reason = self.finished.reason if self.finished else None
        return {
            "index": index,
            "message": message,
            "logprobs": logprobs,
            "finish_reason": reason,
        }


async def whole_chat(choices: Choices, shape: ChatShape) -> JsonObject:
    """The body of an answer that is not streamed."""
    drafts = [Draft() for _ in range(choices.count)]
    async with choices:
        async for index, event in choices.events():
            drafts[index].add(event)
    finished = [draft.finished for draft in drafts if draft.finished is not None]
    return {
        "id": shape.id,
        "object": "chat.completion",
        "created": shape.created,
        "model": shape.model,
        "provider": choices.provider,
        "system_fingerprint": None,
        "choices": [draft.json(index, shape) for index, draft in enumerate(drafts)],
        "usage": usage_json(merge_usage(finished, choices.count)),
        **_closing(choices, shape, finished[-1]),
    }
