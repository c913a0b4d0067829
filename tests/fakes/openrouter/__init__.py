"""A fake OpenRouter on a real loopback socket; it also plays Nous Portal, Nebius and Chutes.

async with FakeOpenRouter().serve() as fake:
    fake.play("F15-rst")          # the next request is cut after three tokens
    ... fake.base_url, fake.journal, fake.billed_nusd
"""

from __future__ import annotations

from .brain import TALE, THOUGHT
from .fault import FAULTS, TOOL_FORMS
from .profile import PROFILES
from .scenario import USAGE_FORMS, WIRES, Scenario, Wire, random_wire
from .server import KEY, FakeOpenRouter

__all__ = [
    "FAULTS",
    "KEY",
    "PROFILES",
    "TALE",
    "THOUGHT",
    "TOOL_FORMS",
    "USAGE_FORMS",
    "WIRES",
    "FakeOpenRouter",
    "Scenario",
    "Wire",
    "random_wire",
]
