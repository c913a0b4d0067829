"""A recorded terminal session: a text file with comments, commands and what they wrote.

`# ` begins a comment, `$ ` a command, `> ` a further line of it or what a person typed while it
ran; everything else is output. Owns the format only. Invariant: reading what was written gives the
same session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One command with the comment above it and the output below."""

    comment: str
    command: str
    output: str


def read_session(text: str) -> list[Step]:
    """The steps of a file. Raises ValueError where it is not one."""
    steps: list[Step] = []
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("# ") or line == "#":
            comment.append(line[2:])
        elif line.startswith("$ "):
            steps.append(Step("\n".join(comment), line.removeprefix("$ "), ""))
            comment = []
        elif line.startswith("> ") and steps and not steps[-1].output:
            last = steps.pop()
            command = f"{last.command}\n{line.removeprefix('> ')}"
            steps.append(Step(last.comment, command, ""))
        elif steps and not comment:
            last = steps.pop()
            steps.append(Step(last.comment, last.command, f"{last.output}{line}\n"))
        elif line.strip():
            raise ValueError(f"this line belongs to no command: {line}")
    return [Step(step.comment, step.command, step.output.strip("\n")) for step in steps]


def write_session(steps: Iterable[Step]) -> str:
    """The file of the steps."""
    return "\n".join(_lines(steps)) + "\n"


def _lines(steps: Iterable[Step]) -> Iterator[str]:
    for number, step in enumerate(steps):
        if step.comment:
            yield from [""] if number else []
            yield from (f"# {line}".rstrip() if line else "#" for line in step.comment.split("\n"))
        first, *more = step.command.split("\n")
        yield f"$ {first}"
        yield from (f"> {line}" for line in more)
        if step.output:
            yield step.output
