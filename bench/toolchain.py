"""The reference: llama-server and llama-batched-bench, from the very sources of our engine.

Owns finding them, or fetching the source package of the installed llama-cpp-python and building
them in the cache folder (about six minutes on two cores; needs cmake and a compiler).
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ENGINE_FLAGS = Path(__file__).resolve().parents[1] / "scripts" / "engine_flags"
TARGETS = ("llama-server", "llama-batched-bench")


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Paths of the reference's programs, None where there is none."""

    server: Path | None = None
    batched: Path | None = None


def ensure_toolchain(given: Path | None, cache: Path, say: Callable[[str], None]) -> Toolchain:
    """The programs: those given, else those built before, else built now."""
    if given is not None:
        server = given / "llama-server" if given.is_dir() else given
        if not os.access(server, os.X_OK):
            raise SystemExit(f"{server} is not a program; give the path of llama-server")
        return _beside(server.resolve())
    version = importlib.metadata.version("llama-cpp-python")
    build = cache / f"llama.cpp-of-{version}"
    if not all((build / "bin" / name).is_file() for name in TARGETS):
        say("building llama-server from the same sources, once; this takes some minutes")
        _build(_fetch(version, cache), build)
    return _beside(build / "bin" / "llama-server")


def _beside(server: Path) -> Toolchain:
    batched = server.with_name("llama-batched-bench")
    return Toolchain(server, batched if batched.is_file() else None)


def _fetch(version: str, cache: Path) -> Path:
    """The folder of llama.cpp's sources inside the source package."""
    folder = cache / "sources"
    unpacked = folder / f"llama_cpp_python-{version}"
    if not (unpacked / "vendor" / "llama.cpp" / "CMakeLists.txt").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "download"]
        wanted = ["--no-deps", "--no-binary", ":all:", f"llama-cpp-python=={version}"]
        subprocess.run([*pip, *wanted, "--dest", str(folder)], check=True)
        with tarfile.open(folder / f"llama_cpp_python-{version}.tar.gz") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # since 3.11.4
            archive.extractall(folder)
    return unpacked / "vendor" / "llama.cpp"


def _build(sources: Path, build: Path) -> None:
    wanted = ["CMAKE_BUILD_TYPE=Release", "GGML_NATIVE=ON", "LLAMA_BUILD_SERVER=ON"]
    unwanted = ["TESTS", "EXAMPLES", "MTMD", "UI"]
    flags = [f"-D{flag}" for flag in wanted] + [f"-DLLAMA_BUILD_{part}=OFF" for part in unwanted]
    flags.append("-DLLAMA_USE_PREBUILT_UI=OFF")
    needed = subprocess.run([ENGINE_FLAGS], check=True, capture_output=True, text=True).stdout
    environment = os.environ | {"CXXFLAGS": f"{os.environ.get('CXXFLAGS', '')} {needed.strip()}"}
    configure = ["cmake", "-S", str(sources), "-B", str(build), *flags]
    subprocess.run(configure, check=True, env=environment)
    jobs = str(os.cpu_count() or 1)
    command = ["cmake", "--build", str(build), "--parallel", jobs, "--target", *TARGETS]
    subprocess.run(command, check=True)
