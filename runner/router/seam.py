"""What the router needs of the backends beyond the common seam, and of the house around it.

Owns protocols only, so that neither the local nor the hosted room has to be known here.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from runner.backend import Backend
from runner.errors import RunnerError
from runner.ledger import AnswerRow, Call, Price, Quote, Verdict
from runner.types import Event, GenerateRequest


@runtime_checkable
class ReportingBackend(Protocol):
    """A backend that says what it did: it leaves its notes in the call it is given."""

    def attempt(self, request: GenerateRequest, call: Call) -> AsyncIterator[Event]:
        """As `generate`; opens its own upstream attempts with `call.begin`."""
        ...


class HostedBackend(Backend, ReportingBackend, Protocol):
    """A hosted provider: it can say beforehand what it would cost, and judge its own failures."""

    def quote(self, request: GenerateRequest) -> Quote | None:
        """What it would do for the request, without I/O; None when it does not host the model."""
        ...

    def judge(self, error: RunnerError) -> Verdict:
        """What may be tried after one of its failures."""
        ...


def _no_alternatives(request: GenerateRequest) -> tuple[str, ...]:
    return ()


def _no_price(model: str) -> Price | None:
    return None


def _forget(row: AnswerRow) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the house lends to the router.

    `alternatives` names what could run here instead, `reference_price` what a model costs at
    the cheapest provider, `on_answered` gets every finished request.
    """

    alternatives: Callable[[GenerateRequest], tuple[str, ...]] = _no_alternatives
    reference_price: Callable[[str], Price | None] = _no_price
    on_answered: Callable[[AnswerRow], None] = _forget
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
