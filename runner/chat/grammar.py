"""What a caller's own grammar may be: GBNF or Lark, of a size and shape that nobody waits for.

Owns the limits; compiles nothing. Invariant: what comes through neither crashes the engine (it
walks chains of rules on its stack) nor keeps it at work for seconds (rows of a parser take time
with the square of their items, and intersected expressions multiply).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runner.errors import InvalidRequestError

Notation = Literal["gbnf", "lark"]

MAX_BYTES = 128 * 1024
MAX_RULES = 1000
MAX_NESTING = 200
MAX_STACKED = 1000  # nesting, summed over the rules: a chain of them goes through all
MAX_ITEMS = 10_000
MAX_REPEAT = 1000
MAX_NEGATIONS = 1  # two of them and an alternative make an intersection
ITEMS_OF_A_REPEAT = 5
DIRECTIVES = ("%ignore", "%import", "%declare", "%override")
GBNF_RULE = re.compile(r"^[ \t]*[\w-]+[ \t]*::=", re.MULTILINE)
STRING = r'"(?:[^"\\\n]|\\.)*"?'
COUNTS = re.compile(r"(?:\{|,)\s*0*(\d{1,9})")
PARTS = {  # a text of that notation cut into what counts here and what only looks like it
    "gbnf": re.compile(
        rf"{STRING}|\[(?:[^\]\\]|\\.)*\]?|#[^\r\n]*"
        r"|(?P<rule>::=)|(?P<open>\()|(?P<close>\))|(?P<repeat>[*+?{])|(?P<item>[\w-]+|[|.])"
    ),
    "lark": re.compile(
        rf"{STRING}|(?://|#)[^\n]*|<[^<>\s]+>|/(?P<regex>(?:[^/\\]|\\.)+)/?"
        r"|(?P<parameter>::)|(?P<rule>:)|(?P<open>[(\[])|(?P<close>[)\]])"
        r"|(?P<repeat>[*+?{]|~(?=\s*\d))|(?P<negation>~)|(?P<intersection>&)"
        r"|(?P<directive>%\w*)|(?P<item>[\w-]+|\|)"
    ),
}


def check_grammar(text: str) -> Notation:
    """Which of the two notations it is, once it is known to be bounded.

    Raises:
        InvalidRequestError: it is empty, too long, too deep, repeats too often, has too many
            parts, or says what only our own grammars may say.
    """
    size = len(text.encode("utf-8", "replace"))
    if not text.strip() or size > MAX_BYTES:
        _refuse(f"it has {size} bytes; 1 to {MAX_BYTES} are allowed")
    kind: Notation = "gbnf" if GBNF_RULE.search(text) else "lark"
    measure = _Measure()
    for part in PARTS[kind].finditer(text):
        if part.lastgroup is not None:
            measure.take(part.lastgroup, part[part.lastgroup])
    measure.check()
    return kind


@dataclass(slots=True)
class _Measure:
    """What was counted so far."""

    num_rules: int = 0
    num_items: int = 0
    num_negations: int = 0
    depth: int = 0
    deepest: int = 0
    stacked: int = 0

    def take(self, what: str, text: str) -> None:
        """One part of the grammar."""
        match what:
            case "open" | "close":
                self._nest(1 if what == "open" else -1)
            case "rule":
                self._begin_rule()
            case "item" | "repeat":
                self.num_items += 1 if what == "item" else ITEMS_OF_A_REPEAT
                if text.isdecimal():
                    _check_count(text)
            case "regex":
                for count in COUNTS.findall(text):
                    _check_count(count)
            case "negation":
                self.num_negations += 1
            case _:
                _check_word(text)

    def check(self) -> None:
        """Raises InvalidRequestError where it is too much."""
        self._begin_rule()
        if self.num_rules - 1 > MAX_RULES:
            _refuse(f"it has {self.num_rules - 1} rules; at most {MAX_RULES} are allowed")
        if self.stacked > MAX_STACKED:
            _refuse(f"its rules are nested {self.stacked} levels deep in sum; {MAX_STACKED} may be")
        if self.num_items > MAX_ITEMS:
            _refuse(f"it has more than {MAX_ITEMS} parts (a repetition counts as several)")
        if self.num_negations > MAX_NEGATIONS:
            _refuse(f"it has {self.num_negations} negations (~); at most {MAX_NEGATIONS} may be")

    def _nest(self, step: int) -> None:
        self.depth += step
        self.deepest = max(self.deepest, self.depth)
        if self.depth > MAX_NESTING:
            _refuse(f"it is nested deeper than {MAX_NESTING} levels")

    def _begin_rule(self) -> None:
        self.num_rules += 1
        self.stacked += self.deepest
        self.depth = self.deepest = 0


def _check_count(digits: str) -> None:
    significant = digits.lstrip("0")
    if len(significant) > len(str(MAX_REPEAT)) or int(significant or "0") > MAX_REPEAT:
        _refuse(f"it repeats something more than {MAX_REPEAT} times")


def _check_word(word: str) -> None:
    """Words of Lark that not every grammar may use."""
    if word == "&":
        _refuse("intersections (&) take time without bound; write what is meant as one expression")
    if word == "::":
        _refuse("rules cannot take parameters (::) here")
    if word not in DIRECTIVES:
        known = ", ".join(DIRECTIVES)
        _refuse(f"{word} cannot stand in it; of these only {known} can, a schema goes elsewhere")


def _refuse(reason: str) -> None:
    raise InvalidRequestError(f"the grammar cannot be used: {reason}", param="grammar")
