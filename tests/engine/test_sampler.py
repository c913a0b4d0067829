"""Sampling: what is left of the vocabulary, and that a draw can be repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.llama import LoadOptions, Model
from runner.engine.sampler import MARGIN, Sampler, chance_at, logprob_of, nucleus, pick
from runner.errors import InvalidRequestError
from runner.types import SamplingParams


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Iterator[Model]:
    loaded = Model(LoadOptions((str(tiny_weights),), 64, 1, 1))
    yield loaded
    loaded.close()


def draws(model: Model, params: SamplingParams, spread: float = 6) -> list[int]:
    chance = np.random.default_rng(1)
    sampler = Sampler(model, params)
    tokens = []
    for place in range(60):
        logits = (chance.standard_normal(model.num_vocab) * spread).astype(np.float32)
        tokens.append(sampler.draw(logits, place))
    sampler.close()
    return tokens


WAYS = [
    SamplingParams(temperature=0, seed=5),
    SamplingParams(temperature=1.0, seed=5),
    SamplingParams(temperature=0.7, top_p=0.9, seed=5),
    SamplingParams(temperature=0.7, top_p=0.6, top_k=30, min_p=0.02, seed=5),
    SamplingParams(temperature=1.5, min_p=0.05, typical_p=0.9, seed=5),
    SamplingParams(temperature=2.0, top_k=20, xtc_probability=0.5, seed=5),
    SamplingParams(temperature=0.8, top_p=0.9, repetition_penalty=1.3, seed=5),
]


@pytest.mark.parametrize("params", WAYS[1:])
@pytest.mark.parametrize("spread", [0.3, 2, 6])
def test_what_is_left_is_what_llama_cpp_itself_leaves(
    model: Model, params: SamplingParams, spread: float
) -> None:
    """A penalty, here on nothing, sends every token through llama.cpp's own samplers."""
    whole = replace(params, presence_penalty=0.1)
    same = [
        one == other
        for one, other in zip(
            leftovers(model, params, spread), leftovers(model, whole, spread), strict=True
        )
    ]
    assert sum(same) >= 39  # a token right at a cut may fall to either side by rounding


def leftovers(model: Model, params: SamplingParams, spread: float) -> list[set[int]]:
    """The tokens that could be drawn, but for those that have no chance worth a sort."""
    chance = np.random.default_rng(3)
    sampler = Sampler(model, params)
    found = []
    for _ in range(40):
        logits = (chance.standard_normal(model.num_vocab) * spread).astype(np.float32)
        ids = sampler._narrow(logits)
        left, heights, _ = sampler._chain.apply(ids, logits[ids])
        found.append({int(token) for token in left[heights > heights.max() - MARGIN]})
    return found


@given(st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_nucleus_is_the_smallest_set_that_reaches_top_p(values: list[float], top_p: float) -> None:
    logits = np.array(values, dtype=np.float32)
    weights = np.exp((logits - logits.max()).astype(np.float64))
    weights /= weights.sum()
    kept = nucleus(logits, top_p)
    assert weights[kept].sum() >= top_p - 1e-6
    assert weights[kept].sum() - weights[kept].min() < top_p + 1e-6
    assert weights[kept].min() >= max(np.delete(weights, kept), default=0.0)


def test_draws_follow_the_probabilities() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    counts = np.bincount([pick(logits, chance_at(9, place)) for place in range(20_000)])
    assert counts / 20_000 == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.012)


def test_a_draw_depends_on_seed_and_place_alone(model: Model) -> None:
    params = SamplingParams(temperature=1.3, seed=11)
    logits = np.random.default_rng(4).standard_normal(model.num_vocab).astype(np.float32)
    straight, resumed = Sampler(model, params), Sampler(model, params)
    drawn = [straight.draw(logits, place) for place in range(20)]
    assert [resumed.draw(logits, place) for place in range(10, 20)] == drawn[10:]
    other = Sampler(model, replace(params, seed=12))
    assert [other.draw(logits, place) for place in range(20)] != drawn


def test_greedy_takes_the_best(model: Model) -> None:
    logits = np.zeros(model.num_vocab, dtype=np.float32)
    logits[17] = 3.0
    assert Sampler(model, SamplingParams(temperature=0)).draw(logits, 0) == 17


def test_bias_lifts_a_token_from_far_below(model: Model) -> None:
    params = SamplingParams(temperature=0, logit_bias=(("17", 99.0), ("18", -1e9)))
    logits = np.zeros(model.num_vocab, dtype=np.float32)
    logits[18] = 50.0
    logits[17] = -40.0
    assert Sampler(model, params).draw(logits, 0) == 17


BIASES = (("3", 4.0), ("17", -2.5), ("18", -1e9), ("19", 100.0))


@pytest.mark.parametrize("params", [way for way in WAYS if way.repetition_penalty == 1])
def test_bias_draws_what_logits_that_were_so_by_themselves_would(
    model: Model, params: SamplingParams
) -> None:
    chance = np.random.default_rng(8)
    biased, bare = Sampler(model, replace(params, logit_bias=BIASES)), Sampler(model, params)
    for place in range(60):
        logits = (chance.standard_normal(model.num_vocab) * 6).astype(np.float32)
        moved = logits.copy()
        for token, value in BIASES:
            moved[int(token)] += np.float32(value)
        before = logits.copy()
        assert biased.draw(logits, place) == bare.draw(moved, place)
        assert (logits == before).all()


def test_bias_on_a_token_that_is_not_there_is_refused(model: Model) -> None:
    with pytest.raises(InvalidRequestError, match="logit_bias"):
        Sampler(model, SamplingParams(logit_bias=(("999999999", 1.0),)))


@pytest.mark.parametrize("params", WAYS)
def test_same_seed_draws_the_same(model: Model, params: SamplingParams) -> None:
    assert draws(model, params) == draws(model, params)


@pytest.mark.parametrize("params", WAYS)
def test_logits_without_a_number_draw_something_rather_than_crash(
    model: Model, params: SamplingParams
) -> None:
    logits = np.full(model.num_vocab, np.nan, dtype=np.float32)
    assert 0 <= Sampler(model, params).draw(logits, 0) < model.num_vocab


def test_logprobs_are_those_of_the_bare_model(model: Model) -> None:
    logits = np.random.default_rng(2).standard_normal(model.num_vocab).astype(np.float32)
    exact = logits - np.log(np.exp(logits).sum())
    best = int(logits.argmax())
    entry = logprob_of(model, logits, best, 5)
    assert entry.logprob == pytest.approx(float(exact[best]), abs=1e-4)
    assert [other.logprob for other in entry.top] == sorted(
        (other.logprob for other in entry.top), reverse=True
    )
    assert entry.top[0].logprob == entry.logprob
