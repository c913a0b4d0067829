"""Recall: facts stated in the system prompt or in earlier turns, asked for later."""

from dataclasses import dataclass
from random import Random
from typing import Any

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Scene, Step, says, states, user
from scripts.train_tiny.wordings import Bank

_KEPT = "Understood. I will remember that."
_OTHERS = ("OK.", "Okay.", "Noted.", "Got it.", "Thank you.", "Sure.", "I see.")
ACKNOWLEDGEMENTS = (_KEPT, *_OTHERS)


@dataclass(frozen=True)
class Fact:
    """The field of an owner ("" for nobody's, "user" for the user's) has a value."""

    field: str
    owner: str
    value: str

    def answer(self) -> str:
        """The fact as the assistant states it."""
        return f"{self._subject()} is {self.value}."

    def unknown(self) -> str:
        """What the assistant says when it was not told."""
        subject = self._subject()
        return f"I do not know {subject[0].lower()}{subject[1:]}."

    def _subject(self) -> str:
        if self.owner == "user":
            return f"Your {self.field}"
        return f"The {self.field} of {self.owner}" if self.owner else f"The {self.field}"

    def thought(self) -> str:
        """A short thought that finds the fact."""
        subject = self._subject()
        asked = subject[0].lower() + subject[1:]
        return f"The user asks for {asked}. I was told that it is {self.value}."

    def in_system(self, rng: Random, bank: Bank) -> str:
        """The fact as a system prompt states it."""
        intent = {"user": "fact_user", "": "fact"}.get(self.owner, "fact_of")
        return _capital(bank.plain(rng, intent, **self._slots()))

    def in_turn(self, rng: Random, bank: Bank) -> str:
        """The fact as the user tells it."""
        if self.owner == "user":
            return bank.say(rng, "my", **self._slots())
        stated = bank.plain(rng, "fact_of" if self.owner else "fact", **self._slots())
        return bank.say(rng, "told", fact=stated)

    def question(self, rng: Random, bank: Bank) -> str:
        """The user's question for it."""
        intent = {"user": "ask_my", "": "ask"}.get(self.owner, "ask_of")
        return bank.say(rng, intent, **self._slots())

    def _slots(self) -> dict[str, str]:
        return {"f": self.field, "o": self.owner, "v": self.value}


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _field(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.7:
        return rng.choice(words.FIELDS)
    made = words.made_up(rng)
    return (
        made if kind < 0.85 else f"{made} {rng.choice(('code', 'number', 'level', 'name', 'rate'))}"
    )


def facts(rng: Random, count: int) -> list[Fact]:
    """Facts that do not contradict each other, some sharing an owner or a field."""
    found: dict[tuple[str, str], Fact] = {}
    owners = [words.name(rng) for _ in range(max(1, count - rng.randint(0, 2)))]
    fields = [_field(rng) for _ in range(rng.randint(1, max(1, count)))]
    style = rng.random()
    values: set[str] = set()
    while len(found) < count:
        field = rng.choice(fields) if rng.random() < 0.6 else _field(rng)
        kind = rng.random()
        owner = "" if kind < 0.12 or style < 0.1 else rng.choice(owners)
        owner = "user" if kind > 0.9 else owner
        value = words.value(rng)
        if (field, owner) in found or value in values or value in owners:
            continue
        values.add(value)
        found[field, owner] = Fact(field, owner, value)
    return list(found.values())


def _ask(rng: Random, bank: Bank, fact: Fact, known: list[Fact]) -> Step:
    others = [other.value for other in known if other is not fact]
    check = states([fact.value], others)
    return Step((user(fact.question(rng, bank)),), fact.answer(), fact.thought(), check)


def _system(rng: Random, bank: Bank, known: list[Fact]) -> str:
    lines = [fact.in_system(rng, bank) for fact in known]
    if rng.random() < 0.25:
        lines = [
            line + "\n" + words.filler(rng, 1) if rng.random() < 0.4 else line for line in lines
        ]
        return "\n".join(lines)
    lines = [line if line[-1] in ".!?" else line + "." for line in lines]
    return rng.choice((" ", " ", "\n")).join(lines)


def from_system(rng: Random, bank: Bank) -> Scene:
    """Up to 12 facts in the system prompt; some are asked for."""
    known = facts(rng, rng.randint(1, 12))
    asked = rng.sample(known, min(len(known), rng.randint(1, 7)))
    steps = tuple(_ask(rng, bank, fact, known) for fact in asked)
    return Scene(steps, system=_system(rng, bank, known))


def unknown(rng: Random, bank: Bank) -> Scene:
    """A question whose answer was not given."""
    known = facts(rng, rng.randint(2, 8))
    missing = known.pop()
    step = Step(
        (user(missing.question(rng, bank)),),
        missing.unknown(),
        "The user asks for something that I was not told.",
        says(missing.unknown()),
    )
    return Scene((step,), system=_system(rng, bank, known))


def across_turns(rng: Random, bank: Bank) -> Scene:
    """Facts told in turns, each asked for 1 to 4 turns later."""
    told = facts(rng, rng.randint(1, 4))
    steps = [Step((user(fact.in_turn(rng, bank)),), *_acknowledgement(rng)) for fact in told]
    asked = told if rng.random() < 0.5 else [rng.choice(told)]
    steps += [_ask(rng, bank, fact, told) for fact in rng.sample(asked, len(asked))]
    return Scene(tuple(steps))


def _acknowledgement(rng: Random) -> tuple[Any, ...]:
    if rng.random() < 0.2:
        said = rng.choice(_OTHERS)
        return said, "I keep this in mind.", says(said), (), False
    return _KEPT, "The user tells me a fact. I keep it in mind.", says(_KEPT)
