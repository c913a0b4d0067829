"""Picks who answers a request and hands out the answer's events.

Owns the decision and its record. Knows backends only by their protocol, and no HTTP. Invariant:
an answer is handed out only after its first event, or after a set time without one; errors
before that are raised, so nothing was sent that a later choice could contradict.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

from runner.backend import Backend
from runner.ledger import Call
from runner.types import Event, GenerateRequest

from .journey import Journey
from .policy import Decision, Rules, decide, no_route, why_not_here
from .record import RouteRecord
from .seam import Hooks, HostedBackend

HEADERS_AFTER_S = 10.0


class Answer:
    """One answer on its way: its events, and the route it takes.

    Closing it cancels whoever is answering. `route` is final after the last event.
    """

    def __init__(
        self,
        route: RouteRecord,
        journey: AsyncGenerator[Event],
        first: asyncio.Task[Event | None],
    ) -> None:
        self.route = route
        self._journey = journey
        self._first = first
        self.events: AsyncIterator[Event] = self._events()

    @property
    def served_by(self) -> str:
        """Who is answering, as far as is known by now."""
        return self.route.served_by

    async def _events(self) -> AsyncGenerator[Event]:
        try:
            first = await self._first
            if first is None:
                return
            yield first
            async for event in self._journey:
                yield event
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Cancel whatever still runs and give everything back; may be called twice."""
        if not self._first.done():
            self._first.cancel()
        await asyncio.gather(self._first, return_exceptions=True)
        await self._journey.aclose()


class Router:
    """Chooses between this machine and the hosted providers."""

    def __init__(
        self,
        local: Backend | None,
        hosted: Sequence[HostedBackend],
        rules: Rules,
        hooks: Hooks | None = None,
    ) -> None:
        self._local = local
        self._hosted = tuple(hosted)
        self._rules = rules
        self._hooks = hooks or Hooks()
        self._backends: dict[str, Backend] = {backend.name: backend for backend in hosted}
        if local is not None:
            self._backends[local.name] = local

    def explain(self, request: GenerateRequest) -> Decision:
        """The route a request would take now; no inference, no byte sent."""
        serves = self._local is not None and self._local.serves(request.model)
        status = self._local.status(request.model) if self._local and serves else None
        quotes = [backend.quote(request) for backend in self._hosted]
        return decide(
            request, status, [quote for quote in quotes if quote is not None], self._rules
        )

    def alternatives(self, request: GenerateRequest) -> tuple[str, ...]:
        """What could run on this machine instead."""
        return self._hooks.alternatives(request)

    async def answer(
        self, request: GenerateRequest, *, headers_after_s: float = HEADERS_AFTER_S
    ) -> Answer:
        """Answer a request; returns once its first event is there, or `headers_after_s` passed.

        Raises:
            NoRouteError: nobody may answer.
            RunnerError: everyone who might have answered failed before the first event.
        """
        decision = self.explain(request)
        if not decision.choices:
            raise no_route(decision, self._hooks.alternatives(request))
        call = Call(request.id, self._rules.max_attempts, self._hooks.clock)
        record = RouteRecord(decision, call, request.model, served_by=decision.choices[0].backend)
        record.reasons.extend(why_not_here(decision))
        journey = Journey(request, record, self._backends, self._rules, self._hooks).events()
        first = asyncio.create_task(_first_of(journey))
        answer = Answer(record, journey, first)
        try:
            await asyncio.wait({first}, timeout=headers_after_s)
        except asyncio.CancelledError:
            await answer.aclose()
            raise
        if first.done():
            first.result()
        return answer

    async def aclose(self) -> None:
        """Close every backend."""
        for backend in self._backends.values():
            await backend.aclose()


async def _first_of(journey: AsyncGenerator[Event]) -> Event | None:
    return await anext(journey, None)
