"""`POST /tokenize`, `/detokenize` and `/apply-template`, as llama-server has them.

Owns their bodies. They look at a model's vocabulary and template on this machine; nothing is
generated.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from runner.errors import NoRouteError
from runner.types import JsonObject, PromptPiece

from . import body
from .body import WireModel
from .chat_body import MAX_MESSAGES, ChatBody, MessageBody, Occasion
from .edge import Edge


class TokenizeBody(WireModel):
    """A text to be cut into tokens."""

    content: str
    model: str | None = None
    add_special: bool = False
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeBody(WireModel):
    """Token ids to be put together."""

    tokens: list[int]
    model: str | None = None


class TemplateBody(ChatBody):
    """A conversation to be rendered."""

    model: str = ""
    messages: Annotated[list[MessageBody], Field(min_length=1, max_length=MAX_MESSAGES)]


def tokens_router(edge: Edge) -> APIRouter:
    """The three endpoints."""
    router = APIRouter(tags=["tokens"])
    local = edge.services.local

    def chosen(name: str | None) -> str:
        if name:
            return edge.model_id(name)
        default = edge.services.default_model()
        if default is None:
            message = "no model is installed; runner pull MODEL fetches one"
            raise NoRouteError(message, reasons=(message,))
        return default.id

    @router.post("/tokenize", openapi_extra=body.openapi(TokenizeBody))
    async def tokenize(request: Request) -> JsonObject:
        """The token ids of a text."""
        asked = await edge.read(request, TokenizeBody)
        model = chosen(asked.model)
        pieces = [PromptPiece(asked.content, literal=not asked.parse_special)]
        tokens = await local.tokenize(model, pieces, add_begin=asked.add_special)
        if not asked.with_pieces:
            return {"tokens": tokens, **_note(asked)}
        texts = [await local.detokenize(model, [token]) for token in tokens]
        shown = zip(tokens, texts, strict=True)
        return {"tokens": [{"id": token, "piece": text} for token, text in shown], **_note(asked)}

    @router.post("/detokenize", openapi_extra=body.openapi(DetokenizeBody))
    async def detokenize(request: Request) -> JsonObject:
        """The text of token ids."""
        asked = await edge.read(request, DetokenizeBody)
        text = await local.detokenize(chosen(asked.model), asked.tokens)
        return {"content": text, **_note(asked)}

    @router.post("/apply-template", openapi_extra=body.openapi(TemplateBody))
    async def apply_template(request: Request) -> JsonObject:
        """The prompt text that a conversation becomes."""
        asked = await edge.read(request, TemplateBody)
        model = chosen(asked.model)
        wanted = asked.request(
            Occasion(edge.request_id(request), model, edge.defaults(model), "", is_strict=False)
        )
        return {"prompt": await local.render(wanted), **_note(asked)}

    return router


def _note(asked: WireModel) -> JsonObject:
    """What could not be honoured, where there is anything to say."""
    ignored = asked.unknown_fields()
    return {"x_route": {"ignored": ignored}} if ignored else {}
