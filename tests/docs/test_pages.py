"""Every command in README.md and docs/ is run, or stands in a table with the reason why it cannot.

A block is run from its first line to its last, in one terminal, beside a server and stand-ins for
the Hub and OpenRouter. What a page shows of an output is compared, but for what may differ.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .checkout import make_checkout
from .matching import masked, matches
from .pages import ROOT, Block, Command, blocks, commands, inline_commands
from .terminal import Outcome, Terminal
from .world import (
    KEY,
    TINY,
    clean_environment,
    free_port,
    make_programs,
    rows_without_hashes,
    stand_ins,
)

pytestmark = pytest.mark.timeout(300)

SHELLS = ("sh", "console", "bash")
SHOWN_PORT = "8000"
REPOSITORIES = {
    "NousResearch/Hermes-3-Llama-3.2-3B-GGUF": (
        "Hermes-3-Llama-3.2-3B.Q4_K_M.gguf",
        "Hermes-3-Llama-3.2-3B.Q8_0.gguf",
    ),
    "bartowski/NousResearch_Hermes-4-14B-GGUF": (
        "NousResearch_Hermes-4-14B-Q4_K_M.gguf",
        "NousResearch_Hermes-4-14B-Q8_0.gguf",
    ),
    "OWNER/REPO": ("model-Q4_K_M.gguf", "model-Q8_0.gguf"),
}
PULLED = ("hermes-4-14b:Q4_K_M",)

# Commands that cannot be run here, by how they begin, each with its reason.
NOT_HERE = {
    "./scripts/test": "it runs these very tests",
    "./scripts/check": "CI runs it before the tests; `fix` would change the sources",
    "python3 -m venv hermes": "played by tests/integration/test_first_hour.py",
    ". hermes/bin/activate": "played by tests/integration/test_first_hour.py",
    "pip install --quiet ./hermes_runner-*.whl": "played by tests/integration/test_first_hour.py",
    "runner serve 2> serve.log &": "played by tests/integration/test_first_hour.py",
    "llm -m": "run by tests/clients/test_documentation.py, where the program is installed",
    "pip install llama-index": "tests/clients installs the same packages from its lock file",
    "npm install ai": "tests/clients installs the same packages from its lock file",
    "docker ": "needs a Docker engine; scripts/container_steps runs the Dockerfile's steps, and "
    "test_deployment.py holds options and files against the program",
    "RUNNER_API_KEY=choose-one docker": "needs a Docker engine; test_deployment.py reads the file",
    'CMAKE_ARGS="-DGGML_CUDA=on"': "compiles for a CUDA card",
    'CXXFLAGS="-fno-dse': "compiles llama.cpp; scripts/setup does it with the same flags",
    "scripts/train_tiny/build": "trains for hours",
    "scripts/container_steps": "needs root and debootstrap, and compiles llama.cpp",
    "bench/run": "builds llama-server and measures for half an hour",
    ".venv/bin/python -m bench.step_overhead": "makes a model of 128k words and measures it",
    ".venv/bin/python -m pip wheel": "fetches the build backend from the package index; "
    "test_distribution.py builds the wheel by that backend",
    ".venv/bin/python -m pip install -r tests/web": "fetches from the package index",
    ".venv/bin/python -m pytest": "it runs these tests' neighbours",
    ".venv/bin/python -m tests.docs.first_hour": "records anew what "
    "tests/integration/test_first_hour.py plays",
    "apt-get install": "changes the machine",
}
# What stands for something the reader fills in.
STANDS_FOR = {
    "MODEL": "hermes-tiny", "PATH": "./my-model.gguf", "ID": "filled-in", "FILE": "copy.sqlite3",
    "LIST": "list", "…": KEY,
}  # fmt: skip
# Within a line, these name a command that is not whole without an argument.
NAMED = {"runner pull": "runner pull --help"}
# What is typed while a command runs.
TYPED = {
    "runner chat": ("Who are you?", "/exit"),
    "runner chat hermes-3-llama-3.2-3b": ("Who are you?", "/exit"),
    "runner remove hermes-4-14b:Q4_K_M": ("y",),
}
# Commands that fail, and are shown because they do.
FAILS = {"runner pull --offline hermes-4-14b:Q8_0"}
IN_STATE_FOLDER = ("sqlite3",)
IN_CHECKOUT = ("./scripts/", "scripts/", ".venv/")
SERVES = re.compile(r"(runner|scripts/)\s*serve$")
FILLED_IN = re.compile(r"(?<![\w/$.-])(" + "|".join(STANDS_FOR) + r")(?![\w/=-])")


def reason_not_here(name: str) -> str | None:
    """Why the command is not run; None where it is."""
    return next((why for start, why in NOT_HERE.items() if name.startswith(start)), None)


def blocks_to_run() -> list[Block]:
    return [
        block
        for block in blocks(*SHELLS)
        if any(reason_not_here(command.name) is None for command in commands(block))
    ]


def lines_to_run() -> list[str]:
    """Without those that stand in a block as well."""
    done = {command.name for block in blocks(*SHELLS) for command in commands(block)}
    texts = dict.fromkeys(text for _, text in inline_commands())
    return [text for text in texts if reason_not_here(text) is None and filled(text) not in done]


def filled(text: str) -> str:
    """The command with something in the places of what the reader fills in."""
    return FILLED_IN.sub(lambda found: STANDS_FOR[found[0]], NAMED.get(text, text))


@dataclass
class World:
    """One terminal, and what stands around it."""

    terminal: Terminal
    port: int
    checkout: Path
    state: Path

    def run(self, command: str) -> Outcome:
        """Run it where a reader would stand, and give back what a reader would see."""
        name = Command(command).name
        text = filled(command).replace(f":{SHOWN_PORT}", f":{self.port}")
        folder = ""
        if name.startswith(IN_CHECKOUT):
            folder = str(self.checkout)
        elif name.startswith(IN_STATE_FOLDER):
            folder = str(self.state)
        if folder:
            text = f"(cd {folder} && {text}\n)"
        if SERVES.search(name):
            outcome = self.terminal.run_server(f"(export RUNNER_PORT=0; {text}\n)")
        else:
            outcome = self.terminal.run(text, typed=TYPED.get(name, ()), timeout_s=180)
        return Outcome(outcome.output.replace(f":{self.port}", f":{SHOWN_PORT}"), outcome.code)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("docs")
    home, port = folder / "user", free_port()
    state = home / ".local" / "state" / "hermes-runner"
    state.mkdir(parents=True)
    rows = rows_without_hashes("hermes-3-llama-3.2-3b", "hermes-4-14b")
    (state / "models.toml").write_text(rows, encoding="utf-8")
    for name in ("my-model.gguf", "some.gguf"):
        shutil.copy(TINY, home / name)
    (home / "report.txt").write_text("The quick brown fox met a lazy dog.\n")
    programs = make_programs(folder / "programs", with_runner=True)
    checkout = make_checkout(folder / "checkout", programs)
    (checkout / "list").write_text("hermes-3-llama-3.2-3b:Q4_K_M\n")
    environment = clean_environment(home, port, programs=programs)
    with stand_ins(REPOSITORIES) as others:
        environment |= {**others.environment, "OPENROUTER_API_KEY": KEY, "KEY": "a-secret"}
        # The server has a terminal of its own, since Ctrl-C reaches everything in one.
        with Terminal(home, environment) as terminal, Terminal(home, environment) as other:
            for model in PULLED:
                assert terminal.run(f"runner pull {model}").code == 0
            other.run("runner serve 2> serve.log &")
            yield World(terminal, port, checkout, state)


def check(command: Command, outcome: Outcome) -> None:
    """The exit code is as expected, and so is the output, where one is shown."""
    wanted = 1 if command.name in FAILS else 0
    assert outcome.code == wanted, f"{command.text}\n{outcome.output}"
    if command.shown is not None:
        assert matches(command.shown, outcome.output), (
            f"{command.text}\nshown:\n{masked(command.shown)}\ncame:\n{masked(outcome.output)}"
        )


def run_if_there(world: World, command: Command) -> None:
    for program in ("sqlite3", "sha256sum"):
        if program in command.name.split() and shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    check(command, world.run(command.text))


@pytest.mark.parametrize("block", blocks_to_run(), ids=str)
def test_the_commands_of_a_block_do_what_the_page_shows(world: World, block: Block) -> None:
    for command in commands(block):
        if reason_not_here(command.name) is None:
            run_if_there(world, command)


@pytest.mark.parametrize("text", lines_to_run())
def test_a_command_within_a_line_can_be_run(world: World, text: str) -> None:
    run_if_there(world, Command(text))


def test_every_reason_is_needed() -> None:
    names = [command.name for block in blocks(*SHELLS) for command in commands(block)]
    names += [text for _, text in inline_commands()]
    needed = {start for start in NOT_HERE for name in names if name.startswith(start)}
    assert set(NOT_HERE) == needed
    assert set(TYPED) | FAILS | set(NAMED) <= set(names)


def test_reasons_that_name_another_test_name_one_that_exists() -> None:
    for reason in NOT_HERE.values():
        for path in re.findall(r"(?:tests/\S+/)?test_\w+\.py", reason):
            assert (ROOT / path).exists() or (Path(__file__).parent / path).exists(), path
