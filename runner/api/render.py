"""What every answer shows beside its text: usage, timings, and the route it took.

Owns these shapes; they are the same on a body and on a stream's last chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from runner.router.record import RouteSnapshot
from runner.types import Finished, JsonObject, Timings, TokenLogprob, Usage


def usage_json(usage: Usage) -> JsonObject:
    """OpenAI's usage, with the cost in USD."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": usage.cost_usd,
    }


def merge_usage(finished: Sequence[Finished], num_per_prompt: int) -> Usage:
    """The usage of several answers, in order; each prompt counts once."""
    costs = [item.usage.cost_usd for item in finished]
    known = [cost for cost in costs if cost is not None]
    firsts = finished[::num_per_prompt]
    return Usage(
        prompt_tokens=sum(item.usage.prompt_tokens for item in firsts),
        completion_tokens=sum(item.usage.completion_tokens for item in finished),
        cached_tokens=sum(item.usage.cached_tokens for item in firsts),
        reasoning_tokens=sum(item.usage.reasoning_tokens for item in finished),
        cost_usd=sum(known) if len(known) == len(costs) else None,
    )


def timings_json(timings: Timings) -> JsonObject:
    """llama-server's timings."""
    prompt_s, predicted_s = timings.prompt_ms / 1e3, timings.predicted_ms / 1e3
    return {
        "cache_n": timings.cache_n,
        "prompt_n": timings.prompt_n,
        "prompt_ms": round(timings.prompt_ms, 3),
        "prompt_per_second": _rate(timings.prompt_n, prompt_s),
        "predicted_n": timings.predicted_n,
        "predicted_ms": round(timings.predicted_ms, 3),
        "predicted_per_second": _rate(timings.predicted_n, predicted_s),
    }


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3) if seconds > 0 else 0.0


def route_json(snapshot: RouteSnapshot, ignored: tuple[str, ...] = ()) -> JsonObject:
    """`x_route`; `ignored` adds what the endpoint itself did not know."""
    shown = asdict(snapshot)
    shown["ignored"] = sorted({*snapshot.ignored, *ignored})
    return shown


def logprob_json(entry: TokenLogprob) -> JsonObject:
    """One token of OpenAI's `logprobs.content`."""
    return {**_bare(entry), "top_logprobs": [_bare(other) for other in entry.top]}


def _bare(entry: TokenLogprob) -> dict[str, Any]:
    return {"token": entry.token, "logprob": entry.logprob, "bytes": list(entry.data)}
