"""Whom the fake impersonates, and what that host sells: model rows and endpoint rows.

Prices are strings in USD per token, as on the wire, with `request` and `image` left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

CREATED = 1_756_235_463
TOKENS_PER_MILLION = 1_000_000


@dataclass(frozen=True)
class Endpoint:
    """One upstream of a model."""

    provider: str
    slug: str
    quantization: str
    prompt_per_mtok: float
    completion_per_mtok: float
    context: int = 131_072
    max_output: int = 131_072
    has_tools: bool = False
    has_zdr: bool = False
    collects_data: bool = False
    stops_billing: bool = True

    @property
    def nusd_prompt(self) -> int:
        return round(self.prompt_per_mtok * 1000)

    @property
    def nusd_completion(self) -> int:
        return round(self.completion_per_mtok * 1000)


@dataclass(frozen=True)
class Model:
    """One row of the catalogue."""

    id: str
    endpoints: tuple[Endpoint, ...]
    parameters: tuple[str, ...]
    context: int | None = 131_072
    expires: str | None = None
    overrides: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class Profile:
    """How one host behaves."""

    name: str
    prefix: str
    models: tuple[Model, ...]
    reasoning_field: Literal["reasoning", "reasoning_content", "tags"] = "reasoning"
    tools: Literal["refuse", "native", "xml"] = "refuse"
    names_cost: bool = True
    stops_billing: bool = True
    aliases: dict[str, str] = field(default_factory=dict)


HERMES_4 = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "response_format",
    "reasoning",
    "include_reasoning",
)
HERMES_3 = (
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "top_k",
    "seed",
    "min_p",
    "response_format",
    "logit_bias",
)
SOUND = Endpoint("Nebius", "nebius", "fp8", 1.0, 3.0, has_zdr=True, stops_billing=False)
CHEAP = Endpoint("Snoop", "snoop", "int4", 0.9, 2.7, collects_data=True)

OPENROUTER = Profile(
    name="openrouter",
    prefix="/api/v1",
    models=(
        Model("nousresearch/hermes-4-405b", (SOUND, CHEAP), HERMES_4),
        Model(
            "nousresearch/hermes-4-70b",
            (Endpoint("Nebius", "nebius", "fp8", 0.13, 0.40, has_zdr=True),),
            HERMES_4,
            overrides=({"min_prompt_tokens": 100_000, "prompt": "0.00000026"},),
        ),
        Model(
            "nousresearch/hermes-3-llama-3.1-70b",
            (Endpoint("DeepInfra", "deepinfra", "fp8", 0.30, 0.30, max_output=16_384),),
            HERMES_3,
            expires="2027-01-31",
        ),
        Model(
            "nousresearch/hermes-3-llama-3.1-405b",
            (Endpoint("Chutes", "chutes", "fp8", 1.0, 1.0, max_output=16_384),),
            HERMES_3,
        ),
        Model("openrouter/auto", (), (), context=None),
    ),
)
NOUS = Profile(
    name="nous",
    prefix="/v1",
    models=(
        Model("Hermes-4-405B", (Endpoint("Nous", "nous", "unknown", 0.09, 0.37),), HERMES_4),
        Model("Hermes-4-70B", (Endpoint("Nous", "nous", "unknown", 0.05, 0.20),), HERMES_4),
    ),
    reasoning_field="tags",
    tools="xml",
    names_cost=False,
)
NEBIUS = Profile(
    name="nebius",
    prefix="/v1",
    models=(
        Model(
            "NousResearch/Hermes-4-405B",
            (Endpoint("Nebius", "nebius", "fp8", 1.0, 3.0, max_output=8192, has_tools=True),),
            (*HERMES_4, "tools", "tool_choice", "structured_outputs"),
        ),
        Model(
            "NousResearch/Hermes-4-70B",
            (Endpoint("Nebius", "nebius", "fp8", 0.13, 0.40, max_output=8192, has_tools=True),),
            (*HERMES_4, "tools", "tool_choice", "structured_outputs"),
        ),
    ),
    reasoning_field="reasoning_content",
    tools="native",
    names_cost=False,
    stops_billing=False,
)
CHUTES = Profile(
    name="chutes",
    prefix="/v1",
    models=(
        Model(
            "NousResearch/Hermes-4-405B-FP8-TEE",
            (Endpoint("Chutes", "chutes", "fp8", 0.30, 1.20, max_output=65_536),),
            HERMES_4,
        ),
    ),
    reasoning_field="reasoning_content",
    names_cost=False,
)
PROFILES = {profile.name: profile for profile in (OPENROUTER, NOUS, NEBIUS, CHUTES)}


def per_token(per_mtok: float) -> str:
    """The price of one token as the catalogue writes it."""
    return f"{per_mtok / TOKENS_PER_MILLION:.12f}".rstrip("0").rstrip(".") or "0"


def pricing(endpoint: Endpoint, scale: float = 1.0) -> dict[str, Any]:
    return {
        "prompt": per_token(endpoint.prompt_per_mtok * scale),
        "completion": per_token(endpoint.completion_per_mtok * scale),
    }


def model_row(model: Model, scale: float = 1.0) -> dict[str, Any]:
    """One entry of `GET /models`."""
    prices: dict[str, Any] = {"prompt": "0", "completion": "0"}
    if model.endpoints:
        prices = pricing(model.endpoints[0], scale)
    if model.overrides:
        prices["overrides"] = list(model.overrides)
    top = model.endpoints[0].max_output if model.endpoints else None
    return {
        "id": model.id,
        "canonical_slug": model.id,
        "name": model.id,
        "created": CREATED,
        "context_length": model.context,
        "architecture": {"modality": "text->text", "tokenizer": "Llama3", "instruct_type": None},
        "pricing": prices,
        "top_provider": {
            "context_length": model.context,
            "max_completion_tokens": top,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": list(model.parameters),
        "expiration_date": model.expires,
    }


def endpoint_row(model: Model, endpoint: Endpoint) -> dict[str, Any]:
    """One entry of `GET /models/{author}/{slug}/endpoints`."""
    return {
        "name": f"{endpoint.provider} | {model.id}",
        "provider_name": endpoint.provider,
        "tag": endpoint.slug,
        "quantization": endpoint.quantization,
        "context_length": endpoint.context,
        "max_completion_tokens": endpoint.max_output,
        "pricing": pricing(endpoint),
        "status": 0,
        "uptime_last_30m": 99.5,
        "latency_last_30m": {"p50": 400, "p90": 900},
        "throughput_last_30m": {"p50": 40, "p90": 60},
        "supported_parameters": list(model.parameters),
    }
