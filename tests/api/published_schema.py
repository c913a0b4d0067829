"""OpenAI's published response schemas, as the `openai` package carries them.

Its response models are generated from the OpenAPI document that OpenAI publishes. They let
unknown keys pass and defaults fill gaps, so three things are added here: types are checked
strictly, keys beyond the schema have to be the runner's own, and the keys that the document
calls required, which the models make optional, have to be there.
"""

from __future__ import annotations

from typing import Any

from openai.types import Completion, CreateEmbeddingResponse, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel, TypeAdapter

Json = dict[str, Any]

ADDED = {
    "provider",
    "x_route",
    "timings",
    "usage.cost",
    "choices.message.reasoning",
    "choices.message.reasoning_content",
    "choices.delta.reasoning",
    "choices.delta.reasoning_content",
}
MODEL_ADDED = {
    "title",
    "aliases",
    "installed",
    "runs",
    "state",
    "context_here",
    "context_length",
    "quantization",
    "capabilities",
    "license",
    "pricing",
}
REQUIRED = {
    ChatCompletion: {"choices.message.content", "choices.message.refusal", "choices.logprobs"},
    ChatCompletionChunk: {"choices.delta", "choices.finish_reason"},
    Completion: {"choices.logprobs", "choices.finish_reason"},
}


def check(body: Json, model: type[BaseModel]) -> None:
    """Raise unless the body is what the schema says, plus the runner's own keys at most."""
    parsed = TypeAdapter(model).validate_json(_dumps(body), strict=True)
    added = ADDED if model is not Model else MODEL_ADDED
    beyond = set(_beyond(parsed, ""))
    assert beyond <= added, f"keys beyond the schema: {sorted(beyond - added)}"
    for path in REQUIRED.get(model, ()):
        assert _has(body, path.split(".")), f"{path} is missing"


def check_completion(body: Json) -> None:
    """A text completion; its streamed chunks have no reason to finish until the last."""
    shown = {**body, "choices": [_with_reason(choice) for choice in body["choices"]]}
    check(shown, Completion)


def check_embeddings(body: Json) -> None:
    """Vectors as numbers; the package types no base64."""
    check(body, CreateEmbeddingResponse)


def _with_reason(choice: Json) -> Json:
    reason = choice["finish_reason"]
    return {**choice, "finish_reason": "stop" if reason is None else reason}


def _dumps(body: Json) -> str:
    import json

    return json.dumps(body)


def _beyond(value: Any, path: str) -> list[str]:
    """Paths of keys that the models do not know, without positions in lists."""
    if isinstance(value, BaseModel):
        found = [f"{path}{name}" for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += _beyond(getattr(value, name), f"{path}{name}.")
        return found
    if isinstance(value, list):
        return [name for item in value for name in _beyond(item, path)]
    return []


def _has(value: Any, path: list[str]) -> bool:
    if isinstance(value, list):
        return all(_has(item, path) for item in value)
    if not path:
        return True
    return path[0] in value and _has(value[path[0]], path[1:])
