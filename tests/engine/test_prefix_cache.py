"""The radix tree: what it shares is right, what it counts adds up."""

from __future__ import annotations

import random

import pytest

from runner.engine.prefix_cache import Lease, PrefixCache, common_prefix


class RecordedCells:
    """A KV cache that remembers which token sits at which position of which slot."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], object] = {}

    def write(self, slot: int, start: int, tokens: list[int]) -> None:
        """What a decode does."""
        for position, token in enumerate(tokens, start):
            assert (slot, position) not in self.cells
            self.cells[slot, position] = (token, object())

    def share(self, source: int, target: int, start: int, stop: int) -> None:
        for position in range(start, stop):
            assert (target, position) not in self.cells
            self.cells[target, position] = self.cells[source, position]

    def remove(self, slot: int, start: int, stop: int = -1) -> None:
        for key in list(self.cells):
            if key[0] == slot and key[1] >= start and (stop < 0 or key[1] < stop):
                del self.cells[key]

    def read(self, slot: int) -> list[int]:
        """The tokens a slot sees, which must be without a gap."""
        positions = sorted(position for owner, position in self.cells if owner == slot)
        assert positions == list(range(len(positions)))
        return [self.cells[slot, position][0] for position in positions]  # type: ignore[index]

    @property
    def num_used(self) -> int:
        """Distinct cells in use."""
        return len({id(cell) for cell in self.cells.values()})


class Bench:
    """A cache with sequences that compute their prompts at once."""

    def __init__(self, num_cells: int = 100, num_slots: int = 8) -> None:
        self.cells = RecordedCells()
        self.cache = PrefixCache(num_cells=num_cells, num_slots=num_slots, effects=self.cells)

    def open(self, tokens: list[int], tenant: str = "") -> Lease:
        lease = self.cache.open(tenant, tokens, limit=len(tokens) - 1)
        assert lease is not None
        return lease

    def compute(self, lease: Lease, tokens: list[int], stop: int | None = None) -> bool:
        stop = len(tokens) if stop is None else stop
        start = lease.num_cells
        if not self.cache.grow(lease, stop - start):
            return False
        self.cells.write(lease.slot, start, tokens[start:stop])
        return True

    def check(self) -> None:
        self.cache.check()
        assert self.cells.num_used == self.cache.num_cells - self.cache.num_free


def run(bench: Bench, tokens: list[int], tenant: str = "") -> Lease:
    lease = bench.open(tokens, tenant)
    assert bench.compute(lease, tokens)
    bench.cache.commit(lease, tokens)
    bench.check()
    return lease


def test_second_sequence_shares_the_prefix_of_a_running_one() -> None:
    bench = Bench()
    first = run(bench, [1, 2, 3, 4])
    second = bench.open([1, 2, 3, 9])
    assert second.depth == 3
    assert bench.cells.read(second.slot) == [1, 2, 3]
    bench.cache.close(first, keep=True)
    bench.check()
    assert bench.cells.read(second.slot) == [1, 2, 3]


def test_finished_sequence_stays_cached_and_is_shared() -> None:
    bench = Bench()
    bench.cache.close(run(bench, [1, 2, 3, 4]), keep=True)
    assert (bench.cache.num_cached, bench.cache.num_live) == (4, 0)
    assert bench.open([1, 2, 3, 4, 5]).depth == 4


def test_at_least_one_token_is_left_to_compute() -> None:
    bench = Bench()
    bench.cache.close(run(bench, [1, 2, 3]), keep=True)
    assert bench.open([1, 2, 3]).depth == 2


def test_cache_is_never_shared_between_tenants() -> None:
    bench = Bench()
    bench.cache.close(run(bench, [1, 2, 3, 4], tenant="a"), keep=True)
    assert bench.open([1, 2, 3, 4, 5], tenant="b").depth == 0


def test_what_was_not_kept_is_free_again() -> None:
    bench = Bench()
    bench.cache.close(run(bench, [1, 2, 3, 4]), keep=False)
    bench.check()
    assert bench.cache.num_free == 100


def test_same_tokens_computed_twice_are_stored_once() -> None:
    bench = Bench()
    first, second = bench.open([1, 2, 3, 4]), bench.open([1, 2, 3, 4, 5])
    for lease, tokens in ((first, [1, 2, 3, 4]), (second, [1, 2, 3, 4, 5])):
        assert bench.compute(lease, tokens)
    assert bench.cache.num_free == 91
    bench.cache.commit(first, [1, 2, 3, 4])
    bench.cache.commit(second, [1, 2, 3, 4, 5])
    bench.check()
    assert bench.cache.num_free == 95
    assert bench.cells.read(second.slot) == [1, 2, 3, 4, 5]


def test_least_recently_used_leaf_is_evicted_first() -> None:
    bench = Bench(num_cells=10)
    for tokens in ([1, 1, 1], [2, 2, 2], [3, 3, 3]):
        bench.cache.close(run(bench, tokens), keep=True)
    bench.cache.close(bench.open([1, 1, 1, 1]), keep=True)
    lease = bench.open([4, 4, 4])
    assert bench.compute(lease, [4, 4, 4])
    bench.check()
    assert bench.cache.match("", [2, 2, 2]).num_tokens == 0
    assert bench.cache.match("", [1, 1, 1]).num_tokens == 3


def test_running_cells_are_never_evicted() -> None:
    bench = Bench(num_cells=6)
    run(bench, [1, 2, 3, 4])
    second = bench.open([9, 9, 9])
    assert not bench.compute(second, [9, 9, 9])
    bench.check()
    assert bench.cache.match("", [1, 2, 3, 4]).num_tokens == 4


def test_no_slot_is_left_when_all_are_running() -> None:
    bench = Bench(num_slots=2)
    run(bench, [1, 2])
    run(bench, [3, 4])
    assert bench.cache.open("", [5, 6], limit=1) is None


def test_cached_slots_give_way_to_running_ones() -> None:
    bench = Bench(num_slots=2)
    for tokens in ([1, 2], [3, 4], [5, 6], [7, 8]):
        bench.cache.close(run(bench, tokens), keep=True)
        bench.check()
    assert bench.cache.match("", [7, 8]).num_tokens == 2


@pytest.mark.parametrize("seed", range(40))
def test_random_lives_break_no_invariant(seed: int) -> None:
    """Every running slot always sees exactly its own tokens, whatever the others do."""
    chance = random.Random(seed)
    bench = Bench(num_cells=chance.randint(20, 120), num_slots=chance.randint(3, 12))
    running: list[tuple[Lease, list[int]]] = []
    for _ in range(120):
        deed = chance.random()
        if deed < 0.35 and len(running) < 4:
            tokens = [chance.randint(1, 2) for _ in range(chance.randint(2, 14))]
            lease = bench.cache.open(chance.choice("ab"), tokens, limit=len(tokens) - 1)
            if lease is not None:
                running.append((lease, tokens))
        elif deed < 0.75 and running:
            lease, tokens = chance.choice(running)
            if lease.num_cells == len(tokens):
                tokens.append(chance.randint(1, 2))
            stop = chance.randint(lease.num_cells + 1, len(tokens))
            if bench.compute(lease, tokens, stop) and chance.random() < 0.6:
                bench.cache.commit(lease, tokens[: lease.num_cells])
        elif deed < 0.8 and running:
            lease, _ = chance.choice(running)
            if lease.num_private:
                bench.cache.shrink(lease, chance.randint(1, lease.num_private))
        elif running:
            lease, tokens = running.pop(chance.randrange(len(running)))
            bench.cache.commit(lease, tokens[: lease.num_cells])
            bench.cache.close(lease, keep=chance.random() < 0.7)
        bench.check()
        for lease, tokens in running:
            assert bench.cells.read(lease.slot) == tokens[: lease.num_cells]
    for lease, _ in running:
        bench.cache.close(lease, keep=False)
    bench.cache.clear()
    bench.check()
    assert bench.cache.num_free == bench.cache.num_cells
    assert not bench.cells.cells


def test_only_so_many_cells_are_kept_for_sequences_that_are_gone() -> None:
    cells = RecordedCells()
    cache = PrefixCache(num_cells=100, num_slots=8, effects=cells, max_cached=10)
    for start in range(5):
        tokens = [start * 10 + n for n in range(6)]
        lease = cache.open("", tokens, limit=5)
        assert lease is not None
        assert cache.grow(lease, 6)
        cells.write(lease.slot, 0, tokens)
        cache.commit(lease, tokens)
        cache.close(lease, keep=True)
        cache.check()
        assert cache.num_cached <= 10
    assert cache.match("", [40, 41, 42, 43, 44, 45]).num_tokens == 6


def test_common_prefix_agrees_with_counting() -> None:
    chance = random.Random(7)
    for _ in range(500):
        edge = [chance.randint(0, 1) for _ in range(chance.randint(0, 40))]
        tokens = [chance.randint(0, 1) for _ in range(chance.randint(0, 40))]
        start = chance.randint(0, len(tokens))
        counted = 0
        while counted < min(len(edge), len(tokens) - start):
            if edge[counted] != tokens[start + counted]:
                break
            counted += 1
        assert common_prefix(edge, tokens, start) == counted
