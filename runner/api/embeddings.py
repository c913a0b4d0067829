"""`POST /v1/embeddings`: texts or token ids in, normalised vectors out.

Owns the body and the two encodings, float and base64 (little-endian float32).
"""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from runner.backend import Embedding
from runner.errors import InvalidRequestError
from runner.types import JsonObject

from . import body
from .body import WireModel
from .choice import while_connected
from .edge import Edge

MAX_INPUTS = 2048


class EmbeddingBody(WireModel):
    """The body of an embedding request."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    user: str | None = None

    def inputs(self) -> list[str | tuple[int, ...]]:
        """What is to be embedded, one item a vector. Raises InvalidRequestError."""
        given = self.input
        if isinstance(given, str):
            given = [given]
        if given and all(isinstance(item, int) for item in given):
            given = [[item for item in given if isinstance(item, int)]]
        if not given or len(given) > MAX_INPUTS or not all(given):
            message = f"send 1 to {MAX_INPUTS} inputs, none of them empty"
            raise InvalidRequestError(message, param="input")
        items: list[str | tuple[int, ...]] = []
        for item in given:
            if isinstance(item, int):
                raise InvalidRequestError("mix no token ids with texts", param="input")
            items.append(item if isinstance(item, str) else tuple(item))
        return items


def embeddings_router(edge: Edge) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["embeddings"])

    @router.post("/v1/embeddings", openapi_extra=body.openapi(EmbeddingBody))
    async def create_embeddings(request: Request) -> Response:
        """Embed texts."""
        asked = await edge.read(request, EmbeddingBody)
        model = edge.model_id(asked.model)
        inputs = asked.inputs()
        hold = edge.hold(request, sum(len(item) for item in inputs))
        work = edge.services.local.embed(model, inputs)
        try:
            vectors, usage = await while_connected(request, work)
        except BaseException:
            hold.settle(0)
            raise
        hold.settle(usage.prompt_tokens)
        wants_text = asked.encoding_format == "base64"
        if asked.dimensions is not None and asked.dimensions != len(vectors[0].values):
            raise InvalidRequestError(
                f"this model's vectors have {len(vectors[0].values)} dimensions",
                param="dimensions",
            )
        shown = [
            {"object": "embedding", "index": index, "embedding": encode(vector, wants_text)}
            for index, vector in enumerate(vectors)
        ]
        counts = {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}
        route = {"served_by": "local", "model": model, "ignored": asked.unknown_fields()}
        answer: JsonObject = {
            "object": "list",
            "data": shown,
            "model": model,
            "usage": counts,
            "provider": "local",
            "x_route": route,
        }
        return JSONResponse(answer)

    return router


def encode(vector: Embedding, as_base64: bool) -> list[float] | str:
    """The vector as numbers, or as base64 of little-endian float32."""
    if not as_base64:
        return list(vector.values)
    return base64.b64encode(struct.pack(f"<{len(vector.values)}f", *vector.values)).decode()
