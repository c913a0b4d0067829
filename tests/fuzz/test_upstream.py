"""A host that says anything at all: every answer ends, and none that failed looks complete (U3).

`RUNNER_TEST_SSE` sets how many streams (40; the full run is 2000).
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil

from runner.api.app import create_app
from runner.config import Settings
from runner.services import build
from tests.api.caller import chat_body
from tests.fakes.openrouter import KEY, FakeOpenRouter, Scenario

import pytest  # isort: skip

NUM_CASES = int(os.environ.get("RUNNER_TEST_SSE", "40"))
HOSTED = "hermes-4-405b"
LIMIT_S = 15.0
MAX_GROWTH_BYTES = 64 * 2**20
MIB = 2**20
CHUNK = '{"id":"g","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
BITS = (
    b"data: ", b"data:", b"\n\n", b"\r\n\r\n", b"\r", b":\n", b": OPENROUTER PROCESSING\n\n",
    b"event: error\n", b"id: 1\n", b"[DONE]", b"data: [DONE]\n\n", b"\xff\xfe", b"\x00", b"{}",
    b"[]",
    b"null", b"1e999", b'{"choices":null}', b'{"choices":[null]}', b'{"choices":[{"delta":7}]}',
    b'{"choices":[{"index":-1,"delta":{"content":"x"}}]}', b'{"error":"no"}',
    b'{"error":{"code":null}}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":9999999}]}}]}', b'{"usage":{"cost":"many"}}',
    b'{"choices":[{"delta":{"content":["x"]},"finish_reason":7}]}', b"[" * 2000, b'{"a":' * 2000,
    b'{"choices":[{"index":0,"delta":{"content":"\\ud800"},"finish_reason":"stop"}]}',
    b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":-5}}',
    b"x" * 70_000, b'{"usage":{"completion_tokens":1e30,"cost":1e30}}', CHUNK.encode(),
)  # fmt: skip


def noise(chance: random.Random) -> bytes:
    """Pieces of events in no order, some of them bent."""
    pieces = []
    for _ in range(chance.randint(1, 12)):
        piece = bytearray(chance.choice(BITS))
        if piece and chance.random() < 0.15:
            piece[chance.randrange(len(piece))] = chance.randrange(256)
        is_event = chance.random() < 0.6
        pieces.append(b"data: " + bytes(piece) + b"\n\n" if is_event else bytes(piece))
    return b"".join(pieces)


def check(response: httpx.Response, is_stream: bool) -> str:
    """How it ended; fails where it looks like something it is not."""
    if response.status_code != 200:
        error = response.json()["error"]
        assert response.status_code in (429, 502, 503), response.text[:300]
        return f"{response.status_code} {error['code']}"
    if not is_stream:
        assert all(one["finish_reason"] for one in response.json()["choices"])
        return "whole"
    events = [line[6:] for line in response.text.split("\n\n") if line.startswith("data: ")]
    if events[-1] == "[DONE]":
        chunks = [json.loads(event) for event in events[:-1]]
        reasons = [one["finish_reason"] for chunk in chunks for one in chunk["choices"]]
        assert sum(reason is not None for reason in reasons) == 1
        return "stream"
    assert set(json.loads(events[-1])) == {"error"}, events[-1][:300]
    assert "[DONE]" not in response.text.rpartition('{"error"')[2]
    return "cut"


@pytest.mark.timeout(120 + NUM_CASES)
async def test_whatever_a_host_says_an_answer_ends_and_never_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    outcomes: Counter[str] = Counter()
    slowest_s, process = 0.0, psutil.Process()
    hosted = {"first_token_timeout_s": 1, "idle_timeout_s": 1, "total_timeout_s": 5}
    fake = FakeOpenRouter(credit_nusd=10**18)
    async with fake.serve():
        monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
        monkeypatch.setenv("OPENROUTER_BASE_URL", fake.base_url)
        for round_ in range(0, NUM_CASES, 4):  # a fresh house, before its breaker opens
            services = build(Settings.model_validate({"home": tmp_path / "home", "hosted": hosted}))
            transport = httpx.ASGITransport(create_app(services))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost", timeout=60
            ) as client:
                for seed in range(round_, min(NUM_CASES, round_ + 4)):
                    chance = random.Random(seed)
                    is_stream = chance.random() < 0.6
                    fake.default = Scenario(noise_after=chance.randint(0, 6), noise=noise(chance))
                    body = chat_body(model=HOSTED, stream=is_stream, route="hosted")
                    begun_s = time.monotonic()
                    response = await client.post("/v1/chat/completions", json=body)
                    slowest_s = max(slowest_s, time.monotonic() - begun_s)
                    outcomes[check(response, is_stream)] += 1
                    assert slowest_s < LIMIT_S, seed
            await services.stop()
            if round_ == 0:
                before = process.memory_info().rss
    grown = process.memory_info().rss - before
    sys.stderr.write(
        f"{NUM_CASES} hosts: {dict(outcomes)}, the slowest {slowest_s:.2f} s, "
        f"{grown / MIB:+.0f} MiB\n"
    )
    assert grown < MAX_GROWTH_BYTES
