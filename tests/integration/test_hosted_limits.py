"""What keeps a hosted request from leaving, and what never leaves or stays behind.

Each test has a server of its own: budgets, refused keys and long pauses last.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from tests.fakes.openrouter import PROFILES, Scenario
from tests.integration.hosting import (
    HOSTED,
    KEY,
    LOCAL,
    STRICT,
    Stage,
    body,
    fake_openrouter,
    stage,
    wire,
)

CANARY = "CANARY-PROMPT-7361 is a secret that only this prompt tells"
ROUND_THE_HOUR = range(3500, 3601)


def refusal(error: openai.APIStatusError) -> dict[str, Any]:
    """The error object of the contract's envelope."""
    assert isinstance(error.body, dict)
    return error.body


def test_of_five_requests_against_money_for_one_exactly_one_leaves(tmp_path: Path) -> None:
    cap_usd = 0.00072  # more than one request could cost, less than that and what it does cost

    def ask(_: int) -> tuple[int, str | None]:
        reply = capped.post("/v1/chat/completions", wire())
        return reply.status_code, reply.json().get("error", {}).get("code")

    with stage(tmp_path, RUNNER_BUDGET__DAILY_USD=str(cap_usd)) as capped:
        [choice] = capped.explain()["choices"]
        assert choice["cost_at_most_usd"] <= cap_usd < choice["cost_at_most_usd"] + 0.0001
        with ThreadPoolExecutor(5) as pool:
            outcomes = list(pool.map(ask, range(5)))
        assert sorted(outcomes, key=str) == [(200, None)] + [(503, "no_route")] * 4
        assert len(capped.fake.posts) == 1
        told = refusal(capped.refused())
        assert "daily_usd" in told["message"] and LOCAL in told["alternatives"]
        assert capped.whole(LOCAL)["provider"] == "local"
        assert capped.usage()["cost_usd"] == capped.fake.billed_nusd / 1e9


def test_money_that_was_held_when_the_server_died_is_still_held(tmp_path: Path) -> None:
    cap = {"RUNNER_BUDGET__MONTHLY_USD": "0.00072"}
    with stage(tmp_path, **cap) as first:
        first.fake.play("F14-stall")
        with first.api.chat.completions.create(**body(HOSTED), stream=True) as stream:
            next(iter(stream))
            first.server.process.kill()
            first.server.process.wait()
    with stage(tmp_path, **cap) as second:
        assert second.usage()["cost_reserved_usd"] > 0.0005
        assert "monthly_usd" in second.refused().message
        assert second.fake.posts == []


def test_without_a_key_the_error_says_what_is_missing_what_runs_and_what_it_would_cost(
    tmp_path: Path,
) -> None:
    with stage(tmp_path, OPENROUTER_API_KEY="") as keyless:
        error = keyless.refused()
        assert (error.status_code, error.code) == (503, "no_route")
        told = refusal(error)
        reasons = "\n".join(told["reasons"])
        assert "OPENROUTER_API_KEY" in reasons and "does not fit" in reasons
        assert "would have cost at most $0.000" in reasons
        assert told["alternatives"] == [LOCAL]
        assert keyless.whole(LOCAL)["provider"] == "local"
        assert keyless.explain()["error"]["message"] == told["message"]
        assert keyless.fake.journal == []


@pytest.mark.parametrize(
    ("name", "words"), [("F01-401", "check the key"), ("F02-402-nothing", "add credit")]
)
def test_a_refused_key_or_account_is_not_asked_again_and_the_words_are_shown(
    tmp_path: Path, name: str, words: str
) -> None:
    with stage(tmp_path) as refused:
        refused.fake.play(name)
        first, second = refused.refused(), refused.refused()
        assert (first.status_code, first.code) == (502, "upstream_error")
        assert (second.status_code, second.code) == (503, "no_route")
        assert words in first.message and words in " ".join(refusal(second)["reasons"])
        assert len(refused.fake.posts) == 1
        shown = refused.http.get("/v1/providers").json()["providers"]
        [row] = [row for row in shown if row["name"] == "openrouter"]
        assert row["state"] == "resting" and words in row["detail"]


