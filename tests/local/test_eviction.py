"""Who gives way: idle ones, oldest first, and no more than it takes."""

from __future__ import annotations

import random

from runner.local.eviction import Occupant, choose_victims, is_expired


def test_nobody_gives_way_where_there_is_room() -> None:
    assert choose_victims([Occupant("a", 10, 0, 1.0)], 10, 20) == []


def test_least_recently_used_idle_model_gives_way() -> None:
    occupants = [Occupant("a", 10, 0, 2.0), Occupant("b", 10, 0, 1.0), Occupant("c", 10, 1, 0.0)]
    assert choose_victims(occupants, 10, 30) == ["b"]


def test_running_models_have_to_be_waited_for() -> None:
    assert choose_victims([Occupant("a", 10, 1, 1.0)], 10, 15) is None


def test_small_old_model_is_spared_where_a_larger_one_has_to_go_anyway() -> None:
    occupants = [Occupant("small", 2, 0, 1.0), Occupant("large", 20, 0, 2.0)]
    assert choose_victims(occupants, 20, 24) == ["large"]


def test_choice_always_fits_spares_the_busy_and_wastes_nobody() -> None:
    chance = random.Random(5)
    for _ in range(2000):
        occupants = [
            Occupant(str(n), chance.randint(1, 9), chance.randint(0, 1), chance.random())
            for n in range(chance.randint(0, 6))
        ]
        needed, capacity = chance.randint(1, 20), chance.randint(5, 40)
        victims = choose_victims(occupants, needed, capacity)
        if victims is None:
            continue
        sizes = {one.model: one.ram_bytes for one in occupants}
        assert all(one.num_users == 0 for one in occupants if one.model in victims)
        left = sum(sizes.values()) - sum(sizes[name] for name in victims)
        assert left + needed <= capacity or left == 0
        for name in victims:
            assert left + sizes[name] + needed > capacity


def test_keep_alive_below_zero_or_unset_keeps_for_ever() -> None:
    assert not is_expired(0.0, None, 1e9)
    assert not is_expired(0.0, -1, 1e9)
    assert is_expired(0.0, 0, 0.0)
    assert not is_expired(10.0, 5, 14.9)
