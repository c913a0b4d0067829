"""Names of models that want to be paths: row S1. None is a 5xx, none leads out of the store.

`RUNNER_TEST_NAMES` sets how many (60; the full run is 200).
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.api.app import create_app
from runner.config import Settings
from runner.services import Services, build
from tests.api.caller import chat_body

NUM_CASES = int(os.environ.get("RUNNER_TEST_NAMES", "60"))
PARTS = (
    "..", ".", "/", "\\", "%2e%2e", "%2f", "%00", "\x00", "etc/passwd", "~", "a", "hermes-tiny",
    ":", ":Q4_K_M", "hf.co/", "//", "\u2024\u2024", "\uff0e\uff0e\uff0f", "\u202e", "con",
    "a" * 300, " ", "\n", "$(id)", "`id`", "|", "{0}", "file://", "http://127.0.0.1/",
    "\ud83d\ude00",
)  # fmt: skip


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file outside the store, which nothing may open."""
    path = tmp_path_factory.mktemp("outside") / "secret.gguf"
    path.write_bytes(b"GGUF canary")
    return path


WATCHERS: list[list[str]] = []  # an audit hook stays for ever, so there is one for all tests


def _watch(event: str, details: tuple[object, ...]) -> None:
    if event == "open":
        for paths in WATCHERS:
            paths.append(str(details[0]))


@pytest.fixture(scope="module", autouse=True)
def hooked() -> None:
    sys.addaudithook(_watch)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Every path that is opened meanwhile."""
    paths: list[str] = []
    WATCHERS.append(paths)
    yield paths
    WATCHERS.remove(paths)


@pytest.fixture
async def services() -> Services:
    return build(Settings(offline=True))


async def test_no_name_leads_out_of_the_store(
    services: Services, secret: Path, opened: list[str]
) -> None:
    """Through every place in the API that takes a name."""
    outside = str(secret)
    names = st.one_of(
        st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join),
        st.sampled_from([outside, "../" * 20 + outside, f"hf.co/{outside}", f"file://{outside}"]),
        st.just("x" * 10_000),
    )
    tried: list[str] = []

    @settings(max_examples=NUM_CASES, database=None, suppress_health_check=list(HealthCheck))
    @given(name=names)
    def collect(name: str) -> None:
        tried.append(name)

    collect()
    transport = httpx.ASGITransport(create_app(services))
    statuses: Counter[int] = Counter()
    opened.clear()
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for name in tried:
            text = name.encode("utf-8", errors="replace").decode()
            bodies = {
                "/v1/chat/completions": chat_body(model=text, max_tokens=1),
                "/tokenize": {"model": text, "content": "x"},
                "/v1/models/load": {"model": text},
                "/v1/models/remove": {"model": text},
                "/v1/models/pull": {"model": text, "stream": False},
            }
            if "hermes-tiny" not in text:
                for path, body in bodies.items():
                    response = await client.post(path, json=body)
                    statuses[response.status_code] += 1
                    assert response.status_code < 500 or no_route(response), (path, text[:99])
                    assert response.status_code >= 400
            response = await client.get("/v1/models/" + quote(text, safe=""))
            assert response.status_code < 500
    await services.stop()
    assert not [path for path in opened if "secret.gguf" in path or path.startswith("/etc/passwd")]
    sys.stderr.write(f"S1: {len(tried)} names, {dict(statuses)}\n")


def no_route(response: httpx.Response) -> bool:
    """A refusal that says so: a repository that is not here, and no network to fetch it."""
    return response.status_code == 503 and response.json()["error"]["code"] == "no_route"
