"""A stream that was cut goes on elsewhere, from here to there and from there to here."""

from __future__ import annotations

import pytest

from runner.backend import BackendStatus
from runner.errors import EngineCrashedError, UpstreamError
from runner.router import Rules
from runner.types import Finished, ResponseFormat, TextDelta, Usage
from tests.fakes.openrouter import FAULTS, TALE, WIRES, Scenario, Wire
from tests.hosted.house import LOOK, ask, house, tell
from tests.router.scripted import ScriptedBackend, says

SCHEMA = {"type": "object", "properties": {name: {"type": "string"} for name in "abc"}}
CRASHES_LEAVE = Rules(fallback_on=frozenset({"does_not_fit", "crashed"}))
BUSY = BackendStatus("ready", "the queue is full", cause="busy")


@pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.usage)
async def test_a_crash_here_goes_on_at_a_provider(wire: Wire) -> None:
    begun = [TextDelta(TALE[:50]), EngineCrashedError("signal 9; try again")]
    local = ScriptedBackend([begun])
    default = Scenario(wire=wire)
    async with house(local=local, rules=CRASHES_LEAVE, default=default) as setup:
        told = await tell(setup, ask())
        assert told.text == TALE
        assert told.finished and told.finished.reason == "stop"
        assert "seam: local was cut after 50 characters" in told.reasons
        assert setup.fake.posts[0].json["messages"][-1] == {
            "role": "assistant",
            "content": TALE[:50],
        }


async def test_a_cut_there_goes_on_here() -> None:
    rest = says(TALE[len("Once upon a time a quick") :], finish=Finished("stop", Usage(20, 30)))
    local = ScriptedBackend([rest], state=BUSY)
    rules = Rules(fallback_on=frozenset({"busy"}), max_attempts=1)
    async with house(local=local, rules=rules) as setup:
        setup.fake.play(Scenario(cut_after=6, cut_how="rst"))
        told = await tell(setup, ask())
        assert told.text == TALE
        assert told.answer
        assert [a.backend for a in told.answer.route.attempts] == ["openrouter", "local"]
        assert told.finished and told.finished.usage.cost_usd is None  # the first half's is unknown


@pytest.mark.parametrize("repeated", [TALE[30:50], TALE[:50]], ids=["its-last-words", "all-of-it"])
async def test_a_host_that_repeats_itself_is_not_heard_twice(repeated: str) -> None:
    begun = [TextDelta(TALE[:50]), EngineCrashedError("signal 9; try again")]
    local = ScriptedBackend([begun])
    async with house(local=local, rules=CRASHES_LEAVE) as setup:
        setup.fake.play(Scenario(text=repeated + TALE[50:]))
        assert (await tell(setup, ask())).text == TALE


@pytest.mark.parametrize("how", ["F15-fin", "F15-rst", "F15-clean", "F15-unterminated"])
async def test_where_the_seam_is_not_plain_text_the_cut_is_an_error(how: str) -> None:
    document = ResponseFormat("json_schema", schema=SCHEMA)
    for fields in ({"tools": (LOOK,)}, {"response_format": document}):
        async with house("nebius") as setup:
            fault = FAULTS[how]
            setup.fake.play(fault, fault, fault)
            told = await tell(setup, ask(**fields))
            assert told.finished is None
            assert isinstance(told.error, UpstreamError)


async def test_continuing_can_be_switched_off() -> None:
    async with house(rules=Rules(continue_streams=False)) as setup:
        setup.fake.play("F15-fin")
        told = await tell(setup, ask())
        assert isinstance(told.error, UpstreamError)
        assert len(setup.fake.posts) == 1
        assert "continue_streams is off" in told.reasons
