"""What the system lends a test: small disks, and worlds without a network.

Owns asking for it and giving it back. Each says why not where it cannot be had; nothing is left
behind.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


def why_no_mounts() -> str | None:
    """Why nothing can be mounted here; None where it can."""
    if sys.platform != "linux":
        return "mounting in a test is for Linux"
    return None if os.geteuid() == 0 else "only root may mount"


@functools.cache
def without_network() -> list[str]:
    """The command that runs another one where there is only loopback; empty where none does."""
    for words in (["unshare", "-n"], ["unshare", "-Urn"]):
        if (
            shutil.which("unshare")
            and subprocess.run([*words, "true"], capture_output=True).returncode == 0
        ):
            return words
    return []


@contextlib.contextmanager
def mounted(folder: Path, *options: str, source: str = "none") -> Iterator[None]:
    """Something mounted on a folder; skips the test where the system does not let us."""
    reason = why_no_mounts()
    if reason is None:
        folder.mkdir(parents=True, exist_ok=True)
        tried = subprocess.run(
            ["mount", *options, source, str(folder)], capture_output=True, text=True
        )
        reason = tried.stderr.strip() if tried.returncode else None
    if reason is not None:
        pytest.skip(f"no mount here: {reason}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


def remount(folder: Path, options: str) -> None:
    """Change how a mounted folder may be used."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
