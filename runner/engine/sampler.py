"""From sampling parameters to a chain of llama.cpp samplers.

Owns the order of the chain (that of llama-server) and what each parameter means in it. Greedy is
temperature 0; a sampler that would change nothing is left out.
"""

from __future__ import annotations

import numpy as np

from runner.errors import InvalidRequestError
from runner.types import SamplingParams, TokenLogprob

from .detokenizer import visible_piece
from .llama import MARGIN, Logits, Model, SamplerChain

MAX_LOGPROBS = 20
_MIN_KEEP = 1
_BANNED = -1e9
_DRY_BREAKERS = [b"\n", b":", b'"', b"*"]


def build_chain(model: Model, params: SamplingParams, seed: int) -> SamplerChain:
    """The chain for one sequence. Raises InvalidRequestError for a bias on no token."""
    chain = SamplerChain()
    bias = resolve_bias(model, params)
    if bias:
        chain.add_bias(model, bias)
    if _has_penalties(params):
        chain.add(
            "penalties",
            model.num_vocab,
            params.penalty_last_n,
            params.repetition_penalty,
            params.frequency_penalty,
            params.presence_penalty,
        )
    if params.dry_multiplier > 0:
        settings = (
            params.dry_multiplier,
            params.dry_base,
            params.dry_allowed_length,
            params.dry_penalty_last_n if params.dry_penalty_last_n >= 0 else model.context_length,
        )
        chain.add_dry(model, settings, _DRY_BREAKERS)
    if params.temperature == 0:
        chain.add("greedy")
        return chain
    _add_truncation(chain, params, seed)
    chain.add("temp", params.temperature)
    chain.add("dist", seed)
    return chain


def margin_of(params: SamplingParams) -> float | None:
    """How far below the best logit a token may be and still matter; None where any may.

    Then, and with a top_k, which llama.cpp finds fast by itself, the samplers get everything.
    Heat shrinks distances, so it widens the margin; greedy needs the best alone.
    """
    changes_order = params.logit_bias or params.ignore_eos or params.dry_multiplier > 0
    if changes_order or _has_penalties(params):
        return None
    if params.temperature == 0:
        return 0.0
    return None if params.top_k > 0 else MARGIN * max(1.0, params.temperature)


def _has_penalties(params: SamplingParams) -> bool:
    return params.repetition_penalty != 1 or bool(
        params.frequency_penalty or params.presence_penalty
    )


def _add_truncation(chain: SamplerChain, params: SamplingParams, seed: int) -> None:
    if params.top_k > 0:
        chain.add("top_k", params.top_k)
    if params.typical_p < 1:
        chain.add("typical", params.typical_p, _MIN_KEEP)
    if params.top_p < 1:
        chain.add("top_p", params.top_p, _MIN_KEEP)
    if params.min_p > 0:
        chain.add("min_p", params.min_p, _MIN_KEEP)
    if params.xtc_probability > 0:
        chain.add("xtc", params.xtc_probability, params.xtc_threshold, _MIN_KEEP, seed)


def resolve_bias(model: Model, params: SamplingParams) -> list[tuple[int, float]]:
    """Token ids and what is added to their logits; a text biases every token it is made of."""
    bias: dict[int, float] = {}
    if params.ignore_eos:
        bias.update(dict.fromkeys(model.end_tokens, _BANNED))
    for key, value in params.logit_bias:
        for token in _biased_tokens(model, key):
            bias[token] = max(value, _BANNED)
    return list(bias.items())


def _biased_tokens(model: Model, key: str) -> list[int]:
    if not key.lstrip("-").isdigit():
        return model.tokenize(key, special=True)
    token = int(key)
    if not 0 <= token < model.num_vocab:
        raise InvalidRequestError(
            f"logit_bias names token {token}, but this model has tokens 0 to {model.num_vocab - 1}",
            param="logit_bias",
        )
    return [token]


def logprob_of(model: Model, logits: Logits, token: int, num_top: int) -> TokenLogprob:
    """The drawn token's log probability under the bare model, with the likeliest others."""
    shifted = logits - logits.max()
    normaliser = float(np.log(np.exp(shifted).sum()))
    likeliest: list[int] = []
    if num_top > 0:
        best = np.argpartition(shifted, -num_top)[-num_top:]
        likeliest = [int(row) for row in best[np.argsort(-shifted[best], kind="stable")]]

    def entry(row: int, top: tuple[TokenLogprob, ...] = ()) -> TokenLogprob:
        data = visible_piece(model, row) or model.piece(row)
        text = data.decode("utf-8", errors="replace")
        return TokenLogprob(text, data, float(shifted[row]) - normaliser, top)

    return entry(token, tuple(entry(row) for row in likeliest))
