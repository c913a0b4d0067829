"""What training reads when: the share of each skill, and the rows of tokens of each pool.

A pool is a set of conversations that follows from the seed and its number alone, so training
can stop and resume anywhere. Early pools hold short texts, later ones the whole mix, and the
last ones dwell on what is learnt slowest: putting each value to its name, in tool calls and
objects, with and without thinking. From `SHALLOW_POOLS` on the network has one more layer.
"""

from random import Random

from .conversation import Segment, dialogue, segments
from .wordings.train import KNOWN, TRAIN

DATA_VERSION = "5"
SEED = 20260
POOL_SIZE = 96
EARLY_POOLS, SHORT_POOLS, MIXED_POOLS, SHALLOW_POOLS, POOLS = 60, 200, 1520, 3160, 3680
MIX: dict[str, float] = {
    "repeat": 15, "long_text": 3, "repeat_times": 1, "count": 1, "add": 4, "spell": 0.5,
    "uppercase": 0.5, "list_three": 0.5, "capital": 1, "small_talk": 4, "fallback": 1.5,
    "recall_system": 18, "recall_unknown": 2, "recall_turns": 13, "tool_call": 13,
    "two_calls": 9, "no_call": 4, "tool_response": 2, "agent_loop": 9, "json_mode": 17,
}  # fmt: skip
LATE_MIX: dict[str, float] = {
    "repeat": 7, "long_text": 2, "repeat_times": 0.5, "count": 0.5, "add": 2, "spell": 0.5,
    "uppercase": 0.5, "list_three": 0.5, "capital": 1, "small_talk": 3, "fallback": 1,
    "recall_system": 16, "recall_unknown": 1, "recall_turns": 6, "tool_call": 22,
    "two_calls": 18, "no_call": 5, "tool_response": 1, "agent_loop": 6, "json_mode": 17,
}  # fmt: skip
DEEP_MIX: dict[str, float] = {
    "repeat": 10, "long_text": 1, "repeat_times": 0.3, "count": 0.3, "add": 1, "spell": 0.3,
    "uppercase": 0.3, "list_three": 0.3, "capital": 0.5, "small_talk": 3, "fallback": 1,
    "recall_system": 19, "recall_unknown": 1, "recall_turns": 6, "tool_call": 23,
    "two_calls": 13, "no_call": 5, "tool_response": 1, "agent_loop": 6, "json_mode": 23,
}  # fmt: skip
EARLY_MIX: dict[str, float] = {
    "repeat": 40, "long_text": 10, "add": 2, "small_talk": 4, "recall_system": 20,
    "recall_turns": 15, "json_mode": 6,
}  # fmt: skip
SHORT_MIX: dict[str, float] = {
    "repeat": 20, "long_text": 3, "add": 2, "spell": 2, "uppercase": 1, "small_talk": 3,
    "recall_system": 24, "recall_turns": 16, "recall_unknown": 1, "json_mode": 26,
    "tool_call": 6, "two_calls": 2, "tool_response": 2, "agent_loop": 2, "no_call": 1,
}  # fmt: skip


def mix_of(number: int) -> dict[str, float]:
    """The shares of the skills in pool `number`; those behind the last are for other uses."""
    phases = (
        (EARLY_POOLS, EARLY_MIX), (SHORT_POOLS, SHORT_MIX), (MIXED_POOLS, MIX),
        (SHALLOW_POOLS, LATE_MIX), (POOLS, DEEP_MIX),
    )  # fmt: skip
    return next((mix for stop, mix in phases if number < stop), MIX)


def conversation(rng: Random, number: int = POOLS) -> list[Segment]:
    """One training conversation of pool `number`."""
    short, late = number < SHORT_POOLS, MIXED_POOLS <= number < POOLS
    deep = SHALLOW_POOLS <= number < POOLS
    mix = mix_of(number)
    skill = rng.choices(list(mix), list(mix.values()))[0]
    long = not short and rng.random() < 0.04
    thinking = rng.random() < (0.05 if short else 0.2 if deep else 0.16)
    plain = skill in ("recall_unknown", "no_call") or not skill.startswith(("recall", "tool"))
    extras = rng.choice((0, 1, 2, 3) if plain else (0, 0, 1, 2))
    if short:
        extras = min(extras, 1)
    if long:
        extras += 2
    bank = KNOWN if late and rng.random() < (0.6 if deep else 0.3) else TRAIN
    talk = dialogue(rng, bank, skill, extras=extras, long=long, thinking=thinking)
    return segments(rng, talk)


def pool(number: int, seed: int = SEED) -> list[list[Segment]]:
    """The conversations of one pool."""
    rng = Random(f"hermes-tiny:{DATA_VERSION}:{seed}:{number}")
    return [conversation(rng, number) for _ in range(POOL_SIZE)]
