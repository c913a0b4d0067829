"""The fake itself: real clients can talk to it, and it does what it is told to."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.fakes.openrouter import KEY, PROFILES, TALE, WIRES, FakeOpenRouter, Scenario, Wire

MODEL = "nousresearch/hermes-4-70b"
ASK = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.usage)
async def test_the_openai_client_reads_every_wire_variant(wire: Wire) -> None:
    async with (
        FakeOpenRouter(default=Scenario(wire=wire)).serve() as fake,
        openai.AsyncOpenAI(base_url=fake.base_url, api_key=KEY, max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, max_tokens=100
        )
        text = ""
        usage = None
        async for chunk in stream:
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
            usage = chunk.usage or usage
        assert text == TALE
        assert usage and usage.completion_tokens == len(TALE.split())


async def test_the_openai_client_reads_a_whole_answer() -> None:
    async with (
        FakeOpenRouter().serve() as fake,
        openai.AsyncOpenAI(base_url=fake.base_url, api_key=KEY, max_retries=0) as client,
    ):
        answer = await client.chat.completions.create(model=MODEL, messages=ASK, max_tokens=9)
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage and answer.usage.completion_tokens == 9


async def test_catalogue_keys_and_refusals_look_like_the_real_ones() -> None:
    async with (
        FakeOpenRouter().serve() as fake,
        httpx.AsyncClient(base_url=fake.base_url) as client,
    ):
        rows = (await client.get("/models")).json()["data"]
        assert all("request" not in row["pricing"] for row in rows)
        assert (await client.get("/key")).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert (await client.get("/credits", headers=headers)).status_code == 403
        body = {"model": MODEL, "messages": ASK, "tools": [{"function": {"name": "look"}}]}
        refused = await client.post("/chat/completions", json=body, headers=headers)
        assert refused.status_code == 404
        assert "support tool use" in refused.json()["error"]["message"]
        fake.credit_nusd = 4000
        body = {"model": MODEL, "messages": ASK}
        refused = await client.post("/chat/completions", json=body, headers=headers)
        assert refused.status_code == 402
        assert "can only afford 10." in refused.json()["error"]["message"]
        control = httpx.URL(fake.base_url).copy_with(path="/__fake/journal")
        assert len((await client.get(control)).json()) == len(fake.journal)


async def test_privacy_wishes_filter_the_endpoints() -> None:
    async with (
        FakeOpenRouter().serve() as fake,
        httpx.AsyncClient(
            base_url=fake.base_url, headers={"Authorization": f"Bearer {KEY}"}
        ) as client,
    ):
        body = {"model": "nousresearch/hermes-4-405b", "messages": ASK, "max_tokens": 5}
        wish = {"data_collection": "deny", "max_price": {"prompt": 0.95}}
        refused = await client.post("/chat/completions", json=body | {"provider": wish})
        assert refused.json()["error"]["availability"]["excluded_by"] == ["max_price"]
        served = await client.post("/chat/completions", json=body | {"provider": {"zdr": True}})
        assert served.json()["provider"] == "Nebius"


@pytest.mark.parametrize("name", sorted(PROFILES))
async def test_every_profile_answers_with_its_own_model_ids(name: str) -> None:
    profile = PROFILES[name]
    async with (
        FakeOpenRouter(profile=profile).serve() as fake,
        httpx.AsyncClient(
            base_url=fake.base_url, headers={"Authorization": f"Bearer {KEY}"}
        ) as client,
    ):
        body = {"model": profile.models[0].id, "messages": ASK, "max_tokens": 5}
        answer = (await client.post("/chat/completions", json=body)).json()
        assert answer["model"] == profile.models[0].id
        assert ("cost" in answer["usage"]) == profile.names_cost
