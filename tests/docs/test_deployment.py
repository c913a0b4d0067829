"""The files and examples for running it elsewhere, held against the program they run.

Parsed everywhere; `systemd-analyze` and `nginx` have their say where they are installed.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import yaml

from runner.cli import app
from runner.config import Settings, load
from runner.hosted import build_providers
from scripts.cli_docs import commands as all_commands
from tests.api.caller import chat_body
from tests.serving import Server

from .pages import ROOT, Block, blocks, commands, inline_commands

OPERATIONS = ROOT / "docs" / "operations.md"
DEFAULTS = Settings().server
PORT = str(DEFAULTS.port)
PROXIED = f"http://{DEFAULTS.host}:{PORT}"
MIB = 2**20
PROGRAM = "/opt/hermes-runner/.venv/bin/runner"


def read_dockerfile() -> list[tuple[str, str]]:
    """By the reader that carries the steps out in scripts/container_steps."""
    loader = SourceFileLoader("container_steps", str(ROOT / "scripts" / "container_steps"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[loader.name] = module  # its dataclasses ask for it
    loader.exec_module(module)
    steps: list[tuple[str, str]] = module.instructions(ROOT / "Dockerfile")
    return steps


STEPS = read_dockerfile()


def values(name: str, *, last_stage: bool = True) -> list[str]:
    """What an instruction is given, in the order of the file."""
    start = max(at for at, step in enumerate(STEPS) if step[0] == "FROM") if last_stage else 0
    return [value for instruction, value in STEPS[start:] if instruction == name]


def image_environment() -> dict[str, str]:
    """What the image sets."""
    words = [word for line in values("ENV") for word in shlex.split(line)]
    return dict(word.split("=", 1) for word in words)


def known_variables() -> set[str]:
    """Keys of providers, and what the Hub's own tools read."""
    keys = {one.key_env for one in build_providers(Settings().providers, {})}
    return {*keys, "HF_HOME", "HF_TOKEN", "HF_ENDPOINT"}


def assert_known(variables: dict[str, str]) -> None:
    """Every variable means something to the program, with the value it is given."""
    ours = {name: value for name, value in variables.items() if name.startswith("RUNNER_")}
    load(environ=ours)
    assert set(variables) - set(ours) <= known_variables()


def assert_command(words: list[str]) -> None:
    """The words are a command of ours with options that it has."""
    known = dict(all_commands(typer.main.get_command(app)))
    command = known[f"runner {words[0]}"]
    options = {option for one in command.params for option in one.opts if option.startswith("-")}
    assert {word for word in words[1:] if word.startswith("-")} <= options


def block_with(text: str, language: str) -> str:
    [found] = [one.code for one in blocks(language, pages=[OPERATIONS]) if text in one.code]
    return found


def read_unit(text: str) -> configparser.ConfigParser:
    """A unit; of keys that stand more than once, each value on a line."""
    joined: dict[str, list[str]] = {}
    section, lines = "", []
    for line in text.splitlines():
        if line.startswith("["):
            lines += [f"{key}={chr(10).join(found)}" for key, found in joined.items()]
            section, joined = line, {}
            lines.append(section)
        elif line.strip() and not line.startswith("#"):
            key, _, value = line.partition("=")
            joined.setdefault(key, []).append(value if key not in joined else f"\t{value}")
    lines += [f"{key}={chr(10).join(found)}" for key, found in joined.items()]
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keep capitals
    parser.read_string("\n".join(lines))
    return parser


