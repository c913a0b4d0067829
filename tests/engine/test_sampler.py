"""Sampling: the tokens left out beforehand change nothing that is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runner.engine.llama import LoadOptions, Model
from runner.engine.sampler import build_chain, logprob_of, margin_of
from runner.errors import InvalidRequestError
from runner.types import SamplingParams


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Iterator[Model]:
    loaded = Model(LoadOptions((str(tiny_weights),), 64, 1, 1))
    yield loaded
    loaded.close()


def draws(model: Model, params: SamplingParams, *, whole: bool) -> list[int]:
    chance = np.random.default_rng(1)
    chain = build_chain(model, params, seed=5)
    margin = None if whole else margin_of(params)
    tokens = []
    for _ in range(60):
        logits = (chance.standard_normal(model.num_vocab) * 6).astype(np.float32)
        tokens.append(chain.draw(logits, margin))
    chain.close()
    return tokens


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0),
        SamplingParams(temperature=1.0),
        SamplingParams(temperature=0.7, top_p=0.9),
        SamplingParams(temperature=1.5, min_p=0.05, typical_p=0.9),
        SamplingParams(temperature=2.0, top_k=20, xtc_probability=0.5),
        SamplingParams(temperature=0.8, repetition_penalty=1.3, frequency_penalty=0.5),
    ],
)
def test_left_out_tokens_change_no_draw(model: Model, params: SamplingParams) -> None:
    assert draws(model, params, whole=False) == draws(model, params, whole=True)


def test_greedy_takes_the_best(model: Model) -> None:
    logits = np.zeros(model.num_vocab, dtype=np.float32)
    logits[17] = 3.0
    params = SamplingParams(temperature=0)
    assert build_chain(model, params, 0).draw(logits, margin_of(params)) == 17


def test_bias_lifts_a_token_from_far_below(model: Model) -> None:
    params = SamplingParams(temperature=0, logit_bias=(("17", 99.0), ("18", -1e9)))
    logits = np.zeros(model.num_vocab, dtype=np.float32)
    logits[18] = 50.0
    logits[17] = -40.0
    assert build_chain(model, params, 0).draw(logits, margin_of(params)) == 17


def test_bias_on_a_token_that_is_not_there_is_refused(model: Model) -> None:
    with pytest.raises(InvalidRequestError, match="logit_bias"):
        build_chain(model, SamplingParams(logit_bias=(("999999999", 1.0),)), 0)


def test_same_seed_draws_the_same(model: Model) -> None:
    params = SamplingParams(temperature=1.3, top_p=0.95)
    assert draws(model, params, whole=False) == draws(model, params, whole=False)


def test_logits_without_a_number_draw_something_rather_than_crash(model: Model) -> None:
    logits = np.full(model.num_vocab, np.nan, dtype=np.float32)
    params = SamplingParams(temperature=0)
    assert 0 <= build_chain(model, params, 0).draw(logits, margin_of(params)) < model.num_vocab


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
