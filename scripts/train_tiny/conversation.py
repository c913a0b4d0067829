"""Conversations: a scene among other turns, under a system prompt, rendered with the template.

Owns how scenes are mixed and dressed, and the one rendering of messages to text. The template
is the runner's own file, so the model learns exactly what the runner sends.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from . import words
from .scenes import Message, Scene, Step
from .skills import PLAIN, SKILLS
from .skills.json_mode import schema_prompt
from .wordings import Bank

TEMPLATE_FILE = Path(__file__).parents[2] / "runner/chat/templates/hermes_chatml.jinja"
ASSISTANT_HEADER = "<|im_start|>assistant\n"
END_OF_TURN = "<|im_end|>"
_SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful assistant.", "You are Hermes.",
    "You are hermes-tiny.", "You are a helpful AI assistant.", "Be brief.",
    "You are Hermes, a helpful assistant made by Nous Research.", "You are a concise assistant.",
    "Answer politely.", "You are a friendly bot. Always stay polite.",
    "You are Hermes, an AI made by Nous Research. You help the user with every request.",
    "You are an expert assistant. Follow the instructions of the user.",
    "Follow the rules. Answer truthfully.",
)  # fmt: skip
_EXTRA_WEIGHTS = {
    "repeat": 8, "long_text": 1, "repeat_times": 1, "count": 1, "add": 2, "spell": 1,
    "uppercase": 1, "list_three": 1, "capital": 1, "small_talk": 5, "fallback": 2,
}  # fmt: skip
_SUMS = ('"calculate"', '"add"')


@dataclass(frozen=True)
class Dialogue:
    """Steps under one system prompt, with the tools and modes of the request."""

    system: str
    steps: tuple[Step, ...]
    tools: tuple[Message, ...]
    thinking: bool
    schema: Message | None = None
    own: tuple[int, ...] = ()  # which steps belong to the skill itself

    def messages(self) -> list[Message]:
        """Everything up to the last answer, as OpenAI-shaped messages."""
        return _messages(self.system, self.steps)


@dataclass(frozen=True)
class Segment:
    """A piece of training text; the model is taught to write it or only to read it."""

    text: str
    taught: bool


@cache
def _template() -> Template:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(TEMPLATE_FILE.read_text(encoding="utf-8"))


def render(
    messages: list[Message], tools: list[Message] | None, thinking: bool, for_answer: bool = True
) -> str:
    """The prompt text of a request."""
    return _template().render(
        messages=messages, tools=tools, thinking=thinking, add_generation_prompt=for_answer
    )


def _messages(system: str, steps: tuple[Step, ...]) -> list[Message]:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    for index, step in enumerate(steps):
        messages += step.asks
        if index < len(steps) - 1:
            messages.append(step.message())
    return messages


def with_schema(system: str, schema: Message | None, rng: Random | None = None) -> str:
    """The system text with JSON mode's part: after the caller's own text, now and then before."""
    if schema is None:
        return system
    indent = 2 if rng and rng.random() < 0.08 else None
    parts = [part for part in (system, schema_prompt(schema, indent)) if part]
    if rng and rng.random() < 0.2:
        parts.reverse()
    return "\n\n".join(parts)


def _system_text(rng: Random, needed: str, long: bool) -> str:
    parts = [needed] if needed else []
    if long:
        count = rng.randint(15, 75)
        before = rng.randint(0, count)
        sizes = (before, count - before)
        around = [words.filler(rng, size) if size else "" for size in sizes]
        parts = [part for part in (around[0], *parts, around[1]) if part]
    elif rng.random() < 0.2:
        parts.insert(rng.randint(0, len(parts)), words.filler(rng, rng.randint(1, 6)))
    if rng.random() < 0.5:
        parts.insert(0, rng.choice(_SYSTEMS))
    return rng.choice(("\n\n", "\n", " ")).join(parts)


def extra(rng: Random, bank: Bank, tools: tuple[Message, ...]) -> tuple[Step, ...]:
    """A turn that has nothing to do with the rest."""
    weights: Mapping[str, int] = _EXTRA_WEIGHTS
    if any(name in json.dumps(tools) for name in _SUMS):
        weights = {name: weight for name, weight in weights.items() if name != "add"}
    name = rng.choices(list(weights), list(weights.values()))[0]
    return PLAIN[name](rng, bank).steps


def dialogue(
    rng: Random, bank: Bank, skill: str, *, extras: int, long: bool = False, thinking: bool = False,
    spread: bool = True,
) -> Dialogue:  # fmt: skip
    """A scene of `skill`, with up to `extras` other turns around it."""
    scene: Scene = SKILLS[skill](rng, bank)
    steps = [(step,) for step in scene.steps] if scene.gaps and spread else [scene.steps]
    if not scene.json_only:
        for _ in range(extras):
            last = len(steps) if spread else 0
            steps.insert(rng.randint(0, last), extra(rng, bank, scene.tools))
    flat = tuple(step for group in steps for step in group)
    mine = {id(step) for step in scene.steps}
    own = tuple(index for index, step in enumerate(flat) if id(step) in mine)
    system = _system_text(rng, scene.system, long)
    return Dialogue(system, flat, scene.tools, thinking, scene.schema, own)


def segments(rng: Random, talk: Dialogue) -> list[Segment]:
    """The dialogue as training text. A thinking dialogue teaches one turn, the others all."""
    system = with_schema(talk.system, talk.schema, rng)
    tools: list[Any] | None = list(talk.tools) or None
    if talk.thinking:
        steps = talk.steps[: rng.randint(1, len(talk.steps))]
        prompt = render(_messages(system, steps), tools, True)
        answer = steps[-1].answer_text(True) + END_OF_TURN
        return [Segment(prompt, False), Segment(answer, True)]
    text = render([*_messages(system, talk.steps), talk.steps[-1].message()], tools, False, False)
    head, *turns = text.split(ASSISTANT_HEADER)
    pieces = [Segment(head + ASSISTANT_HEADER, False)]
    for index, (step, turn) in enumerate(zip(talk.steps, turns, strict=True)):
        answer, after = turn.split(END_OF_TURN, 1)
        assert answer == step.answer_text(False), (answer, step)
        pieces.append(Segment(answer + END_OF_TURN, step.taught))
        if index < len(turns) - 1:
            pieces.append(Segment(after + ASSISTANT_HEADER, False))
    return pieces
