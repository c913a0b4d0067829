"""Tools for `runner chat`, from a file as OpenAI's clients write them.

Owns the reading; nothing is ever run here.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from runner.errors import InvalidRequestError
from runner.types import JsonObject, Tool


class _Function(BaseModel):
    name: str = Field(min_length=1)
    description: str = ""
    parameters: JsonObject = Field(default_factory=dict)
    strict: bool = False


class _Wrapped(BaseModel):
    function: _Function


_FILE = TypeAdapter(list[_Wrapped | _Function])


def read_tools(path: Path) -> tuple[Tool, ...]:
    """The tools of a JSON list of functions. Raises InvalidRequestError."""
    try:
        rows = _FILE.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise InvalidRequestError(
            f"{path} is no JSON list of tools as OpenAI has them: {reason}"
        ) from None
    functions = [row.function if isinstance(row, _Wrapped) else row for row in rows]
    return tuple(Tool(**function.model_dump()) for function in functions)
