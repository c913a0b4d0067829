"""GBNF as Lark, in a time that grows with its text alone.

Owns the order in which llguidance's own converter is asked; parses nothing itself. The converter
finds out which rules are terminals by looking at all of them again for every link of a chain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from llguidance.gbnf_to_lark import ASTNode, GrammarParser, RuleNode, RuleRefNode, resolve

# What a grammar forces need not come to an end, and nothing interrupts the search for it.
HEADER = '%llguidance {"no_forcing": true}'


def write_lark(text: str) -> str:
    """The grammar in Lark. Raises whatever the converter raises, plain exceptions too."""
    rules: dict[str, RuleNode] = GrammarParser().parse(text)
    _mark_terminals(rules)
    resolve(rules)
    lines = [HEADER]
    for rule in sorted(rules.values(), key=lambda rule: rule.order):
        rule.comment = ""
        lines.append(str(rule))
    return "\n".join(lines) + "\n"


def _mark_terminals(rules: dict[str, RuleNode]) -> None:
    """A rule is a terminal when it refers to none that is not; `root` never is."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    num_open = {}
    for name, rule in rules.items():
        used = {node.name for node in _references(rule)}
        num_open[name] = len(used)
        for other in used:
            users[other].append(name)
    found = [name for name, count in num_open.items() if count == 0 and name != "root"]
    while found:
        name = found.pop()
        rules[name].rule_is_terminal = True
        for user in users[name]:
            num_open[user] -= 1
            if num_open[user] == 0 and user != "root":
                found.append(user)


def _references(rule: RuleNode) -> Iterator[RuleRefNode]:
    nodes: list[ASTNode] = [rule]
    while nodes:
        node = nodes.pop()
        if isinstance(node, RuleRefNode):
            yield node
        nodes.extend(node.children())
