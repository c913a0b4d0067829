"""`docs/routing.md` says who answers: its examples are run, and its figures are the program's."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from runner.config import FallbackCause, FallbackSettings, HostedSettings, load
from runner.hosted import health, pricing
from runner.ledger import Outcome
from tests.integration.hosting import HOSTED, Stage, stage

PAGE = (Path(__file__).parents[2] / "docs" / "routing.md").read_text()
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)
    assert found
    return found


def first_column(heading: str) -> set[str]:
    """The names in the first column of the table whose head begins so."""
    table = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0].splitlines()[2:]
    return {name for row in table for name in re.findall(r"`(\w+)`", row.split("|")[1])}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("page")) as opened:
        yield opened


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("code", [code for code in blocks("sh") if ADDRESS in code])
def test_shell_examples_answer_as_the_page_says(there: Stage, code: str) -> None:
    command = ["sh", "-c", code.replace(ADDRESS, there.server.origin)]
    shown = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    if "explain" in code:
        assert set(shown) >= {"served_by", "choices", "rejected"}
        named = {"max_tokens", "cost_at_most_usd", "pricing", "emulated", "ignored"}
        assert set(shown["choices"][0]) >= named
    else:
        assert shown["since"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize("code", blocks("toml"))
def test_settings_examples_are_settings(tmp_path: Path, code: str) -> None:
    file = tmp_path / "runner.toml"
    file.write_text(code)
    settings = load(config_file=file, environ={}).settings.model_dump(mode="json")

    def check(given: dict[str, Any], known: dict[str, Any]) -> None:
        for name, value in given.items():
            if isinstance(value, dict):
                check(value, known[name])
            else:
                assert known[name] == value

    check(tomllib.loads(code), settings)


def test_the_figures_of_the_page_are_the_programs() -> None:
    fallback = next(code for code in blocks("toml") if "[fallback]" in code)
    defaults = FallbackSettings().model_dump(mode="json")
    assert tomllib.loads(fallback)["fallback"] == defaults
    for name in ("connect", "first_token", "idle", "total"):
        seconds = getattr(HostedSettings(), f"{name}_timeout_s")
        assert f"`{name}_timeout_s` {seconds:g}" in PAGE
    assert f"it is {pricing.DEFAULT_MAX_TOKENS}" in PAGE
    assert f"rest a provider for {health.FIRST_PAUSE_S:g} s" in PAGE
    assert (health.FAILURES_TO_OPEN, health.LONGEST_PAUSE_S) == (5, 300)
    assert (health.WINDOW, health.MIN_SAMPLES, health.DEGRADED_BELOW) == (50, 5, 0.8)


def test_causes_and_fields_are_named_in_full(there: Stage) -> None:
    assert first_column("cause") == set(get_args(FallbackCause))
    route = there.whole(HOSTED)["x_route"]
    [example] = [json.loads(code) for code in blocks("json")]
    assert set(example) == set(route) == first_column("field")
    assert set(example["attempts"][0]) == set(route["attempts"][0])
    for outcome in get_args(Outcome):
        assert outcome == "pending" or f"`{outcome}`" in PAGE
