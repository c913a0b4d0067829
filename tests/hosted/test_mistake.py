"""What contradicts itself is refused before it costs anything; what is only hard here is not."""

from __future__ import annotations

import pytest

from runner.errors import InvalidRequestError
from runner.hosted.mistake import refuse_mistakes
from runner.types import Message, ResponseFormat, Tool, ToolChoice
from tests.hosted.house import LOOK, ask, house, tell

BEGUN = (Message("user", "A tale."), Message("assistant", "Once"))
HARD = {"type": "array", "items": {"type": "string", "not": {"const": "x"}}, "uniqueItems": True}
MISTAKES = [
    ({"tool_choice": ToolChoice("required")}, "tool_choice"),
    ({"tools": (LOOK,), "tool_choice": ToolChoice("named", "hear")}, "tool_choice"),
    ({"continue_final_message": True}, "continue_final_message"),
    (
        {
            "messages": BEGUN,
            "continue_final_message": True,
            "response_format": ResponseFormat("json_schema", schema=HARD),
        },
        "continue_final_message",
    ),
]


@pytest.mark.parametrize(("fields", "param"), MISTAKES)
async def test_a_mistake_is_refused_without_asking_anybody(fields: object, param: str) -> None:
    async with house("openrouter", "nous") as setup:
        told = await tell(setup, ask(**fields))  # type: ignore[arg-type]
        assert isinstance(told.error, InvalidRequestError) and told.error.param == param
        assert not any(fake.journal for fake in setup.fakes.values())
        assert setup.ledger.left_nusd(1) == 1


@pytest.mark.parametrize("chat_format", [None, "hermes4_llama3"])
def test_what_only_this_machine_cannot_enforce_is_no_mistake(chat_format: str | None) -> None:
    tool = Tool("sort", parameters={"type": "object", "properties": {"all": HARD}})
    wish = ResponseFormat("json_schema", schema=HARD)
    for fields in (
        {"tools": (tool,), "tool_choice": ToolChoice("required")},
        {"tools": (tool,), "tool_choice": ToolChoice("named", "sort")},
        {"response_format": wish},
        {"response_format": wish, "tools": (tool,)},
        {"messages": BEGUN, "continue_final_message": True},
    ):
        refuse_mistakes(ask(**fields), chat_format)  # type: ignore[arg-type]
