"""A copy of the checkout that looks as if `scripts/setup` had just run in it.

Owns the copy, so that documented scripts can be run without changing anything here. Its `.venv`
is the environment that runs the tests.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from .world import ROOT

LEFT_OUT = shutil.ignore_patterns(
    ".*",
    "__pycache__",
    "screenshots",
    "dist",
    "build",
    "node_modules",
    "results",
    "tests",
    "shared",
)
ASKS = "if [ "  # up to here scripts/setup finds out in which state it is


def make_checkout(place: Path, programs: Path) -> Path:
    """The copy; `programs` are what stands for `.venv/bin`."""
    shutil.copytree(ROOT, place, ignore=LEFT_OUT)
    binaries = place / ".venv" / "bin"
    binaries.mkdir(parents=True)
    for name, source in (("python", "python3"), ("runner", "runner")):
        (binaries / name).symlink_to(programs / source)
    script = (place / "scripts" / "setup").read_text(encoding="utf-8")
    asking = place / "scripts" / ".state"
    for extras in ("run", "test"):
        asking.write_text(script.partition(f"\n{ASKS}")[0] + '\necho "$state"\n', encoding="utf-8")
        done = subprocess.run(["sh", str(asking), extras], capture_output=True, check=True)
        (place / ".venv" / f".stamp-{extras}").write_bytes(done.stdout)
    return place
