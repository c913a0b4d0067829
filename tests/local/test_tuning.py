"""What a trial of threads found is kept, unless it was taken beside other work."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.hardware import Hardware
from runner.local.tuning import FILE, Tunings, thread_choices

WEIGHTS = ("/models/big.gguf",)


def machine(physical: int, logical: int) -> Hardware:
    return Hardware(physical, logical, frozenset(), 1 << 34, 1 << 33, 1 << 36, 2e10)


@pytest.mark.parametrize(
    ("physical", "logical", "choices"),
    [(1, 1, []), (2, 2, [2, 1]), (4, 8, [4, 8, 3, 2]), (8, 8, [8, 7, 4])],
)
def test_likeliest_number_of_threads_is_tried_first(
    physical: int, logical: int, choices: list[int]
) -> None:
    assert thread_choices(machine(physical, logical)) == choices


def test_what_was_found_is_known_next_time_for_these_weights_and_cores_alone(
    tmp_path: Path,
) -> None:
    Tunings(tmp_path, lambda: 0.0).keep(WEIGHTS, machine(4, 8), 3, 20.5)
    again = Tunings(tmp_path, lambda: 0.0)
    found = again.find(WEIGHTS, machine(4, 8))
    assert found is not None
    assert (found.num_threads, found.tokens_per_s) == (3, 20.5)
    assert again.find(WEIGHTS, machine(8, 8)) is None
    assert again.find(("/models/other.gguf",), machine(4, 8)) is None


def test_trial_beside_other_work_is_repeated_once_the_machine_is_idle(tmp_path: Path) -> None:
    busy, idle = Tunings(tmp_path, lambda: 4.0), Tunings(tmp_path, lambda: 0.1)
    busy.keep(WEIGHTS, machine(4, 8), 1, 5.0)
    assert busy.find(WEIGHTS, machine(4, 8)) is not None
    assert idle.find(WEIGHTS, machine(4, 8)) is None
    idle.keep(WEIGHTS, machine(4, 8), 4, 20.0)
    assert idle.find(WEIGHTS, machine(4, 8)) is not None


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "not json"])
def test_broken_file_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    tunings = Tunings(tmp_path, lambda: 0.0)
    assert tunings.find(WEIGHTS, machine(2, 2)) is None
    tunings.keep(WEIGHTS, machine(2, 2), 2, 9.0)
    assert tunings.find(WEIGHTS, machine(2, 2)) is not None
