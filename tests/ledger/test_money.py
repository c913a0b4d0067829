"""Money: whole nano-dollars, rounded up when held."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.ledger import Price, to_nusd, to_usd


def test_a_price_per_million_tokens_is_counted_in_nano_dollars() -> None:
    assert Price(0.13, 0.40).cost_nusd(1000, 100) == 130_000 + 40_000
    assert Price(0, 0).is_free


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 100))
def test_a_cost_is_never_rounded_below_the_exact_sum(
    num_prompt: int, num_completion: int, prompt_usd: float, completion_usd: float
) -> None:
    exact = 1000 * (num_prompt * prompt_usd + num_completion * completion_usd)
    cost = Price(prompt_usd, completion_usd).cost_nusd(num_prompt, num_completion)
    assert exact - 1e-3 <= cost <= exact + 1


@given(st.integers(0, 10**12))
def test_nano_dollars_survive_the_way_through_floats(nusd: int) -> None:
    assert to_nusd(to_usd(nusd)) == nusd
