"""A request that saw two engines die is kept from engines for a while, and only that one."""

from __future__ import annotations

from typing import Any

import pytest

from runner.errors import EngineCrashedError
from runner.local.quarantine import KEPT_S, Quarantine
from runner.types import ChatPrompt, GenerateRequest, Message


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def request(content: str = "hi", **template: Any) -> GenerateRequest:
    prompt = ChatPrompt((Message("user", content),), template_kwargs=template)
    return GenerateRequest(id=content, model="hermes-tiny", prompt=prompt)


def test_second_death_keeps_a_request_from_engines_until_its_time_is_over() -> None:
    clock = Clock()
    quarantine = Quarantine(clock)
    quarantine.after_death(request(), 1)
    quarantine.check(request())
    with pytest.raises(EngineCrashedError, match="twice"):
        quarantine.after_death(request(), 2)
    with pytest.raises(EngineCrashedError, match="twice"):
        quarantine.check(request())
    quarantine.check(request("something else"))
    clock.now_s += KEPT_S
    quarantine.check(request())


@pytest.mark.parametrize("value", [-(2**63) - 1, 2**70, 1.5, None, ["\x00", {"a": 2**64}]])
def test_whatever_json_can_say_can_be_remembered(value: Any) -> None:
    quarantine = Quarantine(Clock())
    quarantine.check(request(a=value))
    with pytest.raises(EngineCrashedError):
        quarantine.after_death(request(a=value), 2)
