"""A short run against a real server. `RUNNER_TEST_NEMESIS_S` sets how long (20)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from .faults import FAULTS
from .invariants import Footprint, Trend, compare
from .nemesis import Plan, run

DURATION_S = float(os.environ.get("RUNNER_TEST_NEMESIS_S", "20"))
SEED = int(os.environ.get("RUNNER_TEST_SEED", "1"))


def tell(line: str) -> None:
    sys.stderr.write(line + "\n")


@pytest.mark.timeout(180 + 3 * DURATION_S)
async def test_no_fault_breaks_an_invariant(tmp_path: Path) -> None:
    verdict = await run(tmp_path, Plan(DURATION_S), SEED, tell)
    assert not verdict.violations, verdict.violations[:5]
    assert len(verdict.strikes) >= DURATION_S / 20


def test_every_fault_of_the_plan_is_there() -> None:
    wanted = {
        "kill", "hang", "abort", "memory", "disk-full", "disk-ro", "network", "upstream", "unread",
        "clock",
    }  # fmt: skip
    assert wanted <= {fault.name for fault in FAULTS}


def test_what_is_left_behind_is_seen() -> None:
    base = Footprint(num_fds=20, num_children=1, rss_bytes=80 * 2**20, num_files=0)
    assert compare(base, base) == []
    worse = Footprint(num_fds=23, num_children=2, rss_bytes=101 * 2**20, num_files=1)
    assert len(compare(base, worse)) == 4


def test_a_slope_is_told_from_noise() -> None:
    trend = Trend()
    for minute in range(120):
        wobble = (minute * 7919 % 13 - 6) * 2**14
        trend.at_s.append(60.0 * minute)
        trend.held.append(Footprint(20, 1, 80 * 2**20 + minute * 2**19 + wobble, 0))
    assert 29 * 2**20 < trend.bytes_per_hour < 31 * 2**20
    assert "descriptors" in trend.words()
