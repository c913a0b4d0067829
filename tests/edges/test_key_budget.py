"""A key that has spent its share gets nothing hosted any more; what runs here it still gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.integration.hosting import HOSTED, LOCAL, Stage, stage, wire

RUNNER_TOML = """
[server.api_keys.anna]
key = "sesame-of-anna"
daily_usd = 0.000001

[server.api_keys]
ben = "sesame-of-ben"
"""


def ask(place: Stage, key: str, model: str = HOSTED, **fields: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return place.post("/v1/chat/completions", wire(model, **fields), headers)


def test_hosted_spending_is_capped_for_each_key(tmp_path: Path) -> None:
    (tmp_path / "runner.toml").write_text(RUNNER_TOML)
    with stage(tmp_path) as place:
        refused = ask(place, "sesame-of-anna")
        assert refused.status_code == 503
        error = refused.json()["error"]
        assert error["code"] == "no_route"
        assert any("[server.api_keys.anna] daily_usd" in reason for reason in error["reasons"])
        assert len(place.fake.posts) == 0
        streamed = ask(place, "sesame-of-anna", stream=True)
        assert (streamed.status_code, streamed.json()["error"]["code"]) == (503, "no_route")
        assert ask(place, "sesame-of-anna", LOCAL).status_code == 200
        paid = ask(place, "sesame-of-ben")
        assert paid.status_code == 200
        assert paid.json()["usage"]["cost"] > 0
        assert len(place.fake.posts) == 1
        rows = place.http.get("/v1/usage", headers={"X-Api-Key": "sesame-of-ben"}).json()["by_key"]
        spent = {row["key"]: row["cost_usd"] for row in rows}
        assert spent["anna"] == 0
        assert spent["ben"] > 0
        assert "sesame" not in (tmp_path / "server.log").read_text()
