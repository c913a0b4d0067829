"""Several answers to one prompt as one stream of indexed events.

Owns opening them together and closing them together; `n` is one for most requests. Watches the
client: when it goes away before the response has begun, everything is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self, TypeVar

from fastapi import Request
from starlette.exceptions import HTTPException

from runner.router import Answer
from runner.router.record import RouteSnapshot
from runner.types import Event, GenerateRequest

from .edge import Edge, Observation

Result = TypeVar("Result")
CLIENT_CLOSED = 499


class Choices:
    """Open answers, in order of their index. A context manager: leaving it closes them all."""

    def __init__(self, answers: list[Answer], observation: Observation) -> None:
        self._answers = answers
        self._observation = observation

    @property
    def count(self) -> int:
        """How many answers there are."""
        return len(self._answers)

    @property
    def provider(self) -> str:
        """Who is answering."""
        return self._answers[0].served_by

    def route(self) -> RouteSnapshot:
        """The route of the answers, as far as it is known: the first one's, with all the costs."""
        snapshots = [answer.route.snapshot() for answer in self._answers]
        return replace(
            snapshots[0],
            attempts=tuple(attempt for one in snapshots for attempt in one.attempts),
            cost_usd=_total(one.cost_usd for one in snapshots),
            cost_avoided_usd=_total(one.cost_avoided_usd for one in snapshots),
        )

    def headers(self) -> dict[str, str]:
        """The headers of the response."""
        return {"X-Runner-Served-By": self.provider, "X-Request-Id": self._observation.request_id}

    async def events(self) -> AsyncGenerator[tuple[int, Event]]:
        """Every answer's events as they come."""
        async with contextlib.aclosing(_merge(self._answers)) as merged:
            async for index, event in merged:
                self._observation.see(event, self.provider)
                yield index, event
        self._observation.succeed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.gather(*(answer.aclose() for answer in self._answers), return_exceptions=True)
        self._observation.end(error)


def _total(costs: Iterable[float | None]) -> float | None:
    """The sum, None where a part of it is not known."""
    known = list(costs)
    return None if None in known else sum(cost for cost in known if cost is not None)


async def _merge(answers: list[Answer]) -> AsyncGenerator[tuple[int, Event]]:
    if len(answers) == 1:
        async for event in answers[0].events:
            yield 0, event
        return
    queue: asyncio.Queue[tuple[int, Event | BaseException | None]] = asyncio.Queue(maxsize=64)

    async def pump(index: int, answer: Answer) -> None:
        try:
            async for event in answer.events:
                await queue.put((index, event))
            await queue.put((index, None))
        except Exception as error:
            await queue.put((index, error))

    tasks = [asyncio.create_task(pump(*item)) for item in enumerate(answers)]
    try:
        num_open = len(tasks)
        while num_open:
            index, item = await queue.get()
            if item is None:
                num_open -= 1
            elif isinstance(item, BaseException):
                raise item
            else:
                yield index, item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def open_choices(
    edge: Edge, request: Request, wanted: Sequence[GenerateRequest], count: int
) -> Choices:
    """Start `count` answers to each request, in order; answers to one request are neighbours.

    With a seed each answer has its own, counted up from it.
    """
    requests = [with_own_seed(item, index) for item in wanted for index in range(count)]
    observation = edge.observe(requests)
    opening = [asyncio.ensure_future(edge.services.router.answer(one)) for one in requests]
    try:
        await while_connected(request, asyncio.gather(*opening))
    except BaseException as error:
        for task in opening:
            task.cancel()
        for outcome in await asyncio.gather(*opening, return_exceptions=True):
            if isinstance(outcome, Answer):
                await outcome.aclose()
        observation.end(error)
        raise
    return Choices([task.result() for task in opening], observation)


def with_own_seed(wanted: GenerateRequest, index: int) -> GenerateRequest:
    """The request for answer number `index`."""
    seed = wanted.sampling.seed
    if seed is None or index == 0:
        return wanted
    return replace(wanted, sampling=replace(wanted.sampling, seed=(seed + index) & 0xFFFFFFFF))


async def while_connected(request: Request, work: Awaitable[Result]) -> Result:
    """Await, but give up as soon as the client has gone. Raises HTTPException 499."""
    task = asyncio.ensure_future(work)
    watch = asyncio.create_task(_until_disconnected(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(CLIENT_CLOSED, "the client went away")
        return task.result()
    finally:
        for running in (task, watch):
            if not running.done():
                running.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)


async def _until_disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
