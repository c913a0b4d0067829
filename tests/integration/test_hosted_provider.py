"""What providers lack, how they fail, what is sent to them and what it costs, through the server.

The server is a real process, the provider is the fake; nothing here leaves a lasting mark on the
provider's health, so that one server does for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.fakes.openrouter import TALE, THOUGHT, Scenario
from tests.integration.hosting import (
    FORMAT,
    HOSTED,
    LOCAL,
    LOOK,
    STRICT,
    THINK,
    USAGE,
    Stage,
    body,
    finishes,
    joined,
    stage,
    until,
    wire,
)

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("provider")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def nothing_is_left_to_play(there: Stage) -> Iterator[None]:
    """A misbehaviour that was queued is used up by the test that queued it."""
    yield
    assert not there.fake.queue


# what a provider lacks or does wrong


def test_thinking_that_comes_as_tags_is_moved_to_its_channel(there: Stage) -> None:
    for form in ("tags", "both"):
        there.fake.play(Scenario(reasoning=THOUGHT, reasoning_form=form))  # type: ignore[arg-type]
        message = there.whole(HOSTED, **THINK)["choices"][0]["message"]
        assert message["reasoning"].strip() == THOUGHT and message["content"] == TALE


def test_what_nobody_honours_is_named_and_strict_refuses_it(there: Stage) -> None:
    answer = there.whole(HOSTED, seed=7, extra_body={"min_p": 0.1})
    assert answer["x_route"]["ignored"] == ["min_p", "seed"]
    num_posts = len(there.fake.posts)
    for name, value in (("seed", 7), ("stop", ["x"]), ("tools", [LOOK])):
        error = there.refused(**{name: value}, extra_headers=STRICT)
        assert (error.status_code, error.param) == (400, name)
    assert there.whole(HOSTED, extra_headers=STRICT)["provider"] == "openrouter"
    assert len(there.fake.posts) == num_posts + 1


def test_an_answer_that_breaks_its_schema_is_asked_for_once_more(there: Stage) -> None:
    there.fake.play(Scenario(text="Red, I think."))
    answer = there.whole(HOSTED, response_format=FORMAT)
    assert json.loads(answer["choices"][0]["message"]["content"]) == {"colour": "red", "count": 4}
    assert answer["x_route"]["emulated"] == ["response_format", "repair"]
    assert [a["outcome"] for a in answer["x_route"]["attempts"]] == ["failed", "ok"]


@pytest.mark.parametrize("how", ["F15-rst", "F15-fin", "F15-clean"])
def test_a_stream_that_is_cut_in_plain_text_goes_on_and_names_the_seam(
    there: Stage, how: str
) -> None:
    there.fake.play(how)
    chunks = there.chunks(HOSTED, **USAGE)
    assert joined(chunks) == TALE
    assert len({chunk["id"] for chunk in chunks}) == 1 and finishes(chunks) == ["stop"]
    route = chunks[-1]["x_route"]
    [seam] = [reason for reason in route["reasons"] if reason.startswith("seam:")]
    assert "openrouter was cut after" in seam and "continued by openrouter" in seam
    assert [a["outcome"] for a in route["attempts"]] == ["cut", "ok"]
    assert chunks[-1]["usage"]["cost"] is None  # what the cut half cost is not known yet
    again = there.fake.posts[-1].json["messages"]
    assert again[-1]["role"] == "assistant" and TALE.startswith(again[-1]["content"])


def test_a_stream_cut_in_structured_output_ends_in_an_error_and_not_in_done(there: Stage) -> None:
    there.fake.play(Scenario(text='{"a": 1, "b": 2}', cut_after=2, cut_how="rst"))
    reply = there.post(CHAT, wire(stream=True, response_format={"type": "json_object"}))
    events = [json.loads(part[6:]) for part in reply.text.split("\n\n") if part]
    assert events[-1]["error"]["code"] == "upstream_error" and "[DONE]" not in reply.text
    assert not any(finishes([event]) for event in events[:-1])


def test_an_error_after_content_is_one_error_event(there: Stage) -> None:
    there.fake.play("F16-with-choice")
    with pytest.raises(openai.APIError, match="Provider disconnected"):
        there.chunks(HOSTED)
    there.fake.play("F16-with-choice")
    assert there.refused().status_code == 502
    assert there.whole(HOSTED)["x_route"]["served_by"] == "openrouter"


FAILURES = {
    "F08-500": (502, "upstream_error", 3, "Internal Server Error"),
    "F07-429-zero": (429, "upstream_rate_limited", 3, "rate limited"),
    "F05-privacy": (502, "upstream_error", 1, "[hosted] data_collection"),
    "F03-moderation": (502, "upstream_error", 1, "violence"),
    "F09-context": (400, "context_length_exceeded", 1, "shorten the prompt"),
    "F09-422": (400, None, 1, "Unprocessable"),
    "F26-redirect": (502, "upstream_error", 1, "302"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failures_have_their_status_and_no_more_tries_than_allowed(there: Stage, name: str) -> None:
    status, code, num_tries, words = FAILURES[name]
    before = len(there.fake.posts)
    there.fake.play(*[name] * num_tries)
    error = there.refused()
    assert (error.status_code, error.code) == (status, code)
    assert len(there.fake.posts) - before == num_tries
    assert words in error.message and isinstance(error.body, dict)
    assert set(error.body) >= {"message", "type", "param", "code"}
    assert ("retry-after" in error.response.headers) is (status == 429)
    assert there.whole(HOSTED)["x_route"]["attempts"][0]["outcome"] == "ok"


def test_a_passing_failure_is_tried_again_and_both_attempts_are_shown(there: Stage) -> None:
    there.fake.play("F08-502")
    route = there.whole(HOSTED)["x_route"]
    assert [a["outcome"] for a in route["attempts"]] == ["failed", "ok"]
    assert "upstream reset" in route["attempts"][0]["error"]


def test_an_answer_is_not_made_shorter_than_it_was_asked_for(there: Stage) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        there.fake.play("F02-402")  # there is money for twenty tokens
        lengths = {"max_tokens": openai.omit, name: 60}
        error = there.refused(**lengths)
        assert error.status_code == 502 and "can only afford 20" in error.message
    there.fake.play("F02-402")
    shorter = there.whole(HOSTED, max_tokens=openai.omit)
    assert shorter["usage"]["completion_tokens"] == 20
    assert shorter["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("upstream", ["F14-stall", Scenario(text="word " * 20_000)])
def test_a_client_that_leaves_closes_the_upstream_connection(there: Stage, upstream: Any) -> None:
    there.fake.play(upstream)
    asked = body(HOSTED, max_tokens=20_000)
    with there.api.chat.completions.create(**asked, stream=True) as stream:
        assert next(iter(stream)).choices[0].delta.role == "assistant"
        [entry] = there.fake.posts[-1:]
    until(lambda: entry.gone_at_s is not None, within_s=10)
    assert not entry.is_complete


# money, and who is told what


def test_explaining_a_route_sends_nothing(there: Stage) -> None:
    num_seen = there.fake.num_connections, len(there.fake.journal)
    decision = there.explain(tools=[LOOK], route="auto", max_cost_usd=0.5)
    assert decision["served_by"] == "openrouter"
    [choice] = decision["choices"]
    assert choice["emulated"] == ["tools"] and 0 < choice["cost_at_most_usd"] < 0.01
    rejected = {entry["backend"]: " ".join(entry["reasons"]) for entry in decision["rejected"]}
    assert "does not fit" in rejected["local"] and "NOUS_API_KEY" in rejected["nous"]
    assert there.explain(model=LOCAL)["served_by"] == "local"
    assert (there.fake.num_connections, len(there.fake.journal)) == num_seen


def test_a_request_may_cap_its_own_cost_and_choose_its_place(there: Stage) -> None:
    num_posts = len(there.fake.posts)
    error = there.refused(extra_body={"max_cost_usd": 0.000001})
    assert (error.status_code, error.code) == (503, "no_route")
    assert "max_cost_usd" in error.message
    error = there.refused(extra_body={"route": "local"})
    assert error.code == "no_route" and "asks for local" in error.message
    assert there.refused(LOCAL, extra_body={"route": "hosted"}).code == "no_route"
    assert len(there.fake.posts) == num_posts


def test_what_leaves_is_bounded_private_and_anonymous(there: Stage) -> None:
    there.whole(HOSTED)
    for post in there.fake.posts:
        assert post.json["max_tokens"] > 0
        assert post.json["provider"]["data_collection"] == "deny"
        assert set(post.json["provider"]["max_price"]) == {"prompt", "completion"}
        assert not {"referer", "http-referer", "x-title"} & set(post.headers)


def test_the_ledger_ends_up_equal_to_the_providers_bill(there: Stage) -> None:
    there.whole(HOSTED)
    there.fake.play("F15-rst")  # half an answer that nobody counted: looked up afterwards
    there.chunks(HOSTED)

    def is_settled() -> bool:
        used = there.usage()
        return used["cost_uncertain_usd"] == used["cost_reserved_usd"] == 0

    until(is_settled)
    usage = there.http.get("/v1/usage").json()
    assert usage["totals"]["cost_usd"] == pytest.approx(there.fake.billed_nusd / 1e9, abs=1e-12)
    rows = {row["provider"]: row["cost_usd"] for row in usage["by_provider"]}
    assert rows.get("local", 0) == 0 and rows["openrouter"] == usage["totals"]["cost_usd"]
    for part in ("model", "key", "day"):
        total = sum(row["cost_usd"] for row in usage[f"by_{part}"])
        assert total == pytest.approx(usage["totals"]["cost_usd"])
