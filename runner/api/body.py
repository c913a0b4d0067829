"""A request's bytes to a checked body: bounded, strictly JSON, and clear about what is wrong.

Owns reading and limits. The JSON reader refuses NaN, numbers beyond a double, lone surrogates
and broken UTF-8. Invariant: whatever bytes come in, the outcome is a body or a 4xx.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import ClientDisconnect

from runner.errors import InvalidRequestError

from .errors import RequestTooLargeError

MAX_DEPTH = 64
MAX_STRING = 4 * 2**20
UNION_BRANCHES = frozenset({"str", "int", "float", "bool"})

Body = TypeVar("Body", bound=BaseModel)


class WireModel(BaseModel):
    """A request body or a part of one: strict types, no infinities, unknown keys kept apart."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    def unknown_fields(self) -> tuple[str, ...]:
        """Paths of what was sent but is not known here, at any depth; null asks for nothing."""
        return tuple(_unknown(self, ""))


def _unknown(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, WireModel):
        for name, extra in (value.model_extra or {}).items():
            if extra is not None:
                yield path + name
        for name, field in type(value).model_fields.items():
            yield from _unknown(getattr(value, name), f"{path}{field.alias or name}.")
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _unknown(item, f"{path}{position}.")


async def read(request: Request, model: type[Body], *, max_bytes: int) -> Body:
    """The request's body as `model`.

    Raises:
        RequestTooLargeError: more than `max_bytes`.
        InvalidRequestError: not JSON, or not as the model has it; `param` names the field.
    """
    data = await read_bytes(request, max_bytes)
    content_type = request.headers.get("content-type", "application/json")
    if "json" not in content_type:
        raise InvalidRequestError(
            f"the body has to be application/json, not {content_type[:80]}", param=None
        )
    return validate(parse(data), model)


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body's bytes, refused as soon as they are too many."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise _too_large(max_bytes)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > max_bytes:
                raise _too_large(max_bytes)
            parts.append(part)
    except ClientDisconnect:
        raise InvalidRequestError("the client went away before the body was complete") from None
    return b"".join(parts)


def _too_large(max_bytes: int) -> RequestTooLargeError:
    return RequestTooLargeError(
        f"the body is larger than the {max_bytes} bytes this server takes; send less, or raise "
        "server.max_body_bytes"
    )


def parse(data: bytes) -> Any:
    """Strict JSON, of bounded depth and string length."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequestError(f"the body is not valid JSON: {str(error)[:200]}") from None
    _check(value)
    return value


def _check(root: Any) -> None:
    level = [root]
    for _depth in range(MAX_DEPTH):
        children: list[Any] = []
        for value in level:
            if isinstance(value, str) and len(value) > MAX_STRING:
                raise InvalidRequestError(f"a string is longer than {MAX_STRING} characters")
            if isinstance(value, dict):
                children.extend(value.values())
            elif isinstance(value, list):
                children.extend(value)
        if not children:
            return
        level = children
    raise InvalidRequestError(f"the JSON is nested deeper than {MAX_DEPTH} levels")


def validate(value: Any, model: type[Body]) -> Body:
    """The parsed JSON as `model`; the first fault becomes the message."""
    if not isinstance(value, dict):
        raise InvalidRequestError("the body has to be a JSON object")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = _param(first["loc"])
        what = first["msg"] if first["type"] != "model_type" else "Input should be an object"
        raise InvalidRequestError(
            f"{param or 'the body'}: {what[:1].lower()}{what[1:]}", param=param
        ) from None


def _param(loc: tuple[int | str, ...]) -> str | None:
    """The field's path, without the names of union branches."""
    named = [part for part in loc if isinstance(part, int) or part.isidentifier()]
    return ".".join(str(part) for part in named if part not in UNION_BRANCHES) or None


def openapi(model: type[BaseModel]) -> dict[str, Any]:
    """What FastAPI's OpenAPI page has to know of a body that we read ourselves."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inline(schema, definitions)}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with every reference replaced by what it names; our bodies do not recur."""
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inline(value, definitions) for key, value in schema.items()}
