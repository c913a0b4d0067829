"""Where the clients live: one Python environment and one node folder, made once and kept.

Each is keyed by the hash of its lock file in the user's cache folder, so that only the first
run after a change of the pins takes time. Nothing of the project's own environment is touched.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

FOLDER = Path(__file__).parent
REQUIREMENTS = FOLDER / "requirements.lock"
NODE = FOLDER / "node"
READY = ".ready"
SETUP_TIMEOUT_S = 900


def cache_folder() -> Path:
    """The user's cache folder for these environments."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "hermes-runner" / "client-tests"


def kept(name: str, *pins: Path) -> Path:
    """The folder that belongs to the pins."""
    digest = hashlib.sha256(sys.version.encode())
    for pin in pins:
        digest.update(pin.read_bytes())
    return cache_folder() / f"{name}-{digest.hexdigest()[:16]}"


def python_environment() -> Path:
    """The folder of an environment with every Python client in it."""
    folder = kept("python", REQUIREMENTS)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run([sys.executable, "-m", "venv", str(folder)])
            _run([*_installer(folder), "-r", str(REQUIREMENTS)])
            (folder / READY).touch()
    return folder


def node_modules() -> Path:
    """The folder of the node packages."""
    pins = [NODE / "package.json", NODE / "package-lock.json"]
    folder = kept("node", *pins)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for pin in pins:
                shutil.copy(pin, folder)
            _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)
            (folder / READY).touch()
    return folder / "node_modules"


def _installer(folder: Path) -> list[str]:
    """`uv` where there is one, as it takes seconds for what takes pip a minute."""
    python = folder / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():
        return [str(uv), "pip", "install", "--quiet", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def _run(command: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=SETUP_TIMEOUT_S, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
