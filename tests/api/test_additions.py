"""What the runner adds to every answer: route, timings, cost, provider, headers; and the lists."""

from __future__ import annotations

import pytest

from .caller import MODEL, Caller, chat_body

ROUTE = {
    "served_by",
    "model",
    "quantization",
    "reasons",
    "attempts",
    "emulated",
    "ignored",
    "cost_usd",
    "cost_avoided_usd",
}
TIMINGS = {
    "prompt_n",
    "prompt_ms",
    "prompt_per_second",
    "cache_n",
    "predicted_n",
    "predicted_ms",
    "predicted_per_second",
}


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_x_route_tells_who_answered_and_what_was_tried(caller: Caller, kind: str) -> None:
    answer = caller.chat() if kind == "chat" else caller.complete()
    route = answer["x_route"]
    assert set(route) == ROUTE
    assert (route["served_by"], route["model"]) == ("local", MODEL)
    (attempt,) = route["attempts"]
    assert set(attempt) == {"backend", "outcome", "error", "ms"}
    assert (attempt["backend"], attempt["outcome"], attempt["error"]) == ("local", "ok", None)
    assert route["reasons"]
    assert route["cost_usd"] == answer["usage"]["cost"] == 0
    assert answer["provider"] == "local"


@pytest.mark.parametrize("kind", ["chat", "completion"])
def test_timings_have_llama_servers_names_and_add_up(caller: Caller, kind: str) -> None:
    answer = caller.chat() if kind == "chat" else caller.complete()
    timings, usage = answer["timings"], answer["usage"]
    assert set(timings) == TIMINGS
    assert timings["prompt_n"] + timings["cache_n"] == usage["prompt_tokens"]
    assert timings["predicted_n"] == usage["completion_tokens"]
    assert timings["predicted_per_second"] > 0


def test_usage_adds_up(caller: Caller) -> None:
    usage = caller.chat()["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert set(usage["prompt_tokens_details"]) >= {"cached_tokens"}
    assert set(usage["completion_tokens_details"]) >= {"reasoning_tokens"}


@pytest.mark.parametrize("stream", [False, True])
def test_headers_name_the_server_and_the_request(caller: Caller, stream: bool) -> None:
    body = chat_body(stream=stream)
    path = "/v1/chat/completions"
    given = caller.post(path, body, {"X-Request-Id": "my-own-id"})
    assert given.headers["x-request-id"] == "my-own-id"
    assert given.headers["x-runner-served-by"] == "local"
    fresh = {caller.post(path, body).headers["x-request-id"] for _ in range(2)}
    assert len(fresh) == 2


def test_a_request_id_that_could_do_harm_is_replaced(caller: Caller) -> None:
    for bad in ("x" * 200, "tab\there"):
        response = caller.post("/v1/chat/completions", chat_body(), {"X-Request-Id": bad})
        assert response.status_code == 200
        assert response.headers["x-request-id"] != bad


@pytest.mark.parametrize("value", ["true", "1", "TRUE", "yes"])
def test_the_strict_header_is_read_generously(caller: Caller, value: str) -> None:
    headers = {"X-Runner-Strict": value}
    assert caller.post("/v1/chat/completions", chat_body(mood=1), headers).status_code == 400
    headers = {"X-Runner-Strict": "false"}
    assert caller.post("/v1/chat/completions", chat_body(mood=1), headers).status_code == 200


def test_both_chat_paths_answer(caller: Caller) -> None:
    assert caller.json("/chat/completions", chat_body())["object"] == "chat.completion"


def test_models_lists_where_each_would_run(caller: Caller) -> None:
    models = caller.http.get("/v1/models").json()
    assert models["object"] == "list"
    tiny = models["data"][0]
    assert tiny["id"] == MODEL
    assert tiny["runs"] == "local"
    for model in models["data"]:
        assert model["runs"] in ("local", "hosted", "unavailable")
        assert {"context_length", "quantization", "capabilities", "pricing"} <= set(model)


def test_one_model_is_found_by_id_and_alias(caller: Caller) -> None:
    for name in (MODEL, "tiny"):
        assert caller.http.get(f"/v1/models/{name}").json()["id"] == MODEL


def test_health_says_what_is_loaded(caller: Caller) -> None:
    caller.chat()
    health = caller.server.health()
    assert health["status"] == "ok"
    assert health["loaded"] == [MODEL]


def test_metrics_are_prometheus_text(caller: Caller) -> None:
    response = caller.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = response.text.splitlines()
    assert all(line.startswith("#") or " " in line for line in lines if line)
    assert any(line.startswith("runner_") for line in lines)
