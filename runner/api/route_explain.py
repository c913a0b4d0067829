"""`POST /v1/route/explain`: a chat body in, the routing decision out.

Owns the shape of the decision. No inference is done and no byte leaves the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request

from runner.ledger import Quote, to_usd
from runner.router import Choice, Decision, Rejected
from runner.router.policy import no_route
from runner.types import GenerateRequest, JsonObject

from . import body
from .chat_body import ChatBody
from .edge import Edge


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision and what could run here instead."""

    decision: Decision
    alternatives: tuple[str, ...]

    def json(self) -> JsonObject:
        """The body of the reply."""
        first = self.decision.choices[0].backend if self.decision.choices else None
        shown: JsonObject = {
            "object": "route.decision",
            "model": self.decision.model,
            "served_by": first,
            "choices": [_entry_json(choice) for choice in self.decision.choices],
            "rejected": [_entry_json(entry) for entry in self.decision.rejected],
            "fallback_on": sorted(self.decision.fallback_on),
            "alternatives": list(self.alternatives),
        }
        if first is None:
            error = no_route(self.decision, self.alternatives)
            shown["error"] = {"message": str(error)}
        return shown


def explain_router(edge: Edge) -> APIRouter:
    """The endpoint."""
    router = APIRouter(tags=["routing"])

    @router.post("/v1/route/explain", openapi_extra=body.openapi(ChatBody))
    async def explain_route(request: Request) -> JsonObject:
        """Who would answer, in which order, and why not the others."""
        asked = await edge.read(request, ChatBody)
        wanted = asked.request(edge.occasion(request, asked.model))
        return explain(edge, wanted).json()

    return router


def explain(edge: Edge, wanted: GenerateRequest) -> Explained:
    """Ask the router without acting on it."""
    router = edge.services.router
    decision = router.explain(wanted)
    return Explained(decision, () if decision.choices else router.alternatives(wanted))


def _entry_json(entry: Choice | Rejected) -> JsonObject:
    shown: JsonObject = {"backend": entry.backend, "reasons": list(entry.reasons)}
    if entry.quote is not None:
        shown |= _quote_json(entry.quote)
    return shown


def _quote_json(quote: Quote) -> JsonObject:
    price = quote.price
    return {
        "model": quote.model_id,
        "max_tokens": quote.max_tokens,
        "cost_at_most_usd": None if quote.worst_nusd is None else to_usd(quote.worst_nusd),
        "pricing": price
        and {
            "prompt_usd_per_mtok": price.prompt_usd_per_mtok,
            "completion_usd_per_mtok": price.completion_usd_per_mtok,
            "as_of": price.as_of.isoformat() if price.as_of else None,
        },
        "context_length": quote.num_context,
        "emulated": list(quote.emulated),
        "ignored": list(quote.unsupported),
        "is_degraded": quote.is_degraded,
        "first_token_s": quote.latency_s,
        "tokens_per_second": quote.tokens_per_s,
    }
