"""Each key has its own pace: requests and tokens a minute, told in OpenAI's headers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.api.allowance import HEADERS, Allowance, Allowances, Bucket, duration
from runner.config import KeySettings, load
from runner.errors import BusyError
from tests.api.caller import MODEL, chat_body
from tests.serving import Server, serve

CHAT = "/v1/chat/completions"
RUNNER_TOML = """
[server.api_keys]
anna = "first"

[server.api_keys.ben]
key = "second"
requests_per_minute = 3

[server.api_keys.cleo]
key = "third"
tokens_per_minute = 120
"""


class Clock:
    """Time that passes when told to."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@given(
    per_minute=st.integers(1, 100_000),
    steps=st.lists(st.tuples(st.floats(0, 90), st.integers(0, 200)), max_size=60),
)
def test_nobody_gets_more_than_a_bucket_and_what_came_back(
    per_minute: int, steps: list[tuple[float, int]]
) -> None:
    clock = Clock()
    allowance = Allowance("anna", requests=Bucket(per_minute, clock))
    num_let_in, begun_s = 0, clock.now_s
    for pause_s, num in steps:
        clock.now_s += pause_s
        for _ in range(num):
            try:
                allowance.admit()
            except BusyError as error:
                assert 0 < error.retry_after_s <= 60 / per_minute + 1e-6
                break
            num_let_in += 1
    elapsed_s = clock.now_s - begun_s
    assert num_let_in <= per_minute + elapsed_s * per_minute / 60 + 1e-6


@given(per_minute=st.integers(1, 10_000), asked=st.integers(0, 50_000), took=st.integers(0, 50_000))
def test_tokens_are_held_before_and_corrected_after(per_minute: int, asked: int, took: int) -> None:
    clock = Clock()
    allowance = Allowance("anna", tokens=Bucket(per_minute, clock))
    assert allowance.tokens
    hold = allowance.hold(asked)  # a full bucket lets anything in
    assert allowance.tokens.left == per_minute - min(asked, per_minute)
    hold.settle(took)
    hold.settle(took)
    assert allowance.tokens.left == per_minute - took
    if took >= per_minute:
        with pytest.raises(BusyError, match="tokens_per_minute") as refusal:
            allowance.admit()
        clock.now_s += refusal.value.retry_after_s + 1e-6
        allowance.admit()


def test_a_clock_that_stands_still_gives_nothing_back() -> None:
    bucket = Bucket(60, Clock())
    bucket.take(60)
    assert [bucket.left for _ in range(3)] == [0, 0, 0]
    bucket.take(-1000)
    assert bucket.left == 60


def test_keys_do_not_share_and_keys_without_limits_have_none() -> None:
    keys = {"anna": KeySettings(key="a", requests_per_minute=1), "ben": KeySettings(key="b")}
    allowances = Allowances(keys, Clock())
    allowances.of("anna").admit()
    with pytest.raises(BusyError):
        allowances.of("anna").admit()
    for name in ("ben", "", "nobody"):
        for _ in range(50):
            allowances.of(name).admit()
        assert allowances.of(name).headers() == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0121, "13ms"), (1, "1s"), (1.5, "1.5s"), (59.9999, "1m0s"), (360, "6m0s")],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("keys")
    (home / "runner.toml").write_text(RUNNER_TOML)
    with serve(home, MODEL) as it:
        yield it


def post(server: Server, key: str, path: str = CHAT, **fields: Any) -> httpx.Response:
    body = fields or chat_body(max_tokens=4)
    return httpx.post(server.origin + path, json=body, headers={"X-Api-Key": key}, timeout=60)


def limits(response: httpx.Response) -> dict[str, str]:
    return {name: response.headers[name] for name in HEADERS if name in response.headers}


def test_the_requests_of_a_minute_are_counted_and_the_rest_told_when_to_come_back(
    server: Server,
) -> None:
    seen = [post(server, "second") for _ in range(3)]
    assert [one.status_code for one in seen] == [200] * 3
    assert [one.headers["x-ratelimit-remaining-requests"] for one in seen[:2]] == ["2", "1"]
    assert seen[0].headers["x-ratelimit-limit-requests"] == "3"
    assert "x-ratelimit-limit-tokens" not in seen[0].headers
    refused = post(server, "second", path="/tokenize", content="hello")
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limit_exceeded"
    assert "ben" in error["message"] and "requests_per_minute (3)" in error["message"]
    assert 1 <= int(refused.headers["retry-after"]) <= 20
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert re.fullmatch(r"[\dms.]+", refused.headers["x-ratelimit-reset-requests"])
    headers = {"X-Api-Key": "second"}
    looked = httpx.get(server.origin + "/v1/usage", headers=headers, timeout=20)
    assert looked.status_code == 200  # looking is free
    assert post(server, "first").status_code == 200  # and nobody else is held up


def test_tokens_are_those_of_the_answers(server: Server) -> None:
    answer = post(server, "third", **chat_body(max_tokens=8, ignore_eos=True))
    assert answer.status_code == 200
    used = answer.json()["usage"]["total_tokens"]
    held = int(answer.headers["x-ratelimit-remaining-tokens"])
    assert 0 < held < 120  # what it could take, and then what it took
    with httpx.stream(
        "POST",
        server.origin + CHAT,
        json=chat_body(max_tokens=60, stream=True, ignore_eos=True),
        headers={"Authorization": "Bearer third"},
        timeout=60,
    ) as stream:
        status = stream.status_code
        body = stream.read().decode()
    refused = post(server, "third", **chat_body(max_tokens=100))
    assert refused.status_code == 429, (used, held, status, body[-200:])
    assert "tokens_per_minute (120)" in refused.json()["error"]["message"]
    assert int(refused.headers["retry-after"]) >= 1
    vectors = post(server, "third", path="/v1/embeddings", model=MODEL, input="word " * 400)
    assert vectors.status_code == 429


def test_every_answer_is_one_line_of_the_log_without_its_words(server: Server) -> None:
    headers = {"X-Api-Key": "first", "X-Request-Id": "canary-id"}
    body = chat_body("a canary sits in the prompt", max_tokens=5, ignore_eos=True)
    url = server.origin + CHAT
    assert httpx.post(url, json=body, headers=headers, timeout=30).status_code == 200
    log = (server.home / "server.log").read_text()
    [line] = [
        json.loads(line[line.index("{") :]) for line in log.splitlines() if "canary-id" in line
    ]
    assert line["request_id"] == "canary-id"
    assert (line["key"], line["model"], line["outcome"]) == ("anna", MODEL, "ok")
    assert line["tokens"] > 5 and line["ms"] >= line["first_ms"] >= 0
    assert "canary sits" not in log
    assert "first" not in log.replace("first_ms", "")


def test_keys_without_limits_are_told_of_none(server: Server) -> None:
    answer = post(server, "first")
    assert answer.status_code == 200
    assert limits(answer) == {}
    assert limits(httpx.post(server.origin + CHAT, json=chat_body(), timeout=20)) == {}


def test_a_key_with_limits_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "runner.toml"
    path.write_text(RUNNER_TOML)
    keys = load(config_file=path, environ={}).settings.server.api_keys
    assert [keys[name].requests_per_minute for name in ("anna", "ben", "cleo")] == [None, 3, None]
    assert "second" not in repr(keys)
