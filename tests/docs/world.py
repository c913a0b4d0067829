"""The world that documented commands run in: a Hub and an OpenRouter of ours, and a clean machine.

Owns folders, the environment and the few programs a command finds. Nothing in it leads off this
machine, and everything it makes is in the folder it was given.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tests.fakes.hub import FakeHub
from tests.integration.hosting import fake_openrouter

ROOT = Path(__file__).parents[2]
TINY = ROOT / "runner" / "data" / "hermes-tiny.gguf"
KEY = "sk-or-v1-your-key"  # what the documents export
BUDGET_BYTES = 12 * 2**30  # so that the 405B fits no machine of whoever runs this
SITE_PACKAGES = Path(sys.modules["pytest"].__file__ or "").parents[1]
UNWANTED = ("hermes_runner", "_editable_impl_hermes_runner", "pip", "setuptools", "_distutils_hack")


@dataclass(frozen=True)
class StandIns:
    """Where the Hub and OpenRouter are."""

    hub: FakeHub
    environment: Mapping[str, str]


@contextmanager
def stand_ins(repositories: Mapping[str, tuple[str, ...]]) -> Iterator[StandIns]:
    """A Hub with these files, all of them the bundled model's bytes, and an OpenRouter."""
    with FakeHub() as hub, fake_openrouter(key=KEY) as openrouter:
        for repo, names in repositories.items():
            hub.publish(repo, dict.fromkeys(names, TINY))
        addresses = {"HF_ENDPOINT": hub.endpoint, "OPENROUTER_BASE_URL": openrouter.base_url}
        yield StandIns(hub, addresses)


def clean_environment(folder: Path, port: int, *, programs: Path) -> dict[str, str]:
    """What a fresh user has: a home of their own, no keys, no settings."""
    return {
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "RUNNER_PORT": str(port),
        "RUNNER_ENGINE__MEMORY_BUDGET": str(BUDGET_BYTES),
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_CACHE_DIR": "1",
    }


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def make_programs(folder: Path, *, with_runner: bool) -> Path:
    """`python3` is the one that runs the tests; `curl` is ours where the machine has none."""
    folder.mkdir()
    _write_program(folder / "python3", f'exec {sys.executable} "$@"')
    if shutil.which("curl") is None:
        _write_program(folder / "curl", f'exec {sys.executable} {ROOT}/tests/docs/curl.py "$@"')
    if with_runner:
        _write_program(folder / "runner", f'exec {sys.executable} -m runner "$@"')
    return folder


def _write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def make_dependencies(folder: Path) -> Path:
    """What an index would bring: everything installed here, but not this package itself."""
    folder.mkdir()
    for one in SITE_PACKAGES.iterdir():
        if not one.name.startswith(UNWANTED) and one.suffix != ".pth":
            (folder / one.name).symlink_to(one)
    return folder


def put_dependencies(environment: Path, dependencies: Path) -> None:
    """Let a virtual environment find them, isolated children of its Python too."""
    [site] = environment.glob("lib/python3.*/site-packages")
    (site / "dependencies.pth").write_text(f"{dependencies}\n")


def rows_without_hashes(*models: str) -> str:
    """Catalogue rows as shipped, but without the sizes and hashes that only real weights have."""
    shipped = tomllib.loads((ROOT / "models.toml").read_text(encoding="utf-8"))["models"]
    tables = []
    for name in models:
        row = dict(shipped[name])
        row["files"] = [
            {key: value for key, value in file.items() if key not in ("sha256", "size_bytes")}
            for file in row.get("files", [])
        ]
        keys = "\n".join(f"{key} = {_toml(value)}" for key, value in row.items())
        tables.append(f'[models."{name}"]\n{keys}\n')
    return "\n".join(tables)


def _toml(value: Any) -> str:
    """A value of TOML on one line."""
    match value:
        case dict():
            inner = ", ".join(f'"{key}" = {_toml(inner)}' for key, inner in value.items())
            return f"{{{inner}}}"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case bool():
            return str(value).lower()
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case date():
            return value.isoformat()
        case _:
            return repr(value)
