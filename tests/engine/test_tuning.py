"""Trying numbers of threads: the fastest is used, and the trial leaves nothing behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.engine.llama import Batch, Context, LoadOptions, Model
from runner.engine.tuning import fastest


class Machine:
    """A context and a clock on which a step takes what is said for the number of threads."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.num_threads = 0
        self.now_s = 0.0
        self.cells: list[int] = []

    def use_threads(self, count: int) -> None:
        self.num_threads = count

    def decode(self, batch: Batch) -> None:
        self.cells.append(batch.num_tokens)
        self.now_s += self.seconds[self.num_threads]

    def remove(self, _slot: int, _start: int) -> None:
        self.cells.clear()

    def clock(self) -> float:
        return self.now_s


@pytest.mark.parametrize(
    ("seconds", "choices", "chosen"),
    [
        ({4: 0.02, 8: 0.03}, [4, 8], 4),
        ({4: 0.03, 8: 0.02}, [4, 8], 8),
        ({4: 0.0201, 8: 0.02}, [4, 8], 4),
        ({2: 9.0, 4: 5.0}, [2, 4], 4),
    ],
)
def test_fastest_choice_is_used_and_the_first_where_nothing_is_gained(
    seconds: dict[int, float], choices: Sequence[int], chosen: int
) -> None:
    machine = Machine(seconds)
    trial = fastest(machine, choices, machine.clock)  # type: ignore[arg-type]  # what it uses
    assert (trial.num_threads, machine.num_threads) == (chosen, chosen)
    assert trial.tokens_per_s == pytest.approx(1 / seconds[chosen])
    assert machine.cells == []


def test_slow_machine_is_not_kept_busy_for_long() -> None:
    machine = Machine({1: 4.0, 2: 3.0})
    fastest(machine, [1, 2], machine.clock)  # type: ignore[arg-type]  # what it uses
    assert machine.now_s <= 2 * 4.0 + 2 * 3.0


def test_trial_on_real_weights_leaves_the_whole_cache_free(tiny_weights: Path) -> None:
    options = LoadOptions((str(tiny_weights),), 256, 1, 1)
    model = Model(options)
    context = Context(model, options)
    trial = fastest(context, [1, 2], iter(range(1000)).__next__)
    assert trial.num_threads == 1
    batch = Batch(context.num_cells)
    batch.add(0, [1] * context.num_cells, 0, 1)
    context.decode(batch)  # every cell is there
    context.close()
    model.close()
