"""A short run against a real server. `RUNNER_TEST_NEMESIS_S` sets how long (20)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .nemesis import run

DURATION_S = float(os.environ.get("RUNNER_TEST_NEMESIS_S", "20"))
SEED = int(os.environ.get("RUNNER_TEST_SEED", "1"))


@pytest.mark.timeout(180 + 3 * DURATION_S)
async def test_no_fault_breaks_an_invariant(tmp_path: Path) -> None:
    verdict = await run(tmp_path, DURATION_S, SEED, lambda line: print(line, file=sys.stderr))  # noqa: T201
    assert not verdict.violations, verdict.violations[:5]
    assert len(verdict.strikes) >= DURATION_S / 20
