"""`POST /v1/completions`: raw text or token ids in, their continuation out.

Owns the rendering of events as OpenAI's legacy text completions. No template is applied and no
tag is parsed.
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

from runner.types import Finished, GenerateRequest, JsonObject, TextDelta, TextPrompt, TokenLogprob

from . import body, sse
from .choice import Choices, open_choices
from .completion_body import CompletionBody
from .edge import Edge
from .render import merge_usage, route_json, timings_json, usage_json


def completions_router(edge: Edge) -> APIRouter:
    """The endpoint, under both of its paths."""
    router = APIRouter(tags=["completions"])

    @router.post("/v1/completions", openapi_extra=body.openapi(CompletionBody))
    async def create_completion(request: Request) -> Response:
        """Continue a text."""
        return await answer_completion(edge, request)

    router.add_api_route(
        "/completions", create_completion, methods=["POST"], include_in_schema=False
    )
    return router


async def answer_completion(edge: Edge, request: Request) -> Response:
    """Read, route, and answer as asked for."""
    asked = await edge.read(request, CompletionBody)
    wanted = asked.requests(edge.occasion(request, asked.model))
    count = asked.n or 1
    echoes = await _echoes(edge, wanted) if asked.echo else [""] * len(wanted)
    choices = await open_choices(edge, request, wanted, count)
    shape = CompletionShape(
        model=wanted[0].model,
        include_usage=bool(asked.stream_options and asked.stream_options.include_usage),
        has_logprobs=asked.logprobs is not None,
        num_per_prompt=count,
        echoes=[echo for echo in echoes for _ in range(count)],
        ignored=asked.unknown_fields(),
    )
    if asked.stream:
        awaited = partial(edge.services.local.awaited, shape.model)
        return sse.EventStream(stream_completion(choices, shape), choices.headers(), awaited)
    headers = choices.headers()
    return JSONResponse(await whole_completion(choices, shape), headers=headers)


async def _echoes(edge: Edge, wanted: list[GenerateRequest]) -> list[str]:
    """Each prompt as text."""
    texts = []
    for item in wanted:
        if isinstance(item.prompt, TextPrompt):
            texts.append(item.prompt.text)
        else:
            tokens = list(getattr(item.prompt, "tokens", ()))
            texts.append(await edge.services.local.detokenize(item.model, tokens))
    return texts


@dataclass(frozen=True, slots=True)
class CompletionShape:
    """What is the same in every chunk of one answer, and what was asked of its form."""

    model: str
    include_usage: bool
    has_logprobs: bool
    num_per_prompt: int
    echoes: list[str]
    ignored: tuple[str, ...]
    id: str = field(default_factory=lambda: f"cmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def body(self, provider: str, choices: list[JsonObject], **more: Any) -> JsonObject:
        """One `text_completion` object."""
        return {
            "id": self.id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "provider": provider,
            "choices": choices,
            **({"usage": None} if self.include_usage else {}),
            **more,
        }


def _choice(
    index: int, text: str, logprobs: JsonObject | None, finish: str | None = None
) -> JsonObject:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}


def legacy_logprobs(entries: list[TokenLogprob], offset: int) -> JsonObject:
    """The old shape: parallel lists; `offset` is where the first token's text begins."""
    offsets = []
    for entry in entries:
        offsets.append(offset)
        offset += len(entry.token)
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [
            {other.token: other.logprob for other in entry.top} or None for entry in entries
        ],
        "text_offset": offsets,
    }


async def stream_completion(choices: Choices, shape: CompletionShape) -> AsyncGenerator[bytes]:
    """The frames of a streamed answer, `[DONE]` last."""
    finished: dict[int, Finished] = {}
    lengths = [len(echo) for echo in shape.echoes]
    async with choices:
        for index, echo in enumerate(shape.echoes):
            if echo:
                yield sse.frame(shape.body(choices.provider, [_choice(index, echo, None)]))
        async for index, event in choices.events():
            if isinstance(event, TextDelta):
                logprobs = None
                if shape.has_logprobs:
                    logprobs = legacy_logprobs(list(event.logprobs), lengths[index])
                lengths[index] += len(event.text)
                choice = _choice(index, event.text, logprobs)
                yield sse.frame(shape.body(choices.provider, [choice]))
            elif isinstance(event, Finished):
                finished[index] = event
                choice = _choice(index, "", None, event.reason)
                is_last = len(finished) == choices.count and not shape.include_usage
                more = _closing(choices, shape, finished) if is_last else {}
                yield sse.frame(shape.body(choices.provider, [choice], **more))
        if shape.include_usage:
            more = _closing(choices, shape, finished)
            yield sse.frame(shape.body(choices.provider, [], **more))
        yield sse.DONE


async def whole_completion(choices: Choices, shape: CompletionShape) -> JsonObject:
    """The body of an answer that is not streamed."""
    texts = list(shape.echoes)
    entries: list[list[TokenLogprob]] = [[] for _ in texts]
    finished: dict[int, Finished] = {}
    async with choices:
        async for index, event in choices.events():
            if isinstance(event, TextDelta):
                texts[index] += event.text
                entries[index].extend(event.logprobs)
            elif isinstance(event, Finished):
                finished[index] = event
    shown = []
    for index, text in enumerate(texts):
        offset = len(shape.echoes[index])
        logprobs = legacy_logprobs(entries[index], offset) if shape.has_logprobs else None
        shown.append(_choice(index, text, logprobs, finished[index].reason))
    return shape.body(choices.provider, shown, **_closing(choices, shape, finished))


def _closing(choices: Choices, shape: CompletionShape, finished: dict[int, Finished]) -> JsonObject:
    in_order = [finished[index] for index in sorted(finished)]
    closing: JsonObject = {
        "usage": usage_json(merge_usage(in_order, shape.num_per_prompt)),
        "x_route": route_json(choices.route(), shape.ignored),
    }
    if in_order[-1].timings is not None:
        closing["timings"] = timings_json(in_order[-1].timings)
    return closing
