"""What a workload is given, and the text it sends.

Owns sizes and words. Knows no server. Invariant: the same seed gives the same text, and texts of
different seeds share no run of words that a cache or a lookup could use.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bench.client import Json
from bench.server import Contender, Setting
from bench.vocabulary import recital

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of everything, in tokens where not said otherwise."""

    output: int = 192
    crowd_output: int = 64
    prompt: int = 64
    source: int = 24
    prefix: int = 1200
    num_agents: int = 8
    num_agent_requests: int = 16
    agent_output: int = 48
    num_objects: int = 4
    num_turns: int = 6
    tool_result: int = 160
    long_prompt: int = 4000
    steady_pieces: int = 24


QUICK = Scale(
    output=24,
    crowd_output=8,
    prompt=16,
    source=8,
    prefix=160,
    num_agents=4,
    num_agent_requests=6,
    agent_output=8,
    num_objects=1,
    num_turns=2,
    tool_result=16,
    long_prompt=400,
    steady_pieces=6,
)


@dataclass(frozen=True, slots=True)
class Task:
    """One contender's turn at one workload; `seed` differs from round to round."""

    contender: Contender
    scale: Scale
    num_threads: int
    seed: str

    def setting(self, context: int, parallel: int) -> Setting:
        """The server for this workload."""
        return Setting(context, parallel, self.num_threads)

    def text(self, num_words: int, name: object = "") -> str:
        """Words in random order, about one token each; another `name`, another text."""
        return " ".join(random.Random(f"{self.seed} {name}").choices(recital(), k=num_words))


def ask(text: str, system: str | None = None) -> list[Json]:
    """A conversation of one question."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return [*head, {"role": "user", "content": text}]


def rounded(context: int) -> int:
    """The context, up to what llama.cpp rounds it to, so that both servers have the same."""
    return -(-context // 256) * 256
