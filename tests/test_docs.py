"""The documents say what is: commands exist, shown output comes, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from runner.api.app import create_app
from runner.catalog import parse as parse_catalog
from runner.config import Settings, load, setting_paths
from runner.metrics import Metrics
from runner.services import build
from scripts import cli_docs

ROOT = Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "SECURITY.md"])
FENCE = re.compile(r"^```(?P<language>[\w-]*)\n(?P<code>.*?)^```$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`(runner [^`]+)`(?!`)")
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)\s#]*)(?:#([^)\s]+))?\)")
SHELLS = ("sh", "console", "bash")
WORD_ENDS = {"|", "||", "&&", ";", ">", "#"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page.name}: {self.code.splitlines()[0][:50]}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(page, match["language"], match["code"])
        for page in PAGES
        for match in FENCE.finditer(page.read_text(encoding="utf-8"))
        if match["language"] in languages
    ]


def shell_lines(block: Block) -> Iterator[str]:
    """The commands of a block, continued lines joined, prompts and output taken off."""
    text = block.code.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "console":
            if line.startswith("$ "):
                yield line.removeprefix("$ ")
        else:
            yield line


def spoken_commands() -> list[tuple[str, list[str]]]:
    """Every use of our command, as its words, with the page it stands on."""
    found = []
    for block in blocks(*SHELLS):
        for line in shell_lines(block):
            for at in re.finditer(r"(?:^|[\s/;|])runner (?=[a-z-])", line):
                found.append((block.page.name, words_of(line[at.end() :])))
    for page in PAGES:
        for match in INLINE.finditer(FENCE.sub("", page.read_text(encoding="utf-8"))):
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


def examples() -> list[Any]:
    """Commands with shown output that can run here: ours, without a server and without network."""
    found = []
    for block in blocks("console"):
        for command, shown in sessions(block):
            if shown.strip() and re.match(r"(\S*/)?runner (?!serve|pull)", command):
                found.append(pytest.param(command, shown, id=f"{block.page.name}: {command}"))
    return found


def sessions(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output under it."""
    text = block.code.replace("\\\n", " ")
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, _, shown = part.partition("\n")
        yield command.partition("  #")[0].strip(), shown


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("command", "shown"), examples())
def test_shown_output_is_what_comes(command: str, shown: str) -> None:
    """`…` in the page stands for anything."""
    words = shlex.split(command, comments=True)
    result = subprocess.run(
        [sys.executable, "-m", "runner", *words[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=ROOT,
    )
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    assert re.fullmatch(pattern, result.stdout.strip(), re.S), result.stdout


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
