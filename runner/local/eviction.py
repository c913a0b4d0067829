"""Which models give way to another. Pure: facts in, names out.

Owns the order of sacrifice: idle ones only, the least recently used first, and no more of them
than it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Occupant:
    """A loaded model: what it holds, whether it is in use, when it was used last."""

    model: str
    ram_bytes: int
    num_users: int
    last_used_s: float


def choose_victims(
    occupants: Sequence[Occupant], needed_bytes: int, capacity_bytes: int
) -> list[str] | None:
    """The models to unload so that `needed_bytes` fit; None while running ones are in the way.

    A model larger than the whole capacity is let in alone: the plan has judged it already.
    """
    free = capacity_bytes - sum(occupant.ram_bytes for occupant in occupants)
    idle = [occupant for occupant in occupants if occupant.num_users == 0]
    victims: list[Occupant] = []
    for occupant in sorted(idle, key=lambda one: one.last_used_s):
        if free >= needed_bytes:
            break
        victims.append(occupant)
        free += occupant.ram_bytes
    if free < needed_bytes and len(victims) < len(occupants):
        return None
    return [victim.model for victim in _spare(victims, free - needed_bytes)]


def _spare(victims: list[Occupant], surplus_bytes: int) -> list[Occupant]:
    """Without those that turned out not to be needed, the most recently used spared first."""
    kept = []
    for victim in reversed(victims):
        if victim.ram_bytes <= surplus_bytes:
            surplus_bytes -= victim.ram_bytes
        else:
            kept.append(victim)
    return kept[::-1]


def is_expired(last_used_s: float, keep_alive_s: float | None, now_s: float) -> bool:
    """Whether an idle model has been kept long enough; None or below zero keeps it for ever."""
    if keep_alive_s is None or keep_alive_s < 0:
        return False
    return now_s - last_used_s >= keep_alive_s
