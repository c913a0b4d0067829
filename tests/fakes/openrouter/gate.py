"""Who may ask for what: keys, model names, endpoint filters, tools and the credit gate.

Pure: a body and the state in, an endpoint or a refusal out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .fault import AFFORD, envelope
from .profile import Endpoint, Model, Profile

VARIANTS = (":free", ":nitro", ":floor")
CHARS_PER_TOKEN = 4
NUSD = 1_000_000_000


@dataclass
class RefusalError(Exception):
    """An error reply."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Admitted:
    """What will answer, and how long it may."""

    model: Model
    endpoint: Endpoint
    max_tokens: int
    num_prompt: int


def refuse(status: int, message: str, **extra: Any) -> RefusalError:
    return RefusalError(status, envelope(status, message, **extra))


def find_model(profile: Profile, name: str) -> Model:
    for variant in VARIANTS:
        name = name.removesuffix(variant)
    name = profile.aliases.get(name, name)
    for model in profile.models:
        if model.id == name:
            return model
    raise refuse(
        400,
        f"{name} is not a valid model ID",
        availability={"code": "model_not_found", "retryable": False, "requested_models": [name]},
    )


def admit(profile: Profile, body: dict[str, Any], credit_nusd: int, scale: float = 1.0) -> Admitted:
    """Find the endpoint that serves a request, or raise the refusal."""
    if "messages" not in body and "prompt" not in body:
        raise refuse(400, "messages is required", metadata={"error_type": "invalid_request"})
    model = find_model(profile, str(body.get("model")))
    _check_tools(profile, model, body)
    endpoints = _filter(profile, model, body, scale)
    endpoint = endpoints[0]
    max_tokens = int(body.get("max_tokens") or body.get("max_completion_tokens") or 0)
    num_prompt = count_prompt(body)
    wanted = max_tokens or endpoint.max_output
    if profile.names_cost and endpoint.nusd_completion:
        affordable = credit_nusd // endpoint.nusd_completion
        if wanted > affordable:
            raise refuse(402, AFFORD.format(left=affordable).replace("65536", str(wanted)))
    return Admitted(model, endpoint, min(wanted, endpoint.max_output), num_prompt)


def count_prompt(body: dict[str, Any]) -> int:
    text = "".join(str(part.get("content") or "") for part in body.get("messages") or [])
    text += body.get("prompt") or ""
    return 4 + len(text) // CHARS_PER_TOKEN


def _check_tools(profile: Profile, model: Model, body: dict[str, Any]) -> None:
    if not body.get("tools") or profile.tools != "refuse":
        return
    name = body["tools"][0].get("function", {}).get("name")
    raise refuse(
        404,
        f'No endpoints found that support tool use. Try disabling "{name}".',
        metadata={"error_type": "not_found"},
    )


def _filter(profile: Profile, model: Model, body: dict[str, Any], scale: float) -> list[Endpoint]:
    """The endpoint table after every wish of the `provider` object."""
    left = list(model.endpoints)
    if profile.name != "openrouter":
        return left
    wish = body.get("provider") or {}
    tests = (
        ("data_policy:training", wish.get("data_collection") == "deny", _keeps_quiet),
        ("data_policy:zdr", bool(wish.get("zdr")), _has_zdr),
        ("allowed_providers", bool(wish.get("only")), lambda e: e.slug in wish["only"]),
        ("allowed_providers", bool(wish.get("ignore")), lambda e: e.slug not in wish["ignore"]),
        (
            "quantization",
            bool(wish.get("quantizations")),
            lambda e: e.quantization in wish["quantizations"],
        ),
        (
            "max_price",
            bool(wish.get("max_price")),
            lambda e: _is_within(e, wish["max_price"], scale),
        ),
        (
            "require_parameters",
            bool(wish.get("require_parameters")),
            lambda e: _knows_all(model, body),
        ),
    )
    for reason, is_wanted, keeps in tests:
        if not is_wanted:
            continue
        left = [endpoint for endpoint in left if keeps(endpoint)]
        if not left:
            raise _none_left(model, reason)
    order = wish.get("order") or []
    return sorted(left, key=lambda e: order.index(e.slug) if e.slug in order else len(order))


def _none_left(model: Model, reason: str) -> RefusalError:
    code = "privacy_restricted" if reason.startswith("data_policy") else "constraint_filtered"
    return refuse(
        404,
        "No endpoints found matching your data policy or constraints",
        availability={
            "code": code,
            "retryable": False,
            "requested_models": [model.id],
            "excluded_by": [reason],
        },
    )


def _keeps_quiet(endpoint: Endpoint) -> bool:
    return not endpoint.collects_data


def _has_zdr(endpoint: Endpoint) -> bool:
    return endpoint.has_zdr


def _is_within(endpoint: Endpoint, cap: dict[str, Any], scale: float) -> bool:
    return (
        endpoint.prompt_per_mtok * scale <= float(cap.get("prompt", 1e9)) + 1e-9
        and endpoint.completion_per_mtok * scale <= float(cap.get("completion", 1e9)) + 1e-9
    )


def _knows_all(model: Model, body: dict[str, Any]) -> bool:
    structural = {"model", "messages", "stream", "provider", "prompt", "usage"}
    return set(body) - structural <= set(model.parameters)
