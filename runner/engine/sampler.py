"""From sampling parameters to drawn tokens.

Owns the order of the samplers (that of llama-server), what each parameter means in it, and the
draw itself. Greedy is temperature 0; a sampler that would change nothing is left out.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from runner.errors import InvalidRequestError
from runner.types import SamplingParams, TokenLogprob

from .detokenizer import visible_piece
from .llama import Ids, Logits, Model, SamplerChain

MAX_LOGPROBS = 20
# exp(-20) of the best token's chance: all that is left out together is less than 1 in 3,000 even
# where 128,000 tokens lie right below the line
MARGIN = 20.0
_STEPS_PER_LOGIT = 16
_ODD, _GOLDEN, _MASK = 0xD1342543DE82EF95, 0x9E3779B97F4A7C15, 2**64 - 1
_MIN_KEEP = 1
_BANNED = -1e9
_DRY_BREAKERS = [b"\n", b":", b'"', b"*"]


class Sampler:
    """Draws the tokens of one sequence. Owns a chain; call `close` when the sequence ends.

    A draw depends on the logits, the seed and the place in the answer alone, so an answer that is
    taken up again in another process goes on as it would have.
    """

    def __init__(self, model: Model, params: SamplingParams) -> None:
        """Raises InvalidRequestError for a bias on no token."""
        self._params = params
        self._seed = params.seed or 0
        self._all_ids = np.arange(model.num_vocab, dtype=np.int32)
        bias = resolve_bias(model, params)
        self._biased_ids = np.array(list(bias), dtype=np.intp)
        self._bias = np.array(list(bias.values()), dtype=np.float32)
        self._chain = SamplerChain()
        self._moves_logits = _add_penalties(self._chain, model, params)
        if params.temperature == 0:
            self._chain.add("greedy")
        else:
            _add_truncation(self._chain, params, is_narrowed=not self._moves_logits)
            self._chain.add("temp", params.temperature)

    def draw(self, logits: Logits, place: int) -> int:
        """The token at this place of the answer; the samplers learn of it."""
        bare = logits[self._biased_ids]
        logits[self._biased_ids] = bare + self._bias
        try:
            return self._draw(logits, place)
        finally:
            logits[self._biased_ids] = bare

    def accept(self, token: int) -> None:
        """Tell the penalties about a token that came from elsewhere."""
        self._chain.accept(token)

    def close(self) -> None:
        """Free the samplers."""
        self._chain.close()

    def _draw(self, logits: Logits, place: int) -> int:
        if self._params.temperature == 0 and not self._moves_logits:
            return int(logits.argmax())
        ids = self._narrow(logits)
        left, heights, chosen = self._chain.apply(ids, logits[ids])
        if chosen is None:
            chosen = pick(heights, chance_at(self._seed, place))
        token = int(left[chosen])
        self._chain.accept(token)
        return token

    def _narrow(self, logits: Logits) -> Ids:
        """The tokens that could be drawn at all, where that can be told before any sampler.

        Most of a vocabulary has no chance worth a sort. What top_k and top_p leave follows from
        the bare logits if nothing moves those; else all tokens go through the chain.
        """
        params = self._params
        best = float(logits.max())
        if self._moves_logits or not np.isfinite(best):
            return self._all_ids
        if 0 < params.top_k < len(logits):
            lowest = np.partition(logits, -params.top_k)[-params.top_k]
            ids = np.flatnonzero(logits >= lowest).astype(np.int32)  # ties stay in
        else:
            margin = MARGIN * max(1.0, params.temperature)  # heat shrinks distances
            ids = np.flatnonzero(logits >= best - margin).astype(np.int32)
        if params.top_p < 1 and params.typical_p == 1:
            ids = ids[nucleus(logits[ids], params.top_p)]
        return ids


def chance_at(seed: int, place: int) -> float:
    """A number in [0, 1) that follows from seed and place alone (SplitMix64)."""
    mixed = (seed * _ODD + (place + 1) * _GOLDEN) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return float((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53


def pick(logits: Logits, chance: float) -> int:
    """The place among the logits that `chance` falls on, each as wide as its probability."""
    if not np.isfinite(logits.max()):
        return 0
    reached = np.cumsum(np.exp(logits - logits.max()), dtype=np.float64)
    place = int(np.searchsorted(reached, chance * reached[-1], side="right"))
    return min(place, len(logits) - 1)


def nucleus(logits: Logits, top_p: float) -> npt.NDArray[np.intp]:
    """The fewest places whose probabilities sum to `top_p`, at least one.

    Only the tokens near the cut are sorted: which ones these are shows in a coarse histogram.
    """
    depths = logits.max() - logits
    weights = np.exp(-depths)
    wanted = top_p * weights.sum(dtype=np.float64)
    steps = (depths * _STEPS_PER_LOGIT).astype(np.intp)
    reached = np.cumsum(np.bincount(steps, weights=weights))
    cut = int(np.searchsorted(reached, wanted))
    above = np.flatnonzero(steps < cut)
    near = np.flatnonzero(steps == cut)
    near = near[np.argsort(depths[near], kind="stable")]
    missing = wanted - weights[above].sum(dtype=np.float64)
    count = int(np.searchsorted(np.cumsum(weights[near], dtype=np.float64), missing)) + 1
    return np.sort(np.concatenate((above, near[:count])))


def _add_penalties(chain: SamplerChain, model: Model, params: SamplingParams) -> bool:
    """The samplers that move the logits of what was there before; False where there are none."""
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
    return _has_penalties(params) or params.dry_multiplier > 0


def _has_penalties(params: SamplingParams) -> bool:
    return params.repetition_penalty != 1 or bool(
        params.frequency_penalty or params.presence_penalty
    )


def _add_truncation(chain: SamplerChain, params: SamplingParams, *, is_narrowed: bool) -> None:
    """The samplers that drop tokens, but for those whose work is done beforehand."""
    if params.top_k > 0 and not is_narrowed:
        chain.add("top_k", params.top_k)
    if params.typical_p < 1:
        chain.add("typical", params.typical_p, _MIN_KEEP)
    if params.top_p < 1 and not (is_narrowed and params.typical_p == 1):
        chain.add("top_p", params.top_p, _MIN_KEEP)
    if params.min_p > 0:
        chain.add("min_p", params.min_p, _MIN_KEEP)
    if params.xtc_probability > 0:
        seed = params.seed or 0
        chain.add("xtc", params.xtc_probability, params.xtc_threshold, _MIN_KEEP, seed)


def resolve_bias(model: Model, params: SamplingParams) -> dict[int, float]:
    """What is added to the logits of which tokens; a text biases every token it is made of."""
    bias: dict[int, float] = {}
    if params.ignore_eos:
        bias.update(dict.fromkeys(model.end_tokens, _BANNED))
    for key, value in params.logit_bias:
        for token in _biased_tokens(model, key):
            bias[token] = max(value, _BANNED)
    return bias


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
