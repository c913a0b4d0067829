"""What the system lends a test: small disks, worlds without a network, groups with little memory.

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

CGROUPS = Path("/sys/fs/cgroup")


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


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A group (cgroup version 2) whose processes may have so much memory, swap included."""
    group = CGROUPS / f"hermes-test-{os.getpid()}"
    controllers = CGROUPS / "cgroup.subtree_control"
    if not controllers.is_file() or "memory" not in controllers.read_text().split():
        pytest.skip("no cgroup of version 2 lends us its memory controller here")
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    try:
        (group / "memory.max").write_text(str(limit_bytes))
        with contextlib.suppress(OSError):
            (group / "memory.swap.max").write_text("0")
        yield group
    finally:
        group.rmdir()
