"""Every answer under a schema is an instance of it, whatever the weights would rather say."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from tests.chat.schemas import random_schema, strict_formats
from tests.fakes.random_gguf import write_random_gguf
from tests.serving import Server, serve

NUM_SCHEMAS = int(os.environ.get("RUNNER_TEST_SCHEMAS", "40"))
AT_ONCE = 4
ROW = '[models.noise]\ntitle = "noise"\nbundled = "{}"\nchat_format = "hermes_chatml"\n'
pytestmark = pytest.mark.timeout(120 + 3 * NUM_SCHEMAS)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose model knows nothing."""
    home = tmp_path_factory.mktemp("noise")
    [weights] = write_random_gguf(home / "noise.gguf", context=4096, vocab_size=2048)
    settings = home / "runner-home"
    settings.mkdir()
    (settings / "models.toml").write_text(ROW.format(weights), encoding="utf-8")
    with serve(home, "noise", "--offline") as server:
        yield server


async def answer(http: httpx.AsyncClient, gate: asyncio.Semaphore, seed: int) -> dict[str, Any]:
    schema = {"name": "answer", "schema": random_schema(seed)}
    body = {
        "model": "noise",
        "messages": [{"role": "user", "content": "go on"}],
        "temperature": 1.5,
        "seed": seed,
        "max_tokens": 3000,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
    async with gate:
        reply = await http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, (seed, reply.text)
    choice: dict[str, Any] = reply.json()["choices"][0]
    return choice


async def test_random_weights_at_high_temperature_write_valid_instances(noise: Server) -> None:
    gate = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=noise.origin, timeout=200) as http:
        choices = await asyncio.gather(*(answer(http, gate, seed) for seed in range(NUM_SCHEMAS)))
    for seed, choice in enumerate(choices):
        assert choice["finish_reason"] == "stop", (seed, random_schema(seed), choice)
        jsonschema.validate(
            json.loads(choice["message"]["content"]),
            random_schema(seed),
            format_checker=strict_formats(),
        )
