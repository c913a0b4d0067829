"""What the terminal says of a route: who answers and why, and afterwards what came of it.

Pure: lines from decisions and replies. Decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runner.router import Decision

    from .conversation import Reply


def announcement(decision: Decision) -> str:
    """Who will answer, and why; empty where nobody may (the error says it then)."""
    if not decision.choices:
        return ""
    first = decision.choices[0]
    place = "this machine" if first.backend == "local" else first.backend
    why = "; ".join(first.reasons)
    stays_away = [
        reason
        for entry in decision.rejected
        if entry.backend == "local"
        for reason in entry.reasons
    ]
    against = f"; not this machine: {'; '.join(stays_away)}" if stays_away else ""
    return f"{place} answers for {decision.model}: {why}{against}"


def surprises(reply: Reply, announced: Decision) -> list[str]:
    """What the announcement did not say: another backend, failures, what was left out."""
    route = reply.route
    known = {f"{one.backend}: {reason}" for one in announced.choices for reason in one.reasons}
    lines = [reason for reason in route.reasons if reason not in known]
    if announced.choices and route.served_by != announced.choices[0].backend:
        lines.append(f"{route.served_by} answered instead of {announced.choices[0].backend}")
    if route.emulated:
        lines.append(f"done here, since {route.served_by} lacks it: {', '.join(route.emulated)}")
    if route.ignored:
        lines.append(f"could not be honoured: {', '.join(route.ignored)}")
    return lines


def figures(reply: Reply) -> str:
    """The answer in figures."""
    route = reply.route
    if reply.usage is None:
        return f"stopped after {reply.elapsed_s:.1f} s"
    tokens = reply.usage.completion_tokens
    if route.cost_usd is None:
        cost = "price not known"
    elif route.cost_usd:
        cost = f"${route.cost_usd:.6f}"
    else:
        cost = "free"
        if route.cost_avoided_usd:
            cost += f", ${route.cost_avoided_usd:.6f} avoided"
    where = " ".join(part for part in (route.model, route.quantization) if part)
    return f"{where} · {route.served_by} · {tokens} tokens in {reply.elapsed_s:.1f} s · {cost}"
