"""How large a step may be, from how long steps took."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.pace import GAP_FACTOR, SMALLEST_PIECE, Pace


def test_prompt_beside_streams_leaves_their_gap_small() -> None:
    pace = Pace(batch_size=2048)
    for _ in range(20):
        pace.record(num_decoded=4, num_prompt=0, duration_s=0.02)
        pace.record(num_decoded=4, num_prompt=40, duration_s=0.02 + 40 * 0.001)
    piece = pace.budget(num_decoding=4) - 4
    assert 0.02 + piece * 0.001 <= GAP_FACTOR * 0.02 + 0.001
    assert piece > SMALLEST_PIECE


def test_prompt_alone_is_computed_in_larger_pieces() -> None:
    pace = Pace(batch_size=2048)
    pace.record(num_decoded=0, num_prompt=64, duration_s=0.064)
    assert pace.budget(num_decoding=0) == 1472  # a second and a half, in whole pieces


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