def test_the_unit_starts_the_server_with_folders_it_may_write() -> None:
    unit = read_unit(block_with("[Unit]", "ini"))
    service = unit["Service"]
    program, *words = shlex.split(service["ExecStart"])
    assert program == PROGRAM
    assert_command(words)
    variables = dict(line.split("=", 1) for line in service["Environment"].splitlines())
    assert_known(variables)
    state = Path("/var/lib") / service["StateDirectory"]
    assert service["ProtectSystem"] == "strict"
    for name in ("RUNNER_HOME", "HF_HOME"):
        assert Path(variables[name]).is_relative_to(state), f"{name} cannot be written"
    assert int(service["TimeoutStopSec"]) > DEFAULTS.stop_timeout_s


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "runner"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "hermes-runner.service"
    unit.write_text(block_with("[Unit]", "ini").replace(PROGRAM, str(program)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    mine = [line for line in done.stderr.splitlines() if "hermes-runner.service" in line]
    assert (done.returncode, mine) == (0, []) or "Failed to" in done.stderr, done.stderr


def read_nginx(text: str) -> dict[str, list[list[str]]]:
    """The directives within the one block, by name."""
    [(head, body)] = re.findall(r"^(\w+ \S+) \{\n(.*?)^\}$", text, re.M | re.S)
    assert head == "location /"
    found: dict[str, list[list[str]]] = {}
    for line in body.splitlines():
        assert line.endswith(";"), line
        name, *words = shlex.split(line.removesuffix(";"))
        found.setdefault(name, []).append(words)
    return found


def test_nginx_neither_buffers_nor_cuts_what_the_server_allows() -> None:
    found = read_nginx(block_with("proxy_pass", "nginx"))
    assert found["proxy_pass"] == [[PROXIED]]
    assert ["Host", f"{DEFAULTS.host}:{PORT}"] in found["proxy_set_header"]
    assert found["proxy_http_version"] == [["1.1"]] and found["proxy_buffering"] == [["off"]]
    [[patience]] = found["proxy_read_timeout"]
    assert int(patience.removesuffix("s")) >= Settings().hosted.total_timeout_s
    [[size]] = found["client_max_body_size"]
    assert int(size.removesuffix("m")) * MIB >= DEFAULTS.max_body_bytes


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_accepts_the_example(tmp_path: Path) -> None:
    location = block_with("proxy_pass", "nginx")
    file = tmp_path / "nginx.conf"
    file.write_text(f"events {{}}\nhttp {{ server {{ listen 127.0.0.1:1; {location} }} }}\n")
    done = subprocess.run(
        ["nginx", "-t", "-p", str(tmp_path), "-c", str(file)], capture_output=True, text=True
    )
    assert "syntax is ok" in done.stderr, done.stderr


def test_caddy_is_told_the_same_address() -> None:
    [line] = re.findall(r"`(reverse_proxy[^`]+)`", OPERATIONS.read_text(encoding="utf-8"))
    assert (
        line == f"reverse_proxy {DEFAULTS.host}:{PORT} {{ header_up Host {DEFAULTS.host}:{PORT} }}"
    )


def test_streams_ask_the_proxy_not_to_buffer_them(shared_server: Server) -> None:
    body = {**chat_body(), "stream": True}
    address = f"{shared_server.url}/chat/completions"
    with httpx.stream("POST", address, json=body, timeout=60) as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        answer.read()


def test_prometheus_asks_where_the_metrics_are(shared_server: Server) -> None:
    [job] = yaml.safe_load(block_with("scrape_configs", "yaml"))["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"{DEFAULTS.host}:{PORT}"]}]
    path = job.get("metrics_path", "/metrics")  # Prometheus's own default
    assert httpx.get(f"{shared_server.origin}{path}", timeout=30).status_code == 200


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return found


def plain(value: str, **given: str) -> str:
    """A value as compose fills it in: ${NAME:-else}, ${NAME:?must be given}."""

    def fill(found: re.Match[str]) -> str:
        name, kind, rest = found[1], found[2], found[3]
        if name not in given and kind == "?":
            raise KeyError(name)
        return given.get(name, rest if kind == "-" else "")

    return re.sub(r"\$\{(\w+):([-?])([^}]*)\}", fill, value)


def test_compose_gives_the_runner_variables_it_knows() -> None:
    variables = compose()["services"]["runner"]["environment"]
    assert_known({name: plain(value, RUNNER_API_KEY="k") for name, value in variables.items()})
    with pytest.raises(KeyError):
        plain(variables["RUNNER_API_KEY"])


def test_compose_and_image_agree_on_port_volume_and_health() -> None:
    services = compose()["services"]
    ours, theirs = services["runner"], services["open-webui"]
    assert [one.rpartition(":")[2] for one in ours["ports"]] == values("EXPOSE") == [PORT]
    assert [one.partition(":")[2] for one in ours["volumes"]] == values("VOLUME")
    assert theirs["environment"]["OPENAI_API_BASE_URL"] == f"http://runner:{PORT}/v1"
    assert theirs["environment"]["OPENAI_API_KEY"] == ours["environment"]["RUNNER_API_KEY"]
    assert theirs["depends_on"] == {"runner": {"condition": "service_healthy"}}
    assert len(values("HEALTHCHECK")) == 1
    named = {one.partition(":")[0] for service in services.values() for one in service["volumes"]}
    assert named == set(compose()["volumes"])
    for service in services.values():
        assert all(one.startswith("127.0.0.1:") for one in service["ports"])


def test_the_command_in_the_compose_file_is_one() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    [words] = re.findall(r"docker compose exec runner runner (.+)$", text, re.M)
    assert_command(words.split())


def test_the_image_builds_from_what_is_there_and_starts_the_server() -> None:
    assert [line.split()[-1] for line in values("FROM", last_stage=False)] == ["build", "run"]
    kept = [
        line.removeprefix("!")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for line in values("COPY", last_stage=False):
        words = line.split()
        if not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (ROOT / source).exists() and source.removeprefix("./") in kept, source
    assert json.loads(values("ENTRYPOINT")[0]) == ["runner"]
    assert_command(json.loads(values("CMD")[0]))
    variables = image_environment()
    variables.pop("PATH")
    assert_known(variables)
    [volume] = values("VOLUME")
    for name in ("HF_HOME", "RUNNER_HOME"):
        assert Path(variables[name]).is_relative_to(volume)


def test_every_step_of_the_image_is_clean() -> None:
    known = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "RUN"}
    assert {name for name, _ in STEPS} <= known | {"USER", "VOLUME", "WORKDIR"}
    for line in values("RUN", last_stage=False):
        if "apt-get" in line:
            assert line.startswith("apt-get update"), "a cached list of packages goes stale"
            assert "--no-install-recommends" in line and "/var/lib/apt/lists" in line
        assert "sudo" not in line
        subprocess.run(["sh", "-n", "-c", line], check=True)
    for image in values("ARG", last_stage=False)[:2]:
        assert not image.endswith(":latest") and ":" in image
    [health] = values("HEALTHCHECK")
    program, flag, code = shlex.split(health.partition("CMD ")[2])
    assert (program, flag) == ("python3", "-c")
    compile(code, "HEALTHCHECK", "exec")


def docker_commands() -> list[list[str]]:
    found = [
        shlex.split(command.text, comments=True)
        for block in blocks("sh", "console", pages=[OPERATIONS])
        for command in commands(block)
        if command.text.startswith("docker ")
    ]
    head = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("ARG ")[0]
    found += [shlex.split(line) for line in re.findall(r"^#   (docker .+)$", head, re.M)]
    return found


def options(words: list[str], *names: str) -> list[str]:
    """What stands behind each use of an option."""
    return [words[at + 1] for at, word in enumerate(words) if word in names]


@pytest.mark.parametrize("words", docker_commands(), ids=" ".join)
def test_docker_is_told_what_the_image_knows(words: list[str]) -> None:
    built = {
        options(one, "-t")[0] for one in docker_commands() if one[1] == "build" and "-t" in one
    }
    arguments = {line.partition("=")[0] for line in values("ARG", last_stage=False)}
    if words[1] == "build":
        given = [one.partition("=")[0] for one in options(words, "--build-arg")]
        assert set(given) <= arguments and words[-1] == "."
        return
    assert words[1] == "run" and words[-1] in built
    assert_known(dict(one.split("=", 1) for one in options(words, "-e")))
    assert "RUNNER_API_KEY" in " ".join(options(words, "-e"))
    assert [one.rpartition(":")[2] for one in options(words, "-p")] == values("EXPOSE")
    assert [one.partition(":")[2] for one in options(words, "-v")] == values("VOLUME")


def test_the_documented_compose_command_sets_what_the_file_asks_for() -> None:
    [line] = [text for _, text in inline_commands() if "docker compose up" in text]
    assert line.startswith("RUNNER_API_KEY=")


def test_an_example_exists_for_each_way_to_run_it() -> None:
    languages = {block.language for block in blocks("ini", "nginx", "yaml", pages=[OPERATIONS])}
    assert languages == {"ini", "nginx", "yaml"}
    assert all(isinstance(block, Block) for block in blocks("sh", pages=[OPERATIONS]))
