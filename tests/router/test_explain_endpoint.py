"""`POST /v1/route/explain`: the decision in full, without a byte leaving."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from runner.api.chat_body import Occasion
from runner.api.route_explain import Explained, explain_router
from runner.router import Hooks, Router, Rules
from runner.types import SamplingParams
from tests.router.scripted import TOO_LARGE, ScriptedBackend, ScriptedHosted, chat, says


@dataclass
class StandInEdge:
    """As much of the edge as the endpoint uses."""

    router: Router
    services: Any = field(init=False)

    def __post_init__(self) -> None:
        self.services = SimpleNamespace(router=self.router)

    async def read(self, request: Any, model: Any) -> Any:
        return model.model_validate(await request.json())

    def occasion(self, _request: Any, model: str) -> Occasion:
        return Occasion("r", model, SamplingParams(), "", is_strict=False)


@pytest.mark.parametrize("refusals", [(), ("no key; set OPENROUTER_API_KEY",)])
async def test_the_decision_is_told_with_prices_and_reasons(refusals: tuple[str, ...]) -> None:
    local = ScriptedBackend([says("a")], state=TOO_LARGE)
    hosted = ScriptedHosted([says("b")], refusals=refusals, emulated=("tools",))
    hooks = Hooks(alternatives=lambda request: ("hermes-3-8b",))
    app = FastAPI()
    edge = StandInEdge(Router(local, (hosted,), Rules(), hooks))
    app.include_router(explain_router(edge))  # type: ignore[arg-type]
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        asked = {"model": "hermes-4-70b", "messages": [{"role": "user", "content": "hi"}]}
        body = (await client.post("/v1/route/explain", json=asked)).json()
    assert not local.requests and not hosted.requests
    entries = body["rejected"] if refusals else body["choices"]
    [shown] = [entry for entry in entries if entry["backend"] == "openrouter"]
    assert shown["cost_at_most_usd"] == pytest.approx(0.0004)
    assert shown["emulated"] == ["tools"]
    if refusals:
        assert body["served_by"] is None
        assert "set OPENROUTER_API_KEY" in body["error"]["message"]
        assert body["alternatives"] == ["hermes-3-8b"]
    else:
        assert body["served_by"] == "openrouter"
        assert body["rejected"][0]["reasons"] == ["needs 231 GB, has 16 GB"]
    assert json.dumps(body)


def test_an_explained_decision_without_hosted_offers_is_plain_json() -> None:
    decision = Router(None, (), Rules()).explain(chat())
    assert Explained(decision, ()).json()["served_by"] is None
