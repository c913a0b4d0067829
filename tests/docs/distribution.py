"""The wheel and the source distribution, built by the very backend that pyproject.toml names.

Owns where the backend comes from: this environment, else the package index. Builds outside the
checkout and changes nothing in it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .world import ROOT

BUILD = "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"
TIMEOUT_S = 120


def build(kind: str, folder: Path, *, source: Path = ROOT) -> Path:
    """A `wheel` or an `sdist` of the source, in the folder."""
    environment = {**os.environ, "PYTHONPATH": str(_backend(folder))}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", str(folder)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


def _backend(folder: Path) -> Path:
    """A folder to import the backend from, if it is not here anyway."""
    place = folder / ".backend"
    if importlib.util.find_spec("hatchling") is None and not place.exists():
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        wanted = tomllib.loads(text)["build-system"]["requires"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place)]
        done = subprocess.run(
            [*command, *wanted], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if done.returncode:
            pytest.skip(f"{wanted[0]} is not installed, and the package index gives none")
    return place
