"""What the client tests share: the server's address, the environments, and how a script is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.api.caller import Caller
from tests.serving import Server

from . import environment

TIMEOUT_S = 180
SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Bench:
    """A place to run a client's script in: its programs, its folder, its server."""

    server: Server
    folder: Path
    search_path: tuple[Path, ...] = ()

    def run(self, *command: str, **variables: str) -> str:
        """The output of a command that has to succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={
                "PATH": os.pathsep.join([*map(str, self.search_path), os.environ["PATH"]]),
                "HOME": str(self.folder),
                "LLM_USER_PATH": str(self.folder / "llm"),
                "RUNNER_URL": self.server.url,
                "HF_HUB_OFFLINE": "1",
                "LANGSMITH_TRACING": "false",
                "NO_COLOR": "1",
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout


@pytest.fixture(scope="session")
def caller(shared_server: Server) -> Iterator[Caller]:
    """Plain requests to the shared server."""
    caller = Caller(shared_server)
    yield caller
    caller.http.close()


@pytest.fixture(scope="session")
def python_programs() -> Path:
    """The programs of the Python clients' environment."""
    return environment.python_environment() / "bin"


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """The node clients' packages."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node is not installed; the JavaScript clients cannot be tried")
    return environment.node_modules()


@pytest.fixture
def shell(shared_server: Server, tmp_path: Path) -> Bench:
    """A bench with what the machine has."""
    return Bench(shared_server, tmp_path)


@pytest.fixture
def python_bench(shared_server: Server, tmp_path: Path, python_programs: Path) -> Bench:
    """A bench with the Python clients."""
    return Bench(shared_server, tmp_path, (python_programs,))


@pytest.fixture
def node_bench(shared_server: Server, tmp_path: Path, node_packages: Path) -> Bench:
    """A bench with the node clients."""
    (tmp_path / "node_modules").symlink_to(node_packages)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return Bench(shared_server, tmp_path)
