"""The real server and those it may ask: a fake Hub with a small model, and a fake OpenRouter.

Knows no page. Nothing of the server is replaced: only the two addresses it goes out to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fakes.hub import FakeHub
from tests.fakes.openrouter import FakeOpenRouter
from tests.fakes.random_gguf import write_random_gguf
from tests.integration.hosting import Stage, fake_openrouter, stage

LOCAL = "hermes-tiny"
HOSTED = "hermes-4-405b"
SMALL = "random-small"
TITLE = "Random small"
REPO = "maker/Random-Small-GGUF"
FILE = "Random-Small-F16.gguf"
DAILY_USD, MONTHLY_USD = 0.05, 1.0
SHAPE = {
    "num_layers": 4,
    "hidden_size": 256,
    "num_heads": 8,
    "num_kv_heads": 2,
    "ffn_size": 512,
    "vocab_size": 2048,
}
CONTEXT = 2048
ROW = f"""
[models."{SMALL}"]
title = "{TITLE}"
license = "MIT"
context = {CONTEXT}
chat_format = "hermes_chatml"
capabilities = ["json"]

[models."{SMALL}".architecture]
name = "llama"
head_dim = 32
{{shape}}

[[models."{SMALL}".files]]
repo = "{REPO}"
name = "{FILE}"
quantization = "F16"
size_bytes = {{size}}
"""


@dataclass(frozen=True)
class World:
    """A server and those it may ask."""

    stage: Stage
    hub: FakeHub
    size_bytes: int

    @property
    def origin(self) -> str:
        """Where the server and its page are."""
        return self.stage.server.origin

    @property
    def fake(self) -> FakeOpenRouter:
        """The hosted provider."""
        return self.stage.fake


@contextmanager
def open_world(home: Path, **environment: str) -> Iterator[World]:
    """Everything on loopback; gone afterwards."""
    [weights] = write_random_gguf(home / FILE, context=CONTEXT, **SHAPE)
    size_bytes = weights.stat().st_size
    shape = "\n".join(f"{name} = {value}" for name, value in SHAPE.items())
    state_dir = home / "runner-home"
    state_dir.mkdir()
    (state_dir / "models.toml").write_text(ROW.format(shape=shape, size=size_bytes))
    given = {
        "RUNNER_BUDGET__DAILY_USD": str(DAILY_USD),
        "RUNNER_BUDGET__MONTHLY_USD": str(MONTHLY_USD),
    }
    with FakeHub() as hub, fake_openrouter() as fake:
        hub.publish(REPO, {FILE: weights})
        given |= {"HF_ENDPOINT": hub.endpoint, **environment}
        with stage(home, LOCAL, fake=fake, **given) as opened:
            yield World(opened, hub, size_bytes)
