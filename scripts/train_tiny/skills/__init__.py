"""The skills by name: each makes one scene from a seeded random and a bank of wordings."""

from collections.abc import Callable
from random import Random

from scripts.train_tiny.scenes import Scene
from scripts.train_tiny.wordings import Bank

from . import json_mode, recall, speech, talk, tool_use

Maker = Callable[[Random, Bank], Scene]

PLAIN: dict[str, Maker] = {
    "repeat": speech.repeat,
    "long_text": speech.long_text,
    "repeat_times": speech.times,
    "count": speech.count,
    "add": speech.add,
    "spell": speech.spell,
    "uppercase": speech.uppercase,
    "list_three": speech.three,
    "capital": speech.capital,
    "small_talk": talk.small_talk,
    "fallback": talk.fallback,
}
SKILLS: dict[str, Maker] = {
    **PLAIN,
    "recall_system": recall.from_system,
    "recall_unknown": recall.unknown,
    "recall_turns": recall.across_turns,
    "tool_call": tool_use.one_call,
    "two_calls": tool_use.two_calls,
    "no_call": tool_use.no_call,
    "tool_response": tool_use.response,
    "agent_loop": tool_use.agent_loop,
    "json_mode": json_mode.json_mode,
}
