"""What a request could cost at most, and how long its answer may get.

Pure. Owns the estimate of a prompt's tokens and the bound on `max_tokens`. Invariant: every
upstream request has a bound, and with a known price its worst case is known before it leaves.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from runner.catalog import Catalog, HostedOffer
from runner.ledger import Price, to_nusd
from runner.types import ChatPrompt, GenerateRequest, TextPrompt

DEFAULT_MAX_TOKENS = 4096
MIN_MAX_TOKENS = 16  # some hosts refuse less
ASCII_PER_TOKEN = 2  # on the safe side: English text has about four
TOKENS_PER_MESSAGE = 8
PROMPT_MARGIN = 512  # prompts of ours that are added on the way


@dataclass(frozen=True, slots=True)
class Bound:
    """The longest answer to be asked for, and the worst case in nano-dollars (None: unknown)."""

    num_prompt: int
    max_tokens: int
    worst_nusd: int | None
    is_lowered: bool


def price_of(offer: HostedOffer) -> Price | None:
    """The offer's dated price; None where none is known."""
    if offer.prompt_usd_per_mtok is None or offer.completion_usd_per_mtok is None:
        return None
    return Price(offer.prompt_usd_per_mtok, offer.completion_usd_per_mtok, offer.as_of)


def estimate_prompt(request: GenerateRequest) -> int:
    """At most so many tokens, for any but pathological text."""
    match request.prompt:
        case ChatPrompt() as chat:
            texts = [message.content + (message.reasoning or "") for message in chat.messages]
            texts += [call.arguments for m in chat.messages for call in m.tool_calls]
            texts += [json.dumps(tool.parameters) + tool.description for tool in chat.tools]
            num_fixed = PROMPT_MARGIN + TOKENS_PER_MESSAGE * len(texts)
        case TextPrompt(text=text):
            texts, num_fixed = [text], TOKENS_PER_MESSAGE
        case _:
            return len(request.prompt.tokens)
    if request.response_format.schema is not None:
        texts.append(json.dumps(request.response_format.schema))
    return num_fixed + sum(_count(text) for text in texts)


def _count(text: str) -> int:
    num_bytes = len(text.encode("utf-8", errors="replace"))
    num_ascii = len(text.encode("ascii", errors="ignore"))
    return -(-num_ascii // ASCII_PER_TOKEN) + (num_bytes - num_ascii)


def bound(
    request: GenerateRequest, offer: HostedOffer, price: Price | None, left_nusd: int | None
) -> Bound:
    """Fit the answer's length to the offer, and, where the caller set none, to the money left."""
    num_prompt = estimate_prompt(request)
    wanted = request.max_tokens or DEFAULT_MAX_TOKENS
    limits = [wanted]
    if offer.max_output is not None:
        limits.append(offer.max_output)
    if offer.context is not None:
        limits.append(max(MIN_MAX_TOKENS, offer.context - num_prompt // 2))
    max_tokens = min(limits)
    if request.max_tokens is None and left_nusd is not None and price is not None:
        max_tokens = _affordable(max_tokens, num_prompt, price, left_nusd)
    worst = None if price is None else price.cost_nusd(num_prompt, max_tokens)
    is_lowered = request.max_tokens is not None and max_tokens < request.max_tokens
    return Bound(num_prompt, max_tokens, worst, is_lowered)


def _affordable(max_tokens: int, num_prompt: int, price: Price, left_nusd: int) -> int:
    """Fewer tokens where that makes the difference; else as many as before, to be refused."""
    per_token = to_nusd(price.completion_usd_per_mtok) / 1e6
    rest = left_nusd - price.cost_nusd(num_prompt, 0)
    if per_token <= 0 or rest <= 0:
        return max_tokens
    num_affordable = int(rest / per_token)
    return min(max_tokens, num_affordable) if num_affordable >= MIN_MAX_TOKENS else max_tokens


def reference_price(catalog: Catalog, model: str) -> Price | None:
    """What the model costs at the cheapest provider that offers it: what a local answer avoids."""
    entry = catalog.find(model)
    offers = entry.hosted if entry else ()
    prices = [price_of(offer) for offer in offers if offer.live]
    known = [price for price in prices if price is not None and not price.is_free]
    return min(known, key=_sum, default=None)


def _sum(price: Price) -> float:
    return price.prompt_usd_per_mtok + price.completion_usd_per_mtok
