"""`scripts/engine_flags`: what llama.cpp needs of a compiler, asked of compilers made up here."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "engine_flags"
GCC, CLANG, AMX = "#define __GNUC__ 12", "#define __clang__ 1", "#define __AMX_TILE__ 1"


@pytest.mark.parametrize(
    ("knows", "options", "flags"),
    [
        ([GCC, AMX], "", "-fno-dse -fno-tree-dse"),
        ([GCC, AMX], "-DGGML_CUDA=on", "-fno-dse -fno-tree-dse"),
        ([GCC, AMX], "-DGGML_NATIVE=off", ""),
        ([GCC], "", ""),
        ([CLANG, GCC, AMX], "", ""),
        (None, "", ""),
    ],
)
def test_tile_configurations_are_kept_where_gcc_would_drop_them(
    tmp_path: Path, knows: list[str] | None, options: str, flags: str
) -> None:
    compiler = tmp_path / "c++"
    lines = ["exit 1"] if knows is None else [f"echo '{line}'" for line in knows]
    compiler.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
    compiler.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "CXX": str(compiler), "CMAKE_ARGS": options}
    answer = subprocess.run(
        [SCRIPT], env=environment, capture_output=True, text=True, check=True, timeout=30
    )
    assert answer.stdout.strip() == flags