def test_a_long_pause_is_passed_on_and_kept(tmp_path: Path) -> None:
    with stage(tmp_path) as limited:
        limited.fake.play("F07-429-hour")
        for _ in range(2):
            error = limited.refused()
            assert (error.status_code, error.code) == (429, "upstream_rate_limited")
            assert int(error.response.headers["retry-after"]) in ROUND_THE_HOUR
        assert len(limited.fake.posts) == 1


def test_a_cluster_of_ones_own_is_a_provider_that_costs_nothing(tmp_path: Path) -> None:
    with fake_openrouter(profile=PROFILES["nebius"]) as own:
        (tmp_path / "runner.toml").write_text(
            f'[providers.attic]\nbase_url = "{own.base_url}"\napi_key_env = "ATTIC_KEY"\n'
            f'[providers.attic.models]\n{LOCAL} = "NousResearch/Hermes-4-70B"\n'
            f'{HOSTED} = "NousResearch/Hermes-4-405B"\n'
        )
        with stage(tmp_path, ATTIC_KEY=KEY) as house:
            answer = house.whole(HOSTED)
            assert (answer["provider"], answer["usage"]["cost"]) == ("attic", 0)
            asked = {"route": "hosted"}
            assert house.whole(LOCAL, extra_body=asked)["x_route"]["served_by"] == "attic"
            assert house.whole(LOCAL)["provider"] == "local"
            long = "word " * 6000
            assert house.refused(LOCAL, text=long).code == "context_length_exceeded"
            spilled = house.whole(LOCAL, long, extra_body={"overflow": "hosted"})["x_route"]
            assert [a["backend"] for a in spilled["attempts"]] == ["local", "attic"]
            assert "context" in " ".join(spilled["reasons"])
            assert house.fake.posts == []


def leaks() -> list[Scenario | str]:
    """Providers that repeat the key and the prompt wherever they can, and failures of each kind."""
    words = f"bad key {KEY} in {CANARY}"
    error = {"code": 502, "message": words, "metadata": {"raw": words}}
    return [
        Scenario(status=400, body={"error": {"code": 400, "message": words}}),
        Scenario(status=422, body=words.encode()),
        Scenario(status=404, body={"error": {"code": 404, "message": words, "metadata": error}}),
        Scenario(error_after=3, error=error),
        Scenario(noise_after=2, noise=f"data: {words}\n\n".encode()),
        Scenario(text='{"half": ', finish="stop"),
        "F03-moderation",
        "F15-rst",
        "F26-redirect",
        "F01-401",
    ]


def everything(place: Stage, text: str) -> str:
    """What clients see of each misbehaviour, streamed and whole."""
    seen = []
    for leak in leaks():
        for stream in (False, True) if leak != "F01-401" else (False,):
            place.fake.play(leak)
            reply = place.post("/v1/chat/completions", wire(text=text, stream=stream), STRICT)
            seen.append(f"{reply.headers}{reply.text}")
    for path in ("/v1/usage", "/v1/providers", "/v1/models", "/health", "/metrics"):
        seen.append(place.http.get(path).text)
    seen.append(json.dumps(place.explain(text=text)))
    return "\n".join(seen)


def test_no_key_and_no_prompt_is_found_in_logs_errors_or_the_database(tmp_path: Path) -> None:
    with stage(tmp_path) as place:
        seen = everything(place, CANARY)
        assert len(place.fake.posts) > len(leaks())
        assert all(CANARY.encode() in post.body for post in place.fake.posts)
        assert all(post.headers["authorization"] == f"Bearer {KEY}" for post in place.fake.posts)
        assert place.whole(LOCAL)["provider"] == "local"
        engines = psutil.Process(place.server.process.pid).children(recursive=True)
        assert engines and not any(KEY in str(child.environ()) for child in engines)
        assert place.server.stop() == 0
    stored = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"server.log", "ledger.sqlite3"} <= {path.name for path in stored}
    for secret in ("CANARY", KEY, "canary-77c0"):
        assert secret not in seen
        assert not [path.name for path, data in stored.items() if secret.encode() in data]
    assert HOSTED.encode() in b"".join(stored.values())
