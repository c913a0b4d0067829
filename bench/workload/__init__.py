"""What agents really send: one module per kind of work, each a coroutine from task to figures.

Owns the list of workloads and the order they run in. A figure's key names its unit.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from . import agent, contention, long_prompt, prefix, repeat, restart, schema, stream
from .task import Figures, Task


@dataclass(frozen=True, slots=True)
class Workload:
    """A name for `--only`, what it is, and how it is run."""

    name: str
    about: str
    run: Callable[[Task], Awaitable[Figures]]


WORKLOADS = (
    Workload("one", "one stream", stream.run_one),
    Workload("eight", "8 streams", stream.run_eight),
    Workload("crowd", "32 streams", stream.run_crowd),
    Workload("prefix", "16 requests, 8 at a time, one long system prompt", prefix.run),
    Workload("schema", "JSON Schema, one stream and eight", schema.run),
    Workload("agent", "an agent's loop of several turns", agent.run),
    Workload("long", "a long prompt beside running streams", long_prompt.run),
    Workload("restart", "a known prefix after a restart", restart.run),
    Workload("repeat", "repeated text, and text that does not repeat", repeat.run),
    Workload("busy", "one stream beside a busy core", contention.run_beside_core),
    Workload("neighbour", "one stream beside another llama.cpp", contention.run_beside_llama),
    Workload("pair", "two models at once", contention.run_pair),
)
