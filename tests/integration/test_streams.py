"""A real server, the real `openai` client, many streams at once."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.fakes.slow_model import ONE_THREAD, SLOW, install_slow_model
from tests.serving import Server, serve

PROMPTS = [f"count from {start} to {start + 40}" for start in range(1, 9)]


def client(server: Server) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0)


async def stream(
    api: openai.AsyncOpenAI, prompt: str, *, arrivals: list[float] | None = None, **more: Any
) -> tuple[str, list[float]]:
    """The text of one streamed answer, and when its pieces came; into a list that is given."""
    text, arrivals = "", [] if arrivals is None else arrivals
    opened = await api.chat.completions.create(
        model="hermes-tiny",
        messages=[{"role": "user", "content": prompt}],
        temperature=0,
        stream=True,
        **{"max_tokens": 200, **more},
    )
    async for chunk in opened:
        if chunk.choices and chunk.choices[0].delta.content:
            text += chunk.choices[0].delta.content
            arrivals.append(time.monotonic())
    return text, arrivals


async def test_eight_streams_interleave_and_equal_their_answers_alone(
    shared_server: Server,
) -> None:
    endless = {"extra_body": {"ignore_eos": True}, "max_tokens": 400}
    async with client(shared_server) as api:
        alone = [(await stream(api, prompt, **endless))[0] for prompt in PROMPTS]
        together = await asyncio.gather(*(stream(api, prompt, **endless) for prompt in PROMPTS))
    assert [text for text, _ in together] == alone
    latest_start = max(arrivals[0] for _, arrivals in together)
    earliest_end = min(arrivals[-1] for _, arrivals in together)
    assert latest_start < earliest_end


async def test_thirty_two_clients_on_eight_slots_all_finish(shared_server: Server) -> None:
    async with client(shared_server) as api:
        alone = {prompt: (await stream(api, prompt))[0] for prompt in PROMPTS}
        answers = await asyncio.gather(*(stream(api, prompt) for prompt in PROMPTS * 4))
    assert [text for text, _ in answers] == [alone[prompt] for prompt in PROMPTS * 4]


def open_stream(server: Server, body: dict[str, Any]) -> socket.socket:
    """A raw connection that has sent a streaming request."""
    host, port = server.origin.removeprefix("http://").split(":")
    data = json.dumps({"stream": True, **body}).encode()
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\n"
        b"Content-Length: " + str(len(data)).encode() + b"\r\n\r\n" + data
    )
    return connection


def engine_figures(server: Server, model: str) -> dict[str, Any]:
    engines = server.health()["engines"]
    assert isinstance(engines, list)
    return next((engine for engine in engines if engine["model"] == model), {})


def wait_until(server: Server, model: str, running: int, timeout_s: float) -> float:
    """Seconds until the engine runs that many sequences."""
    begun = time.monotonic()
    while engine_figures(server, model).get("running") != running:
        assert time.monotonic() - begun < timeout_s, engine_figures(server, model)
        time.sleep(0.01)
    return time.monotonic() - begun


@pytest.fixture(scope="module")
def slow_server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with a model large enough that its prompts take seconds."""
    home = tmp_path_factory.mktemp("slow")
    install_slow_model(home)
    with serve(home, SLOW, *ONE_THREAD) as server:
        yield server


def test_client_that_goes_away_frees_its_slot_within_half_a_second(slow_server: Server) -> None:
    body = {
        "model": SLOW,
        "ignore_eos": True,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": "hi"}],
    }
    connection = open_stream(slow_server, body)
    connection.recv(4096)
    wait_until(slow_server, SLOW, 1, 5)
    connection.close()
    assert wait_until(slow_server, SLOW, 0, 3) <= 0.5 + 0.25  # plus one heartbeat to see it


def test_client_that_goes_away_during_its_prompt_frees_its_slot_too(slow_server: Server) -> None:
    body = {"model": SLOW, "messages": [{"role": "user", "content": "x " * 3500}]}
    connection = open_stream(slow_server, body)
    wait_until(slow_server, SLOW, 1, 5)
    connection.close()
    assert wait_until(slow_server, SLOW, 0, 3) <= 0.5 + 0.25  # plus one heartbeat to see it


def test_sigterm_ends_the_server_with_exit_code_zero(tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        assert httpx.get(f"{server.origin}/health").status_code == 200
        assert server.stop() == 0
