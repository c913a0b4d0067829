"""Who may answer a request, in which order, and why not the others.

Pure: same facts, same decision; reasons are kept for the answer and the ledger. Knows no backend
object and no HTTP. Invariant: every backend it was told of is either a choice or rejected with
words, and privacy or money limits only ever take choices away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from runner.backend import BackendStatus
from runner.errors import (
    NoRouteError,
    RunnerError,
    UnsupportedParameterError,
    UpstreamRateLimitedError,
)
from runner.ledger import Quote, to_usd
from runner.types import GenerateRequest

LOCAL = "local"
Sort = Literal["price", "latency", "throughput"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings that bear on the choice."""

    fallback_on: frozenset[str] = frozenset({"does_not_fit"})
    sort: Sort = "price"
    continue_streams: bool = True
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend that may be asked, with the reasons; `quote` for a hosted one."""

    backend: str
    reasons: tuple[str, ...]
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A backend that may not be asked, and why."""

    backend: str
    reasons: tuple[str, ...]
    quote: Quote | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The route: choices in order, and everyone who was passed over.

    `fallback_on` are the local failures after which the choices behind `local` may be asked.
    """

    model: str
    choices: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]
    fallback_on: frozenset[str] = frozenset()


def decide(
    request: GenerateRequest,
    local: BackendStatus | None,
    quotes: Sequence[Quote],
    rules: Rules,
) -> Decision:
    """Order everyone who may answer; `local` is None when this machine never serves the model."""
    causes = rules.fallback_on | ({"context"} if request.overflow == "hosted" else set())
    here = _judge_local(request, local)
    away = _why_stay(request, local, causes)
    chosen, rejected = _judge_hosted(request, quotes, rules, away)
    if isinstance(here, Rejected):
        return Decision(request.model, tuple(chosen), (here, *rejected), causes)
    hosted_first = local is not None and local.cause in causes
    order = (*chosen, here) if hosted_first else (here, *chosen)
    return Decision(request.model, order, tuple(rejected), causes)


def _judge_local(request: GenerateRequest, local: BackendStatus | None) -> Choice | Rejected:
    if request.route == "hosted":
        return Rejected(LOCAL, ("the request asks for hosted",))
    if local is None:
        return Rejected(LOCAL, ("no weights of it are known that this machine could load",))
    if local.readiness == "unavailable":
        return Rejected(LOCAL, (local.reason,))
    wish = "the request asks for local" if request.route == "local" else local.reason
    return Choice(LOCAL, (wish,))


def _why_stay(
    request: GenerateRequest, local: BackendStatus | None, causes: frozenset[str] | set[str]
) -> str | None:
    """Why nothing may leave this machine at all; None when it may."""
    if request.route == "local":
        return "the request asks for local"
    if request.route == "hosted":
        return None
    if not causes:
        return "[fallback] on is empty"
    if local is not None and local.readiness != "unavailable":
        return None
    cause = local.cause if local is not None else "does_not_fit"
    if cause is not None and cause not in causes:
        return f"[fallback] on does not name {cause!r}"
    return None


def _judge_hosted(
    request: GenerateRequest, quotes: Sequence[Quote], rules: Rules, away: str | None
) -> tuple[list[Choice], list[Rejected]]:
    chosen: list[Choice] = []
    rejected: list[Rejected] = []
    for quote in sorted(quotes, key=lambda quote: _rank(quote, rules.sort)):
        against = (*quote.refusals, *_strict_faults(request, quote))
        if away is not None:
            against = (away, *against)
        if against:
            rejected.append(Rejected(quote.provider, against, quote))
        else:
            chosen.append(Choice(quote.provider, _merits(quote, rules.sort), quote))
    return chosen, rejected


def _rank(quote: Quote, sort: Sort) -> tuple[bool, float, float]:
    price = math.inf if quote.worst_nusd is None else float(quote.worst_nusd)
    if sort == "latency":
        first = math.inf if quote.latency_s is None else quote.latency_s
    elif sort == "throughput":
        first = 0.0 if quote.tokens_per_s is None else -quote.tokens_per_s
    else:
        first = price
    return quote.is_degraded, first, price


def _merits(quote: Quote, sort: Sort) -> tuple[str, ...]:
    merits = [f"{quote.model_id} at {quote.price or 'an unknown price'}", f"sorted by {sort}"]
    if quote.is_degraded:
        merits.append("degraded lately, so after the healthy ones")
    return tuple(merits)


def _strict_faults(request: GenerateRequest, quote: Quote) -> tuple[str, ...]:
    if not request.strict:
        return ()
    return (
        *(f"strict, and it cannot honour {name}" for name in quote.unsupported),
        *(f"strict, and {name} would be emulated" for name in quote.emulated),
    )


def why_not_here(decision: Decision) -> tuple[str, ...]:
    """Why this machine may not answer; empty where it may."""
    return tuple(
        f"{LOCAL}: {reason}"
        for entry in decision.rejected
        if entry.backend == LOCAL
        for reason in entry.reasons
    )


def no_route(decision: Decision, alternatives: tuple[str, ...] = ()) -> RunnerError:
    """The error for a decision without choices, with every reason and what it would have cost."""
    for entry in decision.rejected:
        if _is_strict_only(entry):
            names = [*entry.quote.unsupported, *entry.quote.emulated] if entry.quote else []
            return UnsupportedParameterError(
                f"{entry.backend} cannot honour {', '.join(names)} itself, and strict was asked "
                "for; drop the parameter or the strict header",
                param=names[0] if names else None,
            )
    cooldowns = [
        (entry.quote.cooldown_s, entry.backend)
        for entry in decision.rejected
        if entry.quote and entry.quote.cooldown_s is not None
        if entry.reasons == entry.quote.refusals
    ]
    if cooldowns:
        soonest_s, provider = min(cooldowns)
        return UpstreamRateLimitedError(
            f"every provider of {decision.model} wants a pause; retry in {soonest_s:.0f} s",
            provider=provider,
            retry_after_s=soonest_s,
        )
    reasons = tuple(
        f"{entry.backend}: {reason}" for entry in decision.rejected for reason in entry.reasons
    )
    return NoRouteError(
        f"nothing may answer for {decision.model}: "
        + "; ".join((*reasons, *_would_cost(decision)) or ("no backend knows it",)),
        reasons=(*reasons, *_would_cost(decision)),
        alternatives=alternatives,
    )


def _is_strict_only(entry: Rejected) -> bool:
    return bool(entry.reasons) and all(reason.startswith("strict,") for reason in entry.reasons)


def _would_cost(decision: Decision) -> tuple[str, ...]:
    priced = [
        (entry.quote.worst_nusd, entry.quote)
        for entry in decision.rejected
        if entry.quote is not None and entry.quote.worst_nusd is not None
    ]
    if not priced:
        return ()
    worst_nusd, quote = min(priced, key=lambda pair: pair[0])
    return (
        f"at {quote.provider} it would have cost at most ${to_usd(worst_nusd):.6f} ({quote.price})",
    )
