"""The scheduler alone: budgets, order, sharing, and random schedules without llama.cpp."""

from __future__ import annotations

import os
import random

import pytest

from runner.engine.prefix_cache import PrefixCache
from runner.engine.scheduler import JUST_BEGUN, Scheduler
from runner.engine.sequence import Sequence

from .test_prefix_cache import RecordedCells

NUM_SCHEDULES = int(os.environ.get("RUNNER_TEST_SCHEDULES", "300"))


class Engine:
    """A scheduler whose steps compute nothing but write tokens into recorded cells."""

    def __init__(self, *, num_cells: int = 400, num_running: int = 4, num_slots: int = 12) -> None:
        self.cells = RecordedCells()
        self.cache = PrefixCache(num_cells=num_cells, num_slots=num_slots, effects=self.cells)
        self.scheduler = Scheduler(self.cache, num_running=num_running, context=num_cells)
        self.ended: dict[int, str] = {}
        self.num_computed = 0

    def submit(
        self, sequence_id: int, prompt: list[int], max_new: int = 4, **more: str
    ) -> Sequence:
        sequence = Sequence(sequence_id, list(prompt), len(prompt), max_new, **more)  # type: ignore[arg-type]
        self.scheduler.add(sequence)
        return sequence

    def step(self, budget: int = 64, whole: int = 0, *, fails: bool = False) -> int:
        """One step; returns the tokens computed."""
        self.scheduler.admit()
        whole = whole if self.scheduler.may_begin_together else 0
        chunks, starved = self.scheduler.plan(budget, whole)
        assert sum(chunk.stop - chunk.start for chunk in chunks) <= max(budget, whole)
        for sequence in starved:
            self.end(sequence, "length")
        for chunk in chunks:
            assert chunk.sequence.lease is not None
            self.cells.write(chunk.sequence.lease.slot, chunk.start, chunk.tokens)
        if fails:
            self.scheduler.undo(chunks)
            self.check()
            return 0
        self.scheduler.complete(chunks)
        for chunk in chunks:
            if chunk.num_outputs:
                sequence = chunk.sequence
                sequence.tokens.append(sum(sequence.tokens) % 3 + 1)
                if sequence.num_new >= sequence.max_new:
                    self.end(sequence, "done")
        self.check()
        return sum(chunk.stop - chunk.start for chunk in chunks)

    def end(self, sequence: Sequence, how: str) -> None:
        assert sequence.id not in self.ended
        self.ended[sequence.id] = how
        self.scheduler.remove(sequence)

    def check(self) -> None:
        self.cache.check()
        assert self.cells.num_used == self.cache.num_cells - self.cache.num_free
        for sequence in self.scheduler.running:
            assert sequence.lease is not None
            assert self.cells.read(sequence.lease.slot) == sequence.tokens[: sequence.num_computed]

    def run(self, budget: int = 64) -> int:
        total = 0
        for _ in range(10_000):
            if self.scheduler.is_idle:
                return total
            total += self.step(budget)
        raise AssertionError("the engine never came to rest")


def test_decodes_come_before_prompts_in_one_step() -> None:
    engine = Engine()
    engine.submit(1, [1, 2, 3], max_new=9)
    engine.step()
    engine.submit(2, list(range(10, 60)))
    engine.scheduler.admit()
    chunks, _ = engine.scheduler.plan(8)
    assert [(chunk.sequence.id, chunk.stop - chunk.start) for chunk in chunks] == [(1, 1), (2, 7)]


def test_requests_of_one_burst_begin_together() -> None:
    engine = Engine(num_running=4)
    for sequence_id in range(4):
        engine.submit(sequence_id, [sequence_id] * 30, max_new=50)
    engine.step(40, whole=80)
    engine.step(40, whole=80)
    assert [sequence.num_new for sequence in engine.scheduler.running] == [2, 2, 1, 1]


def test_long_prompt_makes_no_running_stream_wait() -> None:
    engine = Engine()
    stream = engine.submit(1, [1, 2, 3], max_new=90)
    while stream.num_new < JUST_BEGUN:
        engine.step()
    engine.submit(2, list(range(10, 60)))
    engine.scheduler.admit()
    assert not engine.scheduler.may_begin_together
    fresh = Engine()
    fresh.submit(1, [1, 2, 3], max_new=90)
    fresh.step()
    fresh.submit(2, list(range(10, 250)))
    fresh.scheduler.admit()
    chunks, _ = fresh.scheduler.plan(8, 64)
    assert [chunk.stop - chunk.start for chunk in chunks] == [1, 7]


