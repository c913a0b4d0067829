"""Held-out prompts: cases of each skill with the check that judges an answer.

Needs only the standard library and jinja2, so that tests can put the same questions to a
server. Seeds here never meet those of training, and `unseen_wording` takes the phrasings from
a bank that training never reads.
"""

from dataclasses import dataclass
from random import Random

from .conversation import Dialogue, dialogue, render, with_schema
from .scenes import Check, Message
from .skills import SKILLS
from .skills.recall import ACKNOWLEDGEMENTS
from .wordings import Bank
from .wordings.train import KNOWN
from .wordings.unseen import UNSEEN

THINKING = "thinking"
_MOST_TURNS_BACK = 4
_MOST_CHARACTERS = 4200  # with the answer, some 2,000 tokens
_LOOP_STEPS = 3  # the call, the call that uses its result, the answer


@dataclass(frozen=True)
class Case:
    """A request, and whether an OpenAI-shaped assistant message answers it.

    The message may carry `content`, `reasoning` and `tool_calls`. `schema` is the JSON schema of
    JSON mode; its system text is not in `messages` (see `prompt_messages`). `then` is the case
    that follows when this one was answered rightly, its messages holding the answer and the
    tool's result.
    """

    messages: tuple[Message, ...]
    tools: tuple[Message, ...] | None
    thinking: bool
    schema: Message | None
    check: Check
    then: "Case | None" = None

    def prompt_messages(self) -> list[Message]:
        """The messages with JSON mode's system text where a schema is given."""
        messages = list(self.messages)
        if self.schema is None:
            return messages
        system = messages.pop(0)["content"] if messages[0]["role"] == "system" else ""
        return [{"role": "system", "content": with_schema(system, self.schema)}, *messages]

    def prompt(self) -> str:
        """The text of the prompt, as the runner's template renders it."""
        return render(self.prompt_messages(), list(self.tools or ()) or None, self.thinking)


def skills() -> list[str]:
    """The names `held_out` knows."""
    return [*SKILLS, THINKING]


def held_out(skill: str, count: int, seed: int, unseen_wording: bool = False) -> list[Case]:
    """`count` cases of a skill; the same arguments always give the same cases."""
    bank = UNSEEN if unseen_wording else KNOWN
    cases = []
    for index in range(count):
        rng = Random(f"held-out:{skill}:{seed}:{index}:{unseen_wording}")
        case = _case(rng, bank, skill)
        while _longest(case) > _MOST_CHARACTERS:
            case = _case(rng, bank, skill)
        cases.append(case)
    return cases


def _longest(case: Case | None) -> int:
    """The length of the last prompt of a case."""
    longest = 0
    while case:
        longest, case = len(case.prompt()), case.then
    return longest


def _case(rng: Random, bank: Bank, skill: str) -> Case:
    if skill == THINKING:
        inner = rng.choice(("repeat", "recall_system", "tool_call", "small_talk"))
        return _thinking_case(rng, bank, inner, on=rng.random() < 0.5)
    if skill == "recall_turns":
        return _turns_back(rng, bank)
    extras, long = rng.choice((0, 0, 0, 1, 2)), rng.random() < 0.05
    talk = dialogue(rng, bank, skill, extras=extras, long=long, spread=False)
    if skill == "agent_loop":
        return _chain(talk, talk.own[0], _LOOP_STEPS)
    return _at(talk, talk.own[-1] if skill == "tool_response" else talk.own[0])


def _thinking_case(rng: Random, bank: Bank, skill: str, on: bool) -> Case:
    talk = dialogue(rng, bank, skill, extras=0, thinking=on, spread=False)
    case = _at(talk, 0)

    def check(answer: Message) -> bool:
        content, reasoning = answer.get("content") or "", answer.get("reasoning") or ""
        tagged = "<think>" in content or "</think>" in content
        return case.check(answer) and bool(reasoning.strip()) == on and not tagged

    return Case(case.messages, case.tools, on, None, check)


def _turns_back(rng: Random, bank: Bank) -> Case:
    """A fact told 1 to 4 turns before the question."""
    while True:
        talk = dialogue(rng, bank, "recall_turns", extras=rng.choice((0, 0, 1)))
        asked = next(i for i in talk.own if talk.steps[i].content not in ACKNOWLEDGEMENTS)
        if asked - talk.own[0] <= _MOST_TURNS_BACK:
            return _at(talk, asked)


def _at(talk: Dialogue, index: int, then: Case | None = None) -> Case:
    part = Dialogue(talk.system, talk.steps[: index + 1], talk.tools, talk.thinking, talk.schema)
    check = talk.steps[index].check
    return Case(tuple(part.messages()), talk.tools or None, talk.thinking, talk.schema, check, then)


def _chain(talk: Dialogue, first: int, count: int) -> Case:
    case: Case | None = None
    for index in reversed(range(first, first + count)):
        case = _at(talk, index, case)
    assert case is not None
    return case
