"""The tools of these tests: what is a command on a page, and what a terminal is read as."""

from __future__ import annotations

from pathlib import Path

import pytest

from .matching import matches
from .pages import Block, Command, commands, inline_commands
from .session import Step, read_session, write_session
from .terminal import Terminal, as_read

PAGE = Path("page.md")


def block(code: str, language: str = "console") -> list[Command]:
    return commands(Block(PAGE, language, code, 1))


def test_a_command_goes_on_while_a_quote_is_open_and_its_output_stands_below() -> None:
    found = block("$ curl -d '{\n  \"a\": 1}' x  # why\nshown\n\nmore\n$ runner list\n")
    assert [one.text for one in found] == ["curl -d '{\n  \"a\": 1}' x  # why", "runner list"]
    assert found[0].name == "curl -d '{ \"a\": 1}' x"
    assert [one.shown for one in found] == ["shown\n\nmore", None]


def test_a_script_shows_no_output_and_joins_lines_that_end_in_a_backslash() -> None:
    [one, two] = block("docker build \\\n  -t x .\n\nrunner list   # all\n", "sh")
    assert one.name == "docker build -t x ." and two.name == "runner list"
    assert one.shown is two.shown is None


def test_code_within_a_line_is_a_command_if_it_begins_with_a_program(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`runner list`, `KEY=x docker compose up`, `scripts/setup`, `./scripts/test`; but not "
        "`runner`, `/model NAME`, `GET /health`, `docs/cli.md`, `runner.toml`, `scripts/a/b.md`.\n"
        "```sh\n`runner ps`\n```\n"
    )
    assert [text for _, text in inline_commands([page])] == [
        "runner list",
        "KEY=x docker compose up",
        "scripts/setup",
        "./scripts/test",
    ]


def test_an_ellipsis_stands_for_anything_and_lines_wrap_anywhere() -> None:
    assert matches('{"a": 1, … "z":\n  2}', '{"a": 7, "b": "long", "z": 9}')
    assert not matches('{"a": 1, … "y": 2}', '{"a": 7, "b": "long", "z": 9}')
    assert not matches("one", "one and more")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"\x1b[2mdim\x1b[0m\r\n", "dim"),
        (b" 10%\r 50%\r100%\r\nend\r\n", "100%\nend"),
        (b"\r\n\r\nbetween\r\n\r\n", "between"),
    ],
)
def test_a_terminal_is_read_as_it_stands_in_the_end(written: bytes, read: str) -> None:
    assert as_read(written) == read


def test_a_command_that_does_not_end_is_stopped_and_the_next_one_is_not_affected(
    tmp_path: Path,
) -> None:
    with Terminal(tmp_path, {"PATH": "/usr/bin:/bin"}) as terminal:
        assert terminal.run("echo one; false").code == 1
        with pytest.raises(AssertionError, match="did not come to an end"):
            terminal.run("cat", timeout_s=0.3)
        assert terminal.run("printf 'a\\nb'").output.endswith("a\nb")
        asked = terminal.run("printf 'name? '; read -r x; echo hello $x", typed=["you"])
        assert asked.output == "name? you\nhello you"


def test_a_session_survives_being_written_and_read() -> None:
    steps = [Step("a\n\nb", "curl 'x\n  y'", "one\n\ntwo"), Step("", "true", "")]
    assert read_session(write_session(steps)) == steps
    with pytest.raises(ValueError, match="belongs to no command"):
        read_session("stray\n")
