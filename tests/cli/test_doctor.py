"""`runner doctor`, run as a user would: on a healthy machine, and on ones that are not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from runner.cli import doctor
from runner.config import Settings
from runner.services import build

CHECKS = [
    "disk", "ledger", "keys", "engine", "model", "memory", "tools", "cancel", "offline",
]  # fmt: skip
CANARY = "sk-or-canary-0123456789"

app = typer.Typer()
app.command("doctor")(doctor.command)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Another working folder than the checkout's, and a home that can be broken."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "runner-home"


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


def verdicts() -> tuple[int, dict[str, dict[str, Any]]]:
    code, text = run("--json")
    return code, {one["check"]: one for one in json.loads(text)}


def test_a_healthy_machine_passes_every_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENROUTER_API_KEY", CANARY)
    code, text = run()
    lines = text.splitlines()
    assert [line.split()[1] for line in lines] == CHECKS
    assert all(line.startswith("ok ") for line in lines), text
    assert code == 0
    assert "set: OPENROUTER_API_KEY" in text
    assert "canary" not in text


def test_json_has_the_same_verdicts_and_a_failure_is_exit_code_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NOUS_API_KEY", "sch\u00fcssel canary")
    code, found = verdicts()
    assert list(found) == CHECKS
    assert code == 1
    assert not found["keys"]["ok"]
    assert "NOUS_API_KEY" in found["keys"]["detail"]
    assert "canary" not in json.dumps(found)
    assert all(one["ok"] for name, one in found.items() if name != "keys")


def test_a_broken_ledger_is_found(home: Path) -> None:
    home.mkdir()
    (home / "ledger.sqlite3").write_bytes(b"this is no database" * 1000)
    code, found = verdicts()
    assert code == 1
    assert "ledger.sqlite3" in found["ledger"]["detail"]
    assert found["model"]["ok"]  # answers do not depend on it
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(home / "ledger.sqlite3").execute("SELECT * FROM sqlite_master")


def test_an_engine_that_does_not_start_fails_what_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RUNNER_ENGINE__MEMORY_BUDGET", "1000")
    code, found = verdicts()
    assert code == 1
    assert not found["engine"]["ok"]
    assert "not tried" in found["cancel"]["detail"]
    assert found["disk"]["ok"]


async def test_a_disk_that_is_full_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MIN_DISK_FREE_BYTES", 1 << 62)
    services = build(Settings())
    verdict = await doctor.judge("disk", doctor.check_disk(services))
    await services.stop()
    assert not verdict.ok
    assert "make room" in verdict.detail


def test_contacts_elsewhere_are_noted_and_those_here_are_not() -> None:
    contacts: list[str] = []
    for event, details in (
        ("socket.getaddrinfo", ("openrouter.ai", 443, 0, 0, 0)),
        ("socket.getaddrinfo", (b"huggingface.co", 443, 0, 0, 0)),
        ("socket.connect", (None, ("93.184.216.34", 443))),
        ("socket.connect", (None, ("2606:2800::1", 443, 0, 0))),
        ("socket.sendto", (None, ("8.8.8.8", 53))),
        ("socket.getaddrinfo", ("localhost", 80, 0, 0, 0)),
        ("socket.getaddrinfo", (None, 80, 0, 0, 0)),
        ("socket.connect", (None, ("127.0.0.1", 80))),
        ("socket.connect", (None, "/run/socket")),
        ("open", ("/etc/passwd", "r", 0)),
    ):
        doctor.note_contact(event, details, contacts)
    assert [contact.split()[1] for contact in contacts] == [
        "openrouter.ai",
        "huggingface.co",
        "93.184.216.34",
        "2606:2800::1",
        "8.8.8.8",
    ]
