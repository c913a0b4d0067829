"""The first hour is what docs/first-hour.session shows: it is played again, from an empty folder.

The wheel is built, installed by pip into an environment that holds nothing of ours, and every
command of the recording is run over real sockets. `python -m tests.docs.first_hour` records anew.
"""

from __future__ import annotations

import re

import pytest

from tests.docs.first_hour import PAGE, play
from tests.docs.matching import masked, same
from tests.docs.pages import ROOT, Command, blocks, commands
from tests.docs.session import Step, read_session, write_session
from tests.docs.terminal import Outcome

STEPS = read_session(PAGE.read_text(encoding="utf-8"))
Played = list[tuple[Step, Outcome]]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return list(play(STEPS, tmp_path_factory.mktemp("first-hour")))


@pytest.mark.parametrize("number", range(len(STEPS)), ids=lambda n: STEPS[n].command[:40])
def test_every_command_gives_what_was_recorded(played: Played, number: int) -> None:
    step, outcome = played[number]
    assert same(step.output, outcome.output), (
        f"recorded:\n{masked(step.output)}\n\ncame:\n{masked(outcome.output)}"
    )
    assert outcome.code == (1 if outcome.output.startswith("runner: ") else 0)


def test_the_first_answer_takes_at_most_five_commands() -> None:
    answered = [number for number, step in enumerate(STEPS, 1) if '"content"' in step.output]
    assert answered[0] <= 5


def test_the_readme_alone_leads_there() -> None:
    readme = blocks("console", pages=[ROOT / "README.md"])
    told = {command.name for block in readme for command in commands(block)}
    played = [Command(step.command).name for step in STEPS]
    assert set(played[:5]) <= told
    for start in ("runner plan", "export OPENROUTER", "curl"):
        assert {name for name in played if name.startswith(start)} <= told
    assert any(name.startswith("runner pull ") for name in told)


def test_the_recording_shows_all_that_the_first_hour_is_about() -> None:
    shown = {step.command: step.output for step in STEPS}
    plan = shown["runner plan"]
    assert {"hermes-4-14b", "hermes-4-70b", "hermes-4-405b"} <= set(re.findall(r"^\S+", plan, re.M))
    [pull] = [command for command in shown if command.startswith("runner pull")]
    assert "is ready" in shown[pull]
    assert any(
        command.startswith("runner chat") and pull.split()[-1] in command for command in shown
    )
    hosted = [output for output in shown.values() if '"served_by": "openrouter"' in output]
    assert len(hosted) == 1 and '"cost_usd": 0.0' in hosted[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ready: http://127.0.0.1:8000/v1", "ready: http://127.0.0.1:41873/v1"),
        ("54 tokens in 0.6 s · free", "54 tokens in 12.9 s · free"),
        ("$0.000125 spent", "$1.5 spent"),
        ('"id":"chatcmpl-20792ff7580b40c4"', '"id":"chatcmpl-9f1c9e4c77aa0b12"'),
        (
            "hermes-4-14b   yes   Q5_K_M      12.0 GiB    8192   2.6 tok/s  -",
            "hermes-4-14b   no    -           40.3 GiB       -           -  -",
        ),
    ],
)
def test_what_hangs_on_time_and_machine_may_differ(one: str, other: str) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hermes-4-405b", "hermes-4-70b"),
        ("hermes-3-llama-3.2-3b", "hermes-3-llama-3.1-8b"),
        ("Q8_0 is ready", "Q4_0 is ready"),
        ('{"served_by": "local"}', '{"served_by": "openrouter"}'),
        ("the port is 80", "the port is closed"),
        ("a b c", "a b"),
    ],
)
def test_what_the_program_says_may_not_differ(one: str, other: str) -> None:
    assert not same(one, other)


def test_a_session_is_read_as_it_was_written() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert write_session(STEPS) == text
