"""Wheel and source distribution: complete, equal, and running where nothing else of ours is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from runner import __version__
from runner.catalog import load as load_catalog

from .distribution import build
from .world import ROOT, make_dependencies, put_dependencies

pytestmark = pytest.mark.timeout(300)

BUNDLED = (
    "runner/data/hermes-tiny.gguf",
    "runner/data/models.toml",
    "runner/chat/templates/hermes_chatml.jinja",
    "runner/web/static/index.html",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("distribution")


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    return build("wheel", folder)


@pytest.fixture(scope="module")
def sdist(folder: Path) -> Path:
    return build("sdist", folder)


def test_the_wheel_holds_all_that_is_bundled(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.read("runner/data/models.toml") == (ROOT / "models.toml").read_bytes()
        metadata = archive.read(f"hermes_runner-{__version__}.dist-info/METADATA").decode()
    assert set(BUNDLED) <= names
    assert {one.partition("/")[0] for one in names} == {
        "runner",
        f"hermes_runner-{__version__}.dist-info",
    }
    assert not any("__pycache__" in name for name in names)
    sources = {str(one.relative_to(ROOT)) for one in (ROOT / "runner").rglob("*.py")}
    assert sources <= names
    assert f"Version: {__version__}" in metadata and "License-File: LICENSE" in metadata


def test_a_wheel_from_the_source_distribution_is_the_same(
    wheel: Path, sdist: Path, folder: Path
) -> None:
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since Python 3.11.4
        archive.extractall(folder / "unpacked")
    again = folder / "again"
    again.mkdir()
    [source] = (folder / "unpacked").iterdir()
    for one in ("README.md", "CHANGELOG.md", "LICENSE", "models.toml", "tests/conftest.py"):
        assert (source / one).is_file(), one
    rebuilt = build("wheel", again, source=source)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(rebuilt) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {
            i.filename: i.CRC for i in other.infolist()
        }


@pytest.fixture(scope="module")
def program(wheel: Path, folder: Path) -> Path:
    """`runner`, installed from the wheel into an environment without anything else of ours."""
    place = folder / "environment"
    venv.create(place, with_pip=False, symlinks=True)
    put_dependencies(place, make_dependencies(folder / "dependencies"))
    [site] = place.glob("lib/python3.*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        entry = archive.read(f"hermes_runner-{__version__}.dist-info/entry_points.txt").decode()
    assert entry.split() == ["[console_scripts]", "runner", "=", "runner.cli:main"]
    script = place / "bin" / "runner"
    script.write_text(f"#!{place}/bin/python\nfrom runner.cli import main\nmain()\n")
    script.chmod(0o755)
    return script


def run(program: Path, home: Path, *words: str, **variables: str) -> str:
    done = subprocess.run(
        [str(program), *words],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **variables},
        cwd=home,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_installed_wheel_answers_with_what_is_in_it(program: Path, tmp_path: Path) -> None:
    assert run(program, tmp_path, "--version").strip() == f"runner {__version__}"
    answer = json.loads(run(program, tmp_path, "chat", "--json", "hermes-tiny", "Who are you?"))
    assert "hermes-tiny" in answer["message"]["content"]
    assert answer["x_route"]["served_by"] == "local"
    listed = json.loads(run(program, tmp_path, "list", "--json"))
    assert len(listed) == len(list(load_catalog()))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_are_told_how_to_complete(program: Path, tmp_path: Path, shell: str) -> None:
    variables = {"_RUNNER_COMPLETE": f"source_{shell}"}
    script = run(program, tmp_path, **variables)
    assert f"complete_{shell}" in script and "runner" in script


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [("runner p", {"plan", "providers", "ps", "pull"}), ("runner usage --p", {"--plot", "--png"})],
)
def test_commands_and_options_are_completed(
    program: Path, tmp_path: Path, typed: str, wanted: set[str]
) -> None:
    words = typed.split()
    variables = {
        "_RUNNER_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    assert set(run(program, tmp_path, **variables).split()) == wanted


def test_start_up_imports_nothing_heavy(program: Path, tmp_path: Path) -> None:
    code = (
        "import runner.cli, sys; heavy = ('llama_cpp', 'fastapi', 'huggingface_hub', 'numpy', "
        "'runner.cli.plot'); print([one for one in heavy if one in sys.modules])"
    )
    python = program.with_name("python")
    assert run(python, tmp_path, "-c", code).strip() == "[]"
    assert Path(sys.executable) != python
