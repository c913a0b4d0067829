"""Measuring llama.cpp's kernels: the arithmetic, and once for real."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from runner.engine import kernel
from runner.engine.kernel import MARK, NUM_PASSES, TYPES, Kernels, measure, measure_kernels


class Counted(Kernels):
    """Kernels of two types that only count how often they were computed."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def names(self) -> Iterator[str]:
        yield from ("Q8_0", "Q4_K" + MARK)

    def product(self, name: str, arena: kernel.Arena) -> Callable[[], object]:
        return lambda: self.calls.append(name)


def test_a_rate_is_the_bytes_of_the_matrix_over_the_time_of_the_best_pass() -> None:
    ticks = itertools.chain([0.0, 1.0, 1.0, 1.5, 1.5, 3.5], [0.0, 2.0] * NUM_PASSES)
    kernels = Counted()
    rates = measure(kernels, 1, lambda: next(ticks))
    assert kernels.calls == ["Q8_0"] * NUM_PASSES + ["Q4_K*"] * NUM_PASSES
    assert rates["Q8_0"] == kernel.num_rows("Q8_0") * 4096 / 32 * 34 / 0.5
    assert rates["Q4_K*"] == kernel.num_rows("Q4_K*") * 4096 / 256 * 144 / 2.0


@pytest.mark.parametrize("name", [*TYPES, "Q2_K*"])
def test_a_matrix_has_whole_groups_of_rows_and_fits_its_place(name: str) -> None:
    assert kernel.num_rows(name) % 8 == 0
    taken = kernel.num_rows(name) * kernel.row_bytes(name)
    assert 0.98 * kernel.MATRIX_BYTES < taken <= kernel.MATRIX_BYTES


def test_llama_cpps_own_kernels_are_measured_in_a_child() -> None:
    rates = measure_kernels(1)
    assert set(TYPES) <= set(rates)
    assert all(1e8 < rate < 1e12 for rate in rates.values()), rates


def test_what_cannot_be_measured_is_left_out() -> None:
    assert measure_kernels(1, timeout_s=0.001) == {}
