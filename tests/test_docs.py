"""The documents say what is: commands exist, links lead somewhere, nothing is left undescribed.

The commands themselves are run in tests/docs/.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from runner.api.app import create_app
from runner.catalog import parse as parse_catalog
from runner.cli import slash
from runner.config import Settings, load, setting_paths
from runner.metrics import Metrics
from runner.services import build
from scripts import cli_docs
from tests.docs.pages import FENCE, INLINE, PAGES, ROOT, blocks, commands

LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
SHELLS = ("sh", "console", "bash")
WORD_ENDS = {"|", "||", "&&", "&", ";", ">", "#"}
SWITCH = re.compile(r'environ\.get\("((?:RUNNER|HOSTED)_TEST_\w+)", "([^"]*)"\)')


def spoken_commands() -> list[tuple[str, list[str]]]:
    """Every use of our command, as its words, with the page it stands on."""
    found = []
    for block in blocks(*SHELLS):
        for command in commands(block):
            line = command.text.replace("\\\n", " ")
            for at in re.finditer(r"(?:^|[\s/;|])runner (?=[a-z-])", line):
                found.append((block.page.name, words_of(line[at.end() :])))
    for page in PAGES:
        for match in INLINE.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
            if match[1].startswith("runner "):
                found.append((page.name, words_of(match[1].removeprefix("runner "))))
    return found


def words_of(line: str) -> list[str]:
    words = shlex.split(line, comments=True)
    ends = [at for at, word in enumerate(words) if word in WORD_ENDS]
    return words[: ends[0]] if ends else words


COMMANDS = dict(cli_docs.commands(typer.main.get_command(cli_docs.app)))


def test_the_command_page_is_current() -> None:
    page = cli_docs.PAGE.read_text(encoding="utf-8")
    assert page == cli_docs.page(), "python -m scripts.cli_docs writes it anew"


@pytest.mark.parametrize(("page", "words"), spoken_commands(), ids=lambda part: str(part)[:60])
def test_a_documented_command_exists_with_its_options(page: str, words: list[str]) -> None:
    name = "runner"
    while words and f"{name} {words[0]}" in COMMANDS:
        name = f"{name} {words.pop(0)}"
    known = {option for one in COMMANDS[name].params for option in getattr(one, "opts", [])}
    known |= {option for one in COMMANDS[name].params for option in one.secondary_opts}
    known |= {"--help", "--install-completion", "--show-completion"}
    if name == "runner":
        assert words and words[0].startswith("-"), f"{page}: there is no command {words[:1]}"
    for word in words:
        if word.startswith("-") and word != "-":
            assert word.partition("=")[0] in known, f"{page}: {name} has no option {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / path) if path else page
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
            slugs = {
                re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-") for head in heads
            }
            assert anchor in slugs, f"{path}#{anchor}"


async def test_every_endpoint_is_described_and_every_described_one_exists() -> None:
    services = build(load().settings)
    try:
        schema = create_app(services).openapi()
    finally:
        await services.stop()
    real = {
        f"{method.upper()} {path.replace(':path', '')}"
        for path, methods in schema["paths"].items()
        for method in methods
    }
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `((?:GET|POST|DELETE) [^`]+)`", page, re.M))
    described |= {
        f"{found[0]} {found[1]}"
        for found in re.findall(r"^\| `(GET) /v1/models`, `(/v1/[^`]+)`", page, re.M)
    }
    assert described == real


def test_every_metric_is_described() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(runner_\w+)` \|", page, re.M))
    metrics = Metrics(list, list)
    assert described == {family.name for family in metrics._registry.collect()}


def test_every_setting_is_described_with_its_default() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \|([^|]*)\|", page, re.M))
    settings = Settings()
    for path in setting_paths():
        if path in ("models", "providers"):
            continue
        assert path in rows, path
        value: Any = settings
        for part in path.split("."):
            value = getattr(value, part)
        if path == "fallback.on":
            value = ", ".join(value)
        shown = "" if value is None or value in ((), {}) else str(value)
        shown = shown.lower() if isinstance(value, bool) else shown.removesuffix(".0")
        assert rows[path].strip() == shown, path


def test_documented_settings_and_catalogue_rows_are_accepted(tmp_path: Path) -> None:
    for block in blocks("toml"):
        if block.page.name == "models.md" and "title" in block.code:
            assert parse_catalog(block.code, "the page")
            continue
        code = block.code.replace("<64 hex digits>", "0" * 64)
        path = tmp_path / "runner.toml"
        path.write_text(code)
        load(config_file=path)
        assert tomllib.loads(code)


def test_documented_yaml_and_compose_are_yaml() -> None:
    for block in blocks("yaml"):
        assert yaml.safe_load(block.code)
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert set(compose["services"]) == {"runner", "open-webui"}


def test_every_command_of_a_conversation_is_described() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`/.+?) \|", page, re.M)
    described = {word for row in rows for word in re.findall(r"`(/\w+)", row)}
    assert described == {*slash.COMMANDS, "/exit"}


def test_every_switch_of_a_random_test_is_described_with_its_default() -> None:
    page = (ROOT / "docs" / "development.md").read_text(encoding="utf-8")
    described = {}
    for names, defaults in re.findall(r"^\| (`\w+_TEST_.+?) \| (.+?) \|", page, re.M):
        split = re.findall(r"`(\w+)`", names)
        described |= dict(zip(split, defaults.split(", "), strict=True))
    real: dict[str, str] = {}
    for folder, _, files in os.walk(ROOT / "tests"):
        for name in files:
            if name.endswith(".py"):
                text = (Path(folder) / name).read_text(encoding="utf-8")
                real |= dict(SWITCH.findall(text))
    assert described == real


def test_architecture_fits_on_its_page() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert page.count("\n") <= 80


def test_the_image_runs_as_a_user_with_a_health_check_and_carries_no_key() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    last_stage = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER (?!root|0)", last_stage, re.M)
    assert "/health" in last_stage[last_stage.index("HEALTHCHECK") :]
    assert not re.search(r"^(ENV|ARG) .*(KEY|TOKEN|SECRET)", text, re.M)


def test_the_proof_of_the_dockerfile_says_when_it_cannot_be_had(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "container_steps"
    result = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert result.returncode == 0
    assert "skipped, since it needs" in result.stderr
