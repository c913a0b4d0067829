"""How people ask for things: banks of templates, and the one way to fill them in.

`TRAIN` is what the model learns from, `KNOWN` its plain wordings; `UNSEEN` is a separate bank that
training never reads and that measures how far the skills carry. A template that opens with "~" is
an imperative clause, which the bank may wrap ("Could you ..."); `{slot}` is replaced by the
caller's text.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Bank:
    """A set of templates by intent, with the courtesies that may surround them."""

    texts: Mapping[str, Sequence[str]]
    wrappers: Sequence[str]
    openers: Sequence[str]

    def say(self, rng: Random, intent: str, **slots: str) -> str:
        """One wording of `intent`, with its slots filled in."""
        template = self.raw(rng, intent)
        return fill(template, slots)

    def raw(self, rng: Random, intent: str) -> str:
        """One wording of `intent`, courtesies included, its slots still open."""
        template = rng.choice(self.texts[intent])
        if template.startswith("~"):
            clause = template[1:]
            wrapper = rng.choice(self.wrappers) if rng.random() < 0.45 else "{clause}"
            template = wrapper.replace("{clause}", clause)
            template = template[0].upper() + template[1:]
        if rng.random() < 0.12:
            template = rng.choice(self.openers) + template
        if rng.random() < 0.12 and not template.startswith("{"):
            template = template[0].lower() + template[1:]
        return template

    def plain(self, rng: Random, intent: str, **slots: str) -> str:
        """One wording without courtesies, for parts of sentences and statements."""
        return fill(rng.choice(self.texts[intent]).lstrip("~"), slots)


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Replace every `{slot}` once; braces inside the values are left alone."""
    return _SLOT.sub(lambda found: slots.get(found[1], found[0]), template)
