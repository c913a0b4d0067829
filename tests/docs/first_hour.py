"""The first hour as docs/first-hour.session has it: played for real, to be compared or recorded.

    python -m tests.docs.first_hour        plays every command anew and writes what came

The machine is a fresh folder with the wheel in it; the Hub and OpenRouter are our stand-ins, and
what pip would fetch beside the wheel is what is installed here. Owns that, and nothing else.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from .distribution import build
from .session import Step, read_session, write_session
from .terminal import Outcome, Terminal
from .world import (
    ROOT,
    clean_environment,
    free_port,
    make_dependencies,
    make_programs,
    put_dependencies,
    stand_ins,
)

PAGE = ROOT / "docs" / "first-hour.session"
SHOWN_PORT = "8000"
REPOSITORIES = {"example/hermes-tiny-GGUF": ("hermes-tiny-Q8_0.gguf",)}
ENVIRONMENT_MADE = "python3 -m venv "


def play(steps: Sequence[Step], folder: Path) -> Iterator[tuple[Step, Outcome]]:
    """Each step with what it wrote this time."""
    place, port = folder / "user", str(free_port())
    place.mkdir()
    wheel = build("wheel", folder)
    wheel.rename(place / wheel.name)
    dependencies = make_dependencies(folder / "dependencies")
    programs = make_programs(folder / "programs", with_runner=False)
    environment = clean_environment(place, int(port), programs=programs)
    with ExitStack() as stack:
        others = stack.enter_context(stand_ins(REPOSITORIES))
        terminal = stack.enter_context(Terminal(place, {**environment, **others.environment}))
        for step in steps:
            outcome = terminal.run(step.command.replace(f":{SHOWN_PORT}", f":{port}"))
            if step.command.startswith(ENVIRONMENT_MADE) and outcome.code == 0:
                put_dependencies(place / step.command.split()[-1], dependencies)
            output = outcome.output.replace(f":{port}", f":{SHOWN_PORT}")
            yield step, Outcome(output.replace(str(place), "/home/you"), outcome.code)


def main() -> None:
    """Record."""
    recorded = []
    with tempfile.TemporaryDirectory() as folder:
        steps = read_session(PAGE.read_text(encoding="utf-8"))
        for step, outcome in play(steps, Path(folder)):
            sys.stdout.write(f"$ {step.command}\n{outcome.output}\n")
            recorded.append(Step(step.comment, step.command, outcome.output))
    text = write_session(recorded)
    if read_session(text) != recorded:
        sys.exit("an output has lines that look like commands; choose other commands")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
