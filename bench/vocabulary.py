"""A byte-level BPE vocabulary of any size, in which the benchmarks' words are whole tokens.

Owns tokens and merges. JSON's punctuation and the words of the schemas are single tokens, as in a
trained vocabulary, so that forced text costs as many steps as it would there. Invariant: the
token of `Ġxy` for every word of `recital` is reached by its merges alone.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

LETTERS = "etaoinshrdlucmfwypvbgkqjxz"
PUNCTUATION = ('{"', '":', 'Ġ"', '",', '"}', "},", ":{", ':"', '{"', "Ġ{", '"},', '":"', '","')
SCHEMA_PUNCTUATION = ('Ġ{"', 'Ġ["', '"],', '"]', "}},", "}}", ":Ċ", "Ċ{")
COMPACT = (":{", ':"', '":"', '","')  # JSON without its spaces, which Hermes does not write
KNOWN_TEXT = """
customer name priority low normal high urgent number of items is delivered shipping method standard
express pickup true false search orders status open shipped returned limit set order tool arguments
reason assistant user system answer find change type object properties string integer boolean enum
minimum maximum maxLength required additionalProperties You are a helpful that answers in JSON
Here's the json schema you must adhere to
"""
KNOWN_WORDS = tuple(KNOWN_TEXT.split())
END = "<|im_end|>"
CONTROL = ("<|endoftext|>", "<|im_start|>", END)
TAGS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
BARE_SPACE = ("Ġ", "Ċ", "ĉ", "č")  # as GPT-2 spells space, line feed, tab, carriage return


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by id, and the merges in order of rank."""

    tokens: list[str]
    merges: list[tuple[str, str]]


def make_vocabulary(size: int) -> Vocabulary:
    """Bytes, known words, then ever longer made-up words, and the markers of ChatML at the end."""
    letters = [letter for _, letter in sorted(_byte_letters().items())]
    room = size - len(letters) - len(CONTROL) - len(TAGS)
    merges: list[tuple[str, str]] = []
    made = set(letters)
    for left, right in itertools.chain(_known_merges(), _made_up_merges()):
        if len(merges) == room:
            break
        if left + right not in made:
            made.add(left + right)
            merges.append((left, right))
    tokens = [*letters, *(left + right for left, right in merges), *CONTROL, *TAGS]
    return Vocabulary(tokens, merges)


def recital() -> list[str]:
    """Words of two letters that are one token each with the space before them, shuffled."""
    taken = {word[:2] for word in KNOWN_WORDS}
    made = ["".join(pair) for pair in itertools.product(LETTERS, repeat=2)]
    free = [word for word in made if word not in taken]
    random.Random(len(free)).shuffle(free)
    return free


def _known_merges() -> Iterator[tuple[str, str]]:
    """Each known text, letter after letter from its front; then the same after a space."""
    for text in (*PUNCTUATION, *SCHEMA_PUNCTUATION, *KNOWN_WORDS):
        for stop in range(1, len(text)):
            yield text[:stop], text[stop]
    for word in KNOWN_WORDS:
        yield "Ġ", word


def _made_up_merges() -> Iterator[tuple[str, str]]:
    words = ["Ġ", *LETTERS]
    while True:
        longer = []
        for left, right in itertools.product(words, LETTERS):
            longer.append(left + right)
            yield left, right
        words = longer


def _byte_letters() -> dict[int, str]:
    """GPT-2's printable stand-in for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = itertools.count(256)
    return {byte: chr(byte if byte in printable else next(spare)) for byte in range(256)}
