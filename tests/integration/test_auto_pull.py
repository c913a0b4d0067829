"""`server.auto_pull`: a real server fetches a model when it is first asked for, or does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.integration.test_offline import WATCHER, is_near
from tests.serving import Server, serve

REPO = "maker/Model-GGUF"
ROW = """
[models.small]
title = "Small"
context = 512
chat_format = "hermes_chatml"

[models.small.architecture]
name = "llama"
num_layers = 2
hidden_size = 64
num_heads = 4
num_kv_heads = 2
head_dim = 16
ffn_size = 128
vocab_size = 512

[[models.small.files]]
repo = "maker/Model-GGUF"
name = "Model-F16.gguf"
quantization = "F16"
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    [path] = write_random_gguf(tmp_path / "Model-F16.gguf")
    (tmp_path / "runner-home").mkdir()
    (tmp_path / "runner-home" / "models.toml").write_text(ROW)
    with FakeHub() as hub:
        hub.publish(REPO, {path.name: path})
        yield hub


def settings(hub: FakeHub) -> dict[str, str]:
    return {"RUNNER_SERVER__AUTO_PULL": "true", "HF_ENDPOINT": hub.endpoint}


def ask(server: Server, **fields: object) -> httpx.Response:
    body = {"model": "small", "max_tokens": 3, "messages": [{"role": "user", "content": "hi"}]}
    return httpx.post(f"{server.url}/chat/completions", json={**body, **fields}, timeout=60)


def test_the_first_request_is_answered_by_a_model_that_was_not_here(
    tmp_path: Path, hub: FakeHub
) -> None:
    with serve(tmp_path, **settings(hub)) as server:
        listed = httpx.get(f"{server.url}/models/small").json()
        assert (listed["installed"], listed["runs"], listed["state"]) == (
            False,
            "local",
            "loadable",
        )
        assert hub.requests == []
        answer = ask(server).json()
        assert (answer["provider"], answer["x_route"]["quantization"]) == ("local", "F16")
        assert "is fetched first" in answer["x_route"]["reasons"][0]
        frames = ask(server, stream=True).text
        assert frames.rstrip().endswith("data: [DONE]")
        assert len(hub.asked("GET", "cdn")) == 1
        assert httpx.get(f"{server.url}/models/small").json()["installed"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_pull_that_fails_is_one_clear_error(tmp_path: Path, hub: FakeHub, stream: bool) -> None:
    hub.inject("api", "status", status=404, times=None)
    with serve(tmp_path, **settings(hub)) as server:
        first, second = ask(server, stream=stream), ask(server, stream=stream)
    for answer in (first, second):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (503, "no_route")
        assert "the weights of small could not be fetched: " in error["message"]
    assert "tried again in" in second.json()["error"]["message"]


def test_off_by_default(tmp_path: Path, hub: FakeHub) -> None:
    with serve(tmp_path, HF_ENDPOINT=hub.endpoint) as server:
        assert "runner pull small fetches them" in ask(server).json()["error"]["message"]
    assert hub.requests == []


def test_offline_wins_over_auto_pull(tmp_path: Path, hub: FakeHub) -> None:
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCHER)
    log = tmp_path / "watched.log"
    watched = {"PYTHONPATH": str(tmp_path / "watch"), "WATCHED": str(log)}
    with serve(tmp_path, "--offline", **settings(hub), **watched) as server:
        for stream in (False, True):
            assert ask(server, stream=stream).status_code == 503
        assert httpx.post(
            f"{server.origin}/tokenize", json={"model": "small", "content": "a"}
        ).is_error
        assert ask(server, model="hermes-tiny").status_code == 200
    assert hub.requests == []
    seen = log.read_text().splitlines() if log.exists() else []
    assert [line for line in seen if not is_near(line)] == []
    port = json.dumps(int(hub.endpoint.rpartition(":")[2]))
    assert not any(port in line for line in seen)
