"""How large a step may be, from how long steps took."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.pace import SMALLEST_PIECE, Pace

# What a batch of so many tokens takes: a 1B model on two cores, with kernels that like multiples
# of four and of sixteen.
TWO_CORES_MS = {
    1: 22, 2: 29, 3: 37, 4: 42, 5: 53, 6: 63, 7: 71, 8: 71, 9: 81, 10: 85, 11: 92, 12: 88, 13: 95,
    14: 102, 15: 111, 16: 89, 17: 104, 18: 114, 20: 120, 22: 135, 24: 136, 28: 159, 32: 159,
}  # fmt: skip


def two_cores_s(num_tokens: int) -> float:
    known = [size for size in TWO_CORES_MS if size >= num_tokens]
    return TWO_CORES_MS[known[0]] / 1000 if known else num_tokens * 0.005


# The same model on two cores with AMX, which computes blocks of 32.
AMX_MS = {
    1: 86, 2: 115, 3: 116, 4: 122, 6: 126, 8: 134, 12: 148, 15: 156, 16: 159, 17: 200, 20: 213,
    24: 230, 32: 267, 40: 432, 48: 432, 64: 478,
}  # fmt: skip


def amx_s(num_tokens: int) -> float:
    known = [size for size in AMX_MS if size >= num_tokens]
    return AMX_MS[known[0]] / 1000 if known else -(-num_tokens // 32) * 0.23


def gaps_of(cost_s: Callable[[int], float], num_streams: int, num_steps: int) -> list[float]:
    """How many times its usual gap a stream waits while a long prompt is computed beside it."""
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=0, num_prompt=64, duration_s=cost_s(64))
    pace.record(num_decoded=num_streams, num_prompt=150, duration_s=cost_s(num_streams + 150))
    for _ in range(5):
        pace.record(num_decoded=num_streams, num_prompt=0, duration_s=cost_s(num_streams))
    gaps = []
    for _ in range(num_steps):
        budget = pace.budget(num_decoding=num_streams)
        took_s = cost_s(budget)
        pace.record(num_decoded=num_streams, num_prompt=budget - num_streams, duration_s=took_s)
        gaps.append(took_s / cost_s(num_streams))
    return gaps


@pytest.mark.parametrize("num_streams", range(1, 9))
@pytest.mark.parametrize("cost_s", [two_cores_s, amx_s])
def test_a_long_prompt_never_triples_the_gap_of_a_stream(
    cost_s: Callable[[int], float], num_streams: int
) -> None:
    assert max(gaps_of(cost_s, num_streams, 100)) < 3


@given(st.integers(1, 8), st.floats(0.012, 0.5), st.floats(0.001, 0.4))
def test_on_other_machines_a_long_prompt_does_not_triple_the_gap_either(
    num_streams: int, step_s: float, share: float
) -> None:
    """A machine on which a step has a cost of its own, and each token some of it."""
    gaps = gaps_of(lambda num_tokens: step_s * (1 + share * num_tokens), num_streams, 60)
    assert max(gaps) < 3
    is_roomy = share * SMALLEST_PIECE < 0.5
    assert not is_roomy or gaps[-1] > 1.5  # and most of what may be used is used


def test_one_step_that_was_quick_does_not_begin_another_block() -> None:
    pace = Pace(batch_size=2048)
    for _ in range(5):
        pace.record(num_decoded=3, num_prompt=0, duration_s=0.116)
    for duration_s in (0.267, 0.267, 0.267, 0.16):
        pace.record(num_decoded=3, num_prompt=29, duration_s=duration_s)
        assert pace.budget(num_decoding=3) <= 32


def test_a_block_that_took_too_long_is_given_up_at_once() -> None:
    pace = Pace(batch_size=2048)
    for _ in range(5):
        pace.record(num_decoded=3, num_prompt=0, duration_s=0.116)
    pace.record(num_decoded=3, num_prompt=57, duration_s=0.45)
    assert pace.budget(num_decoding=3) <= 32


def test_prompt_alone_is_computed_in_larger_pieces() -> None:
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=0, num_prompt=64, duration_s=0.064)
    assert pace.budget(num_decoding=0) == 1472  # a second and a half, in whole pieces


def test_small_prompts_do_not_hide_what_a_token_takes_in_a_large_piece() -> None:
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=0, num_prompt=36, duration_s=0.5)
    assert pace.whole_budget() == 108
    pace.record(num_decoded=1, num_prompt=108, duration_s=0.75)
    assert pace.whole_budget() == 218
    for _ in range(20):
        pace.record(num_decoded=0, num_prompt=5, duration_s=0.2)
    assert pace.whole_budget() == 218


def test_where_even_a_piece_takes_long_later_ones_still_count() -> None:
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=0, num_prompt=64, duration_s=64.0)
    for _ in range(40):
        pace.record(num_decoded=0, num_prompt=pace.whole_budget(), duration_s=0.1)
    assert pace.whole_budget() >= 15


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 512), st.floats(1e-6, 10)), max_size=30),
    st.integers(0, 64),
)
def test_budget_is_never_too_small_to_progress_nor_larger_than_a_batch(
    steps: list[tuple[int, int, float]], num_decoding: int
) -> None:
    pace = Pace(batch_size=512)
    for num_decoded, num_prompt, duration_s in steps:
        pace.record(num_decoded=num_decoded, num_prompt=num_prompt, duration_s=duration_s)
    assert num_decoding + SMALLEST_PIECE <= pace.budget(num_decoding=num_decoding) <= 512


def test_batch_never_run_is_thought_as_quick_as_it_could_be() -> None:
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=1, num_prompt=0, duration_s=0.02)
    pace.record(num_decoded=0, num_prompt=64, duration_s=0.064)
    assert pace.cost_s(4) == 0.02
    assert pace.cost_s(32) == pytest.approx(0.032)
    pace.record(num_decoded=4, num_prompt=0, duration_s=0.06)
    assert pace.cost_s(4) == pytest.approx(0.06)
    assert (pace.cost_s(8) or 0) >= 0.06
