"""The commands that README.md and docs/ show, with the output that stands under them.

Owns reading the pages: fenced `sh` and `console` blocks, and code within a line that is a command.
Runs nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "cli.md"  # written from the commands, and compared with them elsewhere
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"])
FENCE = re.compile(r"^```(?P<language>[\w-]*)\n(?P<code>.*?)^```$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAMS = (
    "runner", "docker", "pip", "npm", "npx", "curl", "python", "python3", "sqlite3", "printf",
    "cat", "apt-get", "systemctl", "pytest", "ruff", "mypy", "asciinema", "git",
)  # fmt: skip
# Code within a line is a command if it begins with a program, be it behind settings of variables.
IS_COMMAND = re.compile(
    r"(?:[A-Z_]+=(?:\"[^\"]*\"|\S*) )*(?:(?:" + "|".join(PROGRAMS) + r") \S"
    r"|(?:\./)?(?:scripts/\w+|bench/run)(?: |$)|\.venv/bin/\w+ )"
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    code: str
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command, and what the page shows of its output, if anything."""

    text: str
    shown: str | None = None

    @property
    def name(self) -> str:
        """The command on one line, without its comment."""
        return " ".join(shlex_words(self.text))


def blocks(*languages: str, pages: list[Path] = PAGES) -> list[Block]:
    """Every fenced block in one of the languages."""
    return [
        Block(page, match["language"], match["code"], text.count("\n", 0, match.start()) + 1)
        for page in pages
        for text in [page.read_text(encoding="utf-8")]
        for match in FENCE.finditer(text)
        if match["language"] in languages
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a shell's block, in their order."""
    lines, found = block.code.splitlines(), []
    while lines:
        line = lines.pop(0)
        if block.language == "console":
            assert line.startswith("$ "), f"{block}: no command in front of {line}"
            line = line.removeprefix("$ ")
        elif not line.strip():
            continue
        while _is_open(line):
            line += "\n" + lines.pop(0)
        shown: list[str] = []
        while block.language == "console" and lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        found.append(Command(line, "\n".join(shown) if shown else None))
    return found


def inline_commands(pages: list[Path] = PAGES) -> Iterator[tuple[Path, str]]:
    """Code within a line that can be typed into a shell."""
    for page in pages:
        if page == GENERATED:
            continue
        for match in INLINE.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if IS_COMMAND.match(match[1]):
                yield page, match[1]


def shlex_words(text: str) -> list[str]:
    """The words of a command; those with blanks keep their quotes."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=False, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = [re.sub(r"\s+", " ", word) for word in lexer]
    return words[: words.index("#")] if "#" in words else words


def _is_open(text: str) -> bool:
    """Whether a quote or a backslash at the end asks for another line."""
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False
