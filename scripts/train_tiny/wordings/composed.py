"""Training wordings put together from parts, so that no single phrasing carries a skill."""

from collections.abc import Sequence
from itertools import cycle, product

_SAY = (
    "repeat", "say", "write", "echo", "copy", "print", "type", "output", "quote", "return",
    "read out", "give me", "tell me", "send me", "show me", "speak", "recite", "answer with",
    "reply with", "write down",
)  # fmt: skip
_TEXT = (
    "this", "the following", "this text", "the following text", "this sentence", "the next line",
    "the text below", "this line", "the following words", "this string", "what follows",
    "the sentence", "this phrase", "my words", "the next few words", "the line here",
)  # fmt: skip
_HOW = ("", " exactly", " word for word", " back to me", " for me", " once", " now", " as it is")
_SHOWN = (": {s}", ' "{s}"', ": {s}", ":\n{s}", ': "{s}"', ": {s}", ":\n\n{s}")

_ASK = (
    "what is", "what is", "what was", "tell me", "give me", "do you know", "I need", "remind me of",
    "do you remember", "I forgot", "name", "look up", "state", "I want to know", "say", "show me",
    "please tell me", "can you tell me", "I would like", "I asked for", "write down", "where is",
)  # fmt: skip
_TAIL = ("", "?", "?", ".", " please", " again?", " now?", ", please.", "? Answer briefly.")
_OF = (
    "the {f} of {o}", "{o}'s {f}", "the {f} for {o}", "the {f} that {o} has",
    "the {f} belonging to {o}", "the {f} of that {o}",
)  # fmt: skip
_PLAIN = ("the {f}", "the {f}", "our {f}", "that {f}", "the {f} from before")
_MY = ("my {f}", "my {f}", "my own {f}", "the {f} I have", "the {f} of mine")


def _questions(subjects: tuple[str, ...]) -> list[str]:
    found = [f"{ask} {subject}{tail}" for ask, subject, tail in product(_ASK, subjects, _TAIL)]
    return [text[0].upper() + text[1:] for text in found]


REPEAT = [
    f"~{say} {text}{how}{shown}"
    for (say, text, how), shown in zip(product(_SAY, _TEXT, _HOW), cycle(_SHOWN), strict=False)
]
ASK_OF, ASK, ASK_MY = _questions(_OF), _questions(_PLAIN), _questions(_MY)


def mixed(written: Sequence[str], composed: Sequence[str]) -> list[str]:
    """Both kinds, each about half of what is picked."""
    return [*written] * max(1, len(composed) // len(written)) + [*composed]
