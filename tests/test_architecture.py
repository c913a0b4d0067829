"""The house rules that no linter has: sizes, docstrings, and what start-up may import."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "runner").rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MIN_DOCUMENTED_LINES = 10
FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "misc"}
HEAVY = ("llama_cpp", "fastapi", "huggingface_hub", "rich", "httpx", "numpy", "pydantic")


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_is_small_and_says_what_it_owns(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= MAX_MODULE_LINES
    assert text.count("\n") <= MIN_DOCUMENTED_LINES or ast.get_docstring(tree)
    assert path.stem not in FORBIDDEN_NAMES
    for function in functions(tree):
        length = (function.end_lineno or 0) - function.lineno + 1
        assert length <= MAX_FUNCTION_LINES, f"{function.name}: {length} lines"


def test_only_one_room_touches_llama_cpp() -> None:
    importers = {
        path.parent.name
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import) and any(a.name.startswith("llama_cpp") for a in node.names)
        or isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llama_cpp")
    }  # fmt: skip
    assert importers == {"llama"}


def test_command_line_starts_without_heavy_imports() -> None:
    script = f"import sys, runner.cli; print([name for name in {HEAVY!r} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    """150 ms, or on a slow machine eleven bare starts of Python (it takes some nine)."""
    bare, asked = [sys.executable, "-c", "pass"], [sys.executable, "-m", "runner", "--help"]
    for command in (bare, asked):
        _spent_s(command)
    pairs = [(_spent_s(bare), _spent_s(asked)) for _ in range(5)]
    assert any(spent_s < max(0.15, 11 * bare_s) for bare_s, spent_s in pairs), pairs


def _spent_s(command: list[str]) -> float:
    """Processor time, since the wall clock of a shared machine proves little."""
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return min(used, time.monotonic() - begun)
