"""Somebody sets the clock, forwards or back, in the middle of everything: row C1.

Nothing that waits may notice; what is written down has the new date.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.api.caller import MODEL, Caller, chat_body, engine_of
from tests.serving import Server, serve

from .clock import MovableClock, movable_clock

CHAT = "/v1/chat/completions"
HOUR_S, DAY_S = 3600, 86400
RUNNER_TOML = """
[server.api_keys.anna]
key = "first"
requests_per_minute = 4
"""


@pytest.fixture(scope="module")
def clocked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, MovableClock]]:
    """A server whose clock can be moved."""
    home = tmp_path_factory.mktemp("clock")
    clock = movable_clock(home)
    if clock is None:
        pytest.skip("there is no compiler for the clock here")
    environment = clock.environment
    with serve(home, MODEL, RUNNER_ENGINE__TTL_S="900", **environment) as server:
        yield server, clock


@pytest.fixture(autouse=True)
def right_again(clocked: tuple[Server, MovableClock]) -> Iterator[None]:
    clocked[1].move(0)
    yield
    clocked[1].move(0)


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, DAY_S, -DAY_S])
def test_an_answer_goes_on_whatever_the_clock_does(
    clocked: tuple[Server, MovableClock], jump_s: int
) -> None:
    server, clock = clocked
    pid = engine_of(server)["pid"]
    body = chat_body(stream=True, ignore_eos=True, max_tokens=250)
    begun_s = time.monotonic()
    with httpx.stream("POST", server.origin + CHAT, json=body, timeout=60) as stream:
        pieces = stream.iter_text()
        raw = next(pieces)
        clock.move(jump_s)
        raw += "".join(pieces)
    assert raw.endswith("data: [DONE]\n\n")
    assert '"finish_reason":"length"' in raw
    time.sleep(1.0)  # two rounds of the care for engines
    assert engine_of(server)["pid"] == pid  # neither lost, nor stuck, nor idle for too long
    assert httpx.get(server.origin + "/health", timeout=10).status_code == 200
    sys.stderr.write(f"C1: {jump_s:+} s in a stream of {time.monotonic() - begun_s:.2f} s\n")


def test_the_books_have_the_date_that_the_clock_had(
    clocked: tuple[Server, MovableClock],
) -> None:
    server, clock = clocked
    caller = Caller(server)
    for days in (0, 40, -40, 0):
        clock.move(days * DAY_S)
        caller.chat(max_tokens=2)
        day = (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")
        rows = caller.http.get("/v1/usage").json()["by_day"]
        assert [row["requests"] for row in rows if row["day"] == day] != []
    caller.http.close()


def test_no_minute_is_won_by_setting_the_clock(tmp_path: Path) -> None:
    clock = movable_clock(tmp_path)
    if clock is None:
        pytest.skip("there is no compiler for the clock here")
    (tmp_path / "runner.toml").write_text(RUNNER_TOML)
    headers = {"X-Api-Key": "first"}
    with serve(tmp_path, MODEL, **clock.environment) as server:

        def statuses(num: int) -> list[int]:
            body = {"model": MODEL, "content": "word"}
            url = server.origin + "/tokenize"
            return [
                httpx.post(url, json=body, headers=headers, timeout=30).status_code
                for _ in range(num)
            ]

        begun_s = time.monotonic()
        first = statuses(5)
        if time.monotonic() - begun_s < 10:  # on a machine that is not quite overwhelmed
            assert first == [200] * 4 + [429]
        for jump_s in (DAY_S, -DAY_S):
            clock.move(jump_s)
            num_back = (time.monotonic() - begun_s) * 4 / 60
            assert statuses(6).count(200) <= num_back + 2