def test_prompt_longer_than_the_budget_takes_several_steps() -> None:
    engine = Engine()
    sequence = engine.submit(1, list(range(100)), max_new=1)
    for computed in (40, 80):
        engine.step(40)
        assert sequence.num_computed == computed
    engine.step(40)
    assert engine.ended == {1: "done"}


def test_requests_that_arrive_together_compute_their_shared_prefix_once() -> None:
    engine = Engine(num_running=4)
    system = list(range(100, 200))
    for sequence_id in range(4):
        engine.submit(sequence_id, [*system, sequence_id, 7], max_new=2)
    assert engine.run(budget=32) < len(system) + 4 * 8


def test_waiting_for_a_prefix_does_not_hold_up_others() -> None:
    engine = Engine(num_running=3)
    system = list(range(100, 200))
    engine.submit(1, [*system, 1])
    engine.submit(2, [*system, 2])
    engine.submit(3, [5, 6, 7])
    engine.step(16)
    assert {sequence.id for sequence in engine.scheduler.running} == {1, 3}


def test_cancelled_prompt_lets_its_follower_compute() -> None:
    engine = Engine(num_running=2)
    system = list(range(100, 200))
    first = engine.submit(1, [*system, 1])
    engine.submit(2, [*system, 2])
    engine.step(16)
    engine.scheduler.remove(first)
    engine.run()
    assert engine.ended == {2: "done"}


def test_sequence_without_cells_ends_alone() -> None:
    engine = Engine(num_cells=40, num_running=2)
    engine.submit(1, [1, 2, 3], max_new=30)
    engine.submit(2, [4, 5, 6], max_new=30)
    engine.run()
    assert sorted(engine.ended.values()) == ["done", "length"]


def test_request_too_big_for_what_is_left_waits() -> None:
    engine = Engine(num_cells=60, num_running=4)
    engine.submit(1, [1] * 30, max_new=10)
    engine.submit(2, [2] * 30, max_new=10)
    engine.step()
    assert [sequence.id for sequence in engine.scheduler.running] == [1]
    engine.run()
    assert engine.ended == {1: "done", 2: "done"}


def test_aborted_step_gives_its_cells_back() -> None:
    engine = Engine()
    engine.submit(1, list(range(1, 50)))
    engine.step(16, fails=True)
    assert engine.cache.num_free == engine.cache.num_cells
    engine.run(16)
    assert engine.ended == {1: "done"}


def test_cacheless_request_leaves_nothing_behind() -> None:
    engine = Engine()
    sequence = engine.submit(1, list(range(50)))
    sequence.use_cache = False
    engine.run()
    assert engine.cache.num_cached == 0
    assert engine.cache.num_free == engine.cache.num_cells


def random_schedule(seed: int) -> None:
    """Arrivals, cancellations, aborted steps, tight cells: all end, nothing leaks."""
    chance = random.Random(seed)
    engine = Engine(
        num_cells=chance.randint(30, 200),
        num_running=chance.randint(1, 5),
        num_slots=chance.randint(6, 14),
    )
    live: list[Sequence] = []
    cancelled: set[int] = set()
    num_submitted = 0
    prefixes = [[chance.randint(1, 3) for _ in range(chance.randint(1, 40))] for _ in range(3)]
    for _ in range(chance.randint(5, 40)):
        if chance.random() < 0.4:
            prompt = [*chance.choice(prefixes), *(chance.randint(1, 3) for _ in range(3))]
            prompt = prompt[: engine.cache.num_cells - 2]
            live.append(
                engine.submit(
                    num_submitted, prompt, chance.randint(1, 12), tenant=chance.choice("ab")
                )
            )
            num_submitted += 1
        if live and chance.random() < 0.15:
            sequence = live.pop(chance.randrange(len(live)))
            if sequence.id not in engine.ended:
                cancelled.add(sequence.id)
                engine.scheduler.remove(sequence)
                engine.check()
        engine.step(chance.randint(4, 64), chance.randint(0, 99), fails=chance.random() < 0.1)
    engine.run(chance.randint(4, 64))
    assert set(engine.ended) | cancelled == set(range(num_submitted))
    assert engine.cache.num_live == 0


@pytest.mark.parametrize("block", range(10))
def test_random_schedules_break_no_invariant(block: int) -> None:
    for seed in range(block, NUM_SCHEDULES, 10):
        random_schedule(seed)
