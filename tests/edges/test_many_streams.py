"""Many streams or connections at once: all are answered or told why not, and health stays quick.

`RUNNER_TEST_STREAMS` sets how many streams (48; the full run is 1000), `RUNNER_TEST_CONNECTS` how
many connections (500; the full run is 5000). The promised figures hold on a quiet machine, and are
asserted in full runs only.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.api.caller import MODEL
from tests.serving import serve

ROOT = Path(__file__).parents[2]
NUM_STREAMS = int(os.environ.get("RUNNER_TEST_STREAMS", "48"))
NUM_CONNECTS = int(os.environ.get("RUNNER_TEST_CONNECTS", "500"))
FULL_RUN = 1000
FULL_BURST = 5000
HEALTH_P99_S = 0.1


def meanwhile(
    origin: str, *programs: tuple[str, int] | tuple[str, int, int]
) -> tuple[list[dict[str, Any]], list[float]]:
    """What programs say of their connections, and how long health took while they ran."""
    port = origin.rpartition(":")[2]
    taken_s = []
    with contextlib.ExitStack() as stack, httpx.Client(base_url=origin, timeout=30) as client:
        running = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", f"tests.edges.{name}", port, *map(str, numbers)],
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                    text=True,
                    start_new_session=True,  # on one machine the kernel shares time by session
                )
            )
            for name, *numbers in programs
        ]
        while any(program.poll() is None for program in running):
            begun_s = time.perf_counter()
            assert client.get("/health").status_code == 200
            taken_s.append(time.perf_counter() - begun_s)
            time.sleep(0.02)
        said = [program.stdout.read() for program in running if program.stdout is not None]
    return [json.loads(words) for words in said], sorted(taken_s)


def crowd(origin: str, num_tokens: int) -> tuple[dict[str, int], list[float]]:
    """How the streams ended, and how long health took meanwhile."""
    [ends], taken_s = meanwhile(origin, ("crowd", NUM_STREAMS, num_tokens))
    return ends, taken_s


def p99_of(taken_s: list[float]) -> float:
    return taken_s[int(len(taken_s) * 0.99)]


def check_health(taken_s: list[float], ends: dict[str, int], limit_s: float) -> None:
    p99_s = p99_of(taken_s)
    sys.stderr.write(f"{NUM_STREAMS} streams {ends}: /health p99 {p99_s * 1000:.0f} ms\n")
    assert NUM_STREAMS < FULL_RUN or p99_s < limit_s


@pytest.mark.timeout(600)
def test_all_are_served_where_there_is_room(tmp_path: Path) -> None:
    room = str(NUM_STREAMS + 10)
    limits = {"RUNNER_SERVER__MAX_OPEN_REQUESTS": room, "RUNNER_ENGINE__QUEUE": room}
    with serve(tmp_path, MODEL, **limits) as server:
        ends, taken_s = crowd(server.origin, num_tokens=48)
    check_health(taken_s, ends, HEALTH_P99_S)
    assert ends == {"done": NUM_STREAMS}


@pytest.mark.timeout(600)
def test_the_rest_is_told_at_once_where_there_is_not(tmp_path: Path) -> None:
    limits = {"RUNNER_SERVER__MAX_OPEN_REQUESTS": "16"}
    with serve(tmp_path, MODEL, **limits) as server:
        ends, taken_s = crowd(server.origin, num_tokens=200)
    check_health(taken_s, ends, HEALTH_P99_S)
    assert set(ends) == {"done", "429"}
    assert ends["done"] >= 16


@pytest.mark.timeout(300)
def test_a_burst_of_connections_is_answered_to_the_last(tmp_path: Path) -> None:
    """None is refused or reset: each gets its answer, or is told that there is no room."""
    with serve(tmp_path, MODEL) as server:
        process = psutil.Process(server.process.pid)
        num_fds = process.num_fds()
        [figures], taken_s = meanwhile(server.origin, ("burst", NUM_CONNECTS))
        deadline_s = time.monotonic() + 10
        while process.num_fds() > num_fds + 2:
            assert time.monotonic() < deadline_s, "connections were left open"
            time.sleep(0.05)
        assert "Traceback" not in (tmp_path / "server.log").read_text()
    sys.stderr.write(
        f"{NUM_CONNECTS} connections {figures}: /health p99 {p99_of(taken_s) * 1000:.0f} ms\n"
    )
    assert set(figures["ends"]) <= {"404", "429"}, figures
    assert sum(figures["ends"].values()) == NUM_CONNECTS
    assert NUM_CONNECTS < FULL_BURST or p99_of(taken_s) < HEALTH_P99_S


@pytest.mark.timeout(600)
def test_a_burst_beside_many_streams_disturbs_none_of_them(tmp_path: Path) -> None:
    room = str(NUM_STREAMS + NUM_CONNECTS)
    limits = {"RUNNER_SERVER__MAX_OPEN_REQUESTS": room, "RUNNER_ENGINE__QUEUE": room}
    with serve(tmp_path, MODEL, **limits) as server:
        [ends, burst], taken_s = meanwhile(
            server.origin, ("crowd", NUM_STREAMS, 48), ("burst", NUM_CONNECTS)
        )
    check_health(taken_s, ends, HEALTH_P99_S)
    assert ends == {"done": NUM_STREAMS}
    assert burst["ends"] == {"404": NUM_CONNECTS}
