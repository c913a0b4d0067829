"""Three models, room for two: everyone is answered, and nobody is unloaded without need."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.random_gguf import write_random_gguf
from tests.serving import Server, serve

MODELS = ("one", "two", "three")
MIB = 2**20


def register(home: Path) -> None:
    """Three small models of random weights in the user's own catalogue."""
    rows = []
    for seed, name in enumerate(MODELS):
        path = write_random_gguf(home / f"{name}.gguf", context=512, seed=seed)[0]
        rows.append(
            f'[models.{name}]\ntitle = "{name}"\nbundled = "{path}"\n'
            'chat_format = "hermes_chatml"\ncontext = 512\n'
        )
    (home / "runner-home").mkdir(exist_ok=True)
    (home / "runner-home" / "models.toml").write_text("\n".join(rows))


def needs_mib(server: Server) -> float:
    """What the plan says one of them takes."""
    plans = httpx.get(f"{server.origin}/v1/plan", timeout=30).json()["models"]
    sizes = [plan["total_ram_bytes"] for plan in plans if plan["id"] in MODELS]
    return float(max(sizes)) / MIB


async def ask(http: httpx.AsyncClient, model: str) -> int:
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": 8,
        "messages": [{"role": "user", "content": "hi"}],
    }
    return (await http.post("/v1/chat/completions", json=body)).status_code


@pytest.mark.timeout(180)
async def test_three_models_share_the_room_of_two(tmp_path: Path) -> None:
    register(tmp_path)
    with serve(tmp_path) as server:
        budget = int(needs_mib(server) * 2.5 * MIB)
    environment = {"RUNNER_ENGINE__MEMORY_BUDGET": str(budget)}
    with serve(tmp_path, **environment) as server:
        async with httpx.AsyncClient(base_url=server.origin, timeout=60) as http:
            for model in ("one", "two", "one", "two"):
                assert await ask(http, model) == 200
            assert loads(server) == {"one": 1, "two": 1}
            assert await ask(http, "three") == 200
            assert await ask(http, "two") == 200
            assert loads(server) == {"one": 1, "two": 1, "three": 1}
            mixed = [MODELS[n % 3] for n in range(12)]
            assert await asyncio.gather(*(ask(http, model) for model in mixed)) == [200] * 12
    assert "SIGKILL" not in (tmp_path / "server.log").read_text()


def loads(server: Server) -> dict[str, int]:
    """How often each model was loaded, by the metrics."""
    found = {}
    for line in httpx.get(f"{server.origin}/metrics", timeout=10).text.splitlines():
        if line.startswith("runner_model_loads_total{"):
            name = line.split('"')[1]
            found[name] = int(float(line.rsplit(" ", 1)[1]))
    return found
