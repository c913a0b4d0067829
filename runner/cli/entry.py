"""What the user types: one line, lines that end in a backslash, or a block between triple quotes.

Owns reading and the history file; `input` is an argument, so a test can type. Knows no
conversation. Invariant: the history can be read by its owner only.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROMPT, MORE = "> ", "… "
QUOTES = '"""'
MAX_HISTORY_LINES = 2000

Ask = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; a quoted one is never a command."""

    text: str
    is_quoted: bool = False


def read_entry(ask: Ask) -> Entry | None:
    """The next entry; None at the end of the input."""
    try:
        line = ask(PROMPT)
    except EOFError:
        return None
    if line.lstrip().startswith(QUOTES):
        return Entry(_read_quoted(line.lstrip().removeprefix(QUOTES), ask), is_quoted=True)
    lines = [line]
    with contextlib.suppress(EOFError):
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1].removesuffix("\\")
            lines.append(ask(MORE))
    return Entry("\n".join(lines).strip())


def _read_quoted(line: str, ask: Ask) -> str:
    lines = [line]
    with contextlib.suppress(EOFError):
        while QUOTES not in lines[-1]:
            lines.append(ask(MORE))
    return "\n".join(lines).partition(QUOTES)[0].strip("\n")


@contextlib.contextmanager
def history(path: Path, words: Sequence[str]) -> Iterator[None]:
    """Arrow keys over earlier entries and the tab key over `words`, where the system has them."""
    try:
        import readline
    except ImportError:
        yield
        return
    with contextlib.suppress(OSError):
        readline.read_history_file(path)
    readline.set_history_length(MAX_HISTORY_LINES)
    readline.set_completer_delims(" ")
    readline.set_completer(lambda text, at: _completion(words, text, at))
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            os.chmod(path, 0o600)
            readline.write_history_file(path)


def _completion(words: Sequence[str], text: str, at: int) -> str | None:
    found = [word for word in words if text and word.startswith(text)]
    return found[at] + " " if at < len(found) else None
