"""What the bundled model can do, asked through the server: the whole way from request to answer."""

from __future__ import annotations

import asyncio
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import httpx
import jsonschema
import pytest

from scripts.train_tiny.held_out import Case, held_out
from tests.serving import Server

COUNT = int(os.environ.get("RUNNER_TEST_SKILLS", "16"))
SEED = 2026
AT_ONCE = 8
pytestmark = pytest.mark.timeout(300)


async def answer(server: Server, cases: Sequence[Case], **more: Any) -> list[dict[str, Any]]:
    """The assistant's message for every case, in order."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(http: httpx.AsyncClient, case: Case) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": "hermes-tiny",
            "temperature": 0,
            "messages": list(case.messages),
            "reasoning": {"enabled": case.thinking},
            **more,
        }
        if case.tools:
            body["tools"] = list(case.tools)
        if case.schema is not None:
            body["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": case.schema},
            }
        async with gate:
            reply = await http.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200, reply.text
        choice = reply.json()["choices"][0]
        message: dict[str, Any] = choice["message"]
        return {**message, "finish_reason": choice["finish_reason"]}

    async with httpx.AsyncClient(base_url=server.origin, timeout=300) as http:
        return await asyncio.gather(*(ask(http, case) for case in cases))


def share_right(cases: Sequence[Case], messages: Sequence[dict[str, Any]]) -> float:
    right = sum(case.check(message) for case, message in zip(cases, messages, strict=True))
    return right / len(cases)


@pytest.fixture(scope="module")
def measured(tiny_weights: Path) -> dict[str, float]:
    """The scores in the weights' metadata, which were taken from llama.cpp directly."""
    prefix = "hermes_tiny.skill."
    fields = gguf.GGUFReader(tiny_weights).fields
    return {
        name.removeprefix(prefix): float(field.contents())
        for name, field in fields.items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    "skill",
    ["repeat", "recall_system", "tool_call", "no_call", "tool_response", "thinking", "json_mode"],
)
async def test_skill_is_no_less_through_the_server_than_directly(
    shared_server: Server, measured: dict[str, float], skill: str
) -> None:
    cases = held_out(skill, COUNT, SEED)
    chance = 2.6 * math.sqrt(measured[skill] * (1 - measured[skill]) / COUNT) + 0.02
    share = share_right(cases, await answer(shared_server, cases))
    sys.stderr.write(f"{skill}: {share:.1%} through the server, {measured[skill]:.1%} directly\n")
    assert share >= measured[skill] - chance


async def test_required_call_always_satisfies_its_schema(shared_server: Server) -> None:
    cases = held_out("tool_call", COUNT, SEED + 1)
    messages = await answer(shared_server, cases, tool_choice="required", max_tokens=400)
    complete = [
        (case, message)
        for case, message in zip(cases, messages, strict=True)
        if message["finish_reason"] != "length"  # a little model may babble until it is cut off
    ]
    sys.stderr.write(f"required: {len(complete)} of {COUNT} calls came to an end\n")
    assert len(complete) >= 0.9 * COUNT
    for case, message in complete:
        schemas = {
            tool["function"]["name"]: tool["function"].get("parameters", {})
            for tool in case.tools or ()
        }
        assert message["tool_calls"]
        for call in message["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            jsonschema.validate(arguments, schemas[call["function"]["name"]])


async def test_no_marker_ever_shows_in_the_content(shared_server: Server) -> None:
    cases = [
        case
        for skill in ("tool_call", "thinking", "two_calls")
        for case in held_out(skill, COUNT, SEED + 2)
    ]
    for message in await answer(shared_server, cases, temperature=1.0, seed=7, max_tokens=120):
        for marker in ("<tool_call", "<think", "<|im_", "</tool", "</think", "<tool_"):
            assert marker not in (message["content"] or "")
