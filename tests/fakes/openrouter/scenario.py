"""What the fake does with one request: how it speaks, and how it fails.

Owns the wire variants and the fields that a failure is made of; `fault.py` names the failures.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any, Literal

UsageForm = Literal["empty_choices", "null_finish", "repeated_finish", "on_finish", "missing"]
USAGE_FORMS: tuple[UsageForm, ...] = (
    "empty_choices",
    "null_finish",
    "repeated_finish",
    "on_finish",
    "missing",
)


@dataclass(frozen=True)
class Wire:
    """How the same chunks look on the wire."""

    comment: Literal["processing", "bare", "none"] = "processing"
    newline: Literal["\n", "\r\n"] = "\n"
    split: Literal["event", "byte", "all", "random"] = "event"
    usage: UsageForm = "null_finish"
    has_debug: bool = False
    has_unknown_fields: bool = False
    has_done: bool = True
    seed: int = 0


WIRES: tuple[Wire, ...] = tuple(
    Wire(
        comment=("processing", "bare", "none")[number % 3],  # type: ignore[arg-type]
        newline=("\n", "\r\n")[number % 2],  # type: ignore[arg-type]
        split=("event", "byte", "all", "random")[number % 4],  # type: ignore[arg-type]
        usage=usage,
        has_debug=number % 2 == 0,
        has_unknown_fields=number % 3 == 0,
        has_done=number != 3,
        seed=number,
    )
    for number, usage in enumerate(("null_finish", "empty_choices", "on_finish", "repeated_finish"))
)


def random_wire(rng: random.Random) -> Wire:
    """Any variant that still names the cost."""
    return Wire(
        comment=rng.choice(("processing", "bare", "none")),
        newline=rng.choice(("\n", "\r\n")),
        split=rng.choice(("event", "all", "random")),
        usage=rng.choice(USAGE_FORMS),
        has_debug=rng.random() < 0.2,
        has_unknown_fields=rng.random() < 0.2,
        has_done=rng.random() < 0.9,
        seed=rng.randrange(10**6),
    )


@dataclass(frozen=True)
class Scenario:
    """One behaviour. Positions count tokens; None is never."""

    name: str = "ok"
    wire: Wire = Wire()
    # instead of an answer
    status: int = 200
    body: bytes | dict[str, Any] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    connection: Literal["serve", "close", "reset"] = "serve"
    # what is said
    text: str | None = None
    reasoning: str | None = None
    reasoning_form: Literal["field", "both", "tags", "open_tags"] | None = None
    tool_form: str = "plain"
    finish: str | None = None
    model: str | None = None
    provider: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    # how it fails
    stall_headers: bool = False
    stall_after: int | None = None
    stall_comments: bool = False
    cut_after: int | None = None
    cut_how: Literal["fin", "rst", "clean", "unterminated"] = "fin"
    error_after: int | None = None
    error: dict[str, Any] = field(default_factory=dict)
    error_choices: Literal["one", "empty"] = "one"
    noise_after: int | None = None
    noise: bytes = b""
    delay_s: float = 0.0
    is_gzipped: bool = False

    def on(self, wire: Wire) -> Scenario:
        """The same behaviour in another wire variant."""
        return replace(self, wire=wire)
