"""Writes docs/cli.md from the commands themselves: `python -m scripts.cli_docs`.

Owns the page's layout; every word of a command's help is the command's own. Invariant: the page
depends on nothing but the commands, so a test can tell whether it is current.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from runner.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
WIDTH = 96
HEAD = """# Commands

Generated from the commands themselves; `python -m scripts.cli_docs` writes it anew.

Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one sentence on stderr.
`runner --install-completion` sets up completion for the shell it is run in.
"""


def commands(command: Any, name: str = "runner") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups before what they hold."""
    yield name, command
    for sub_name, sub in getattr(command, "commands", {}).items():
        yield from commands(sub, f"{name} {sub_name}")


def help_text(command: Any, name: str) -> str:
    """What `--help` prints, at a fixed width."""
    context = command.make_context(
        name, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH
    )
    lines = str(command.get_help(context)).splitlines()
    return "\n".join(line.rstrip() for line in lines)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for name, command in commands(typer.main.get_command(app)):
        parts.append(f"## `{name}`\n\n```text\n{help_text(command, name)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
