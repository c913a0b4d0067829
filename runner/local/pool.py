"""What is loaded: one engine per model, started on first use and once only.

Owns the engines of this server and the memory of their failures. Invariant: for each model there
is at most one child that is starting or ready, and a model that keeps failing is left alone for a
while instead of being started again and again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from runner.engine.messages import Load
from runner.errors import EngineLoadError

from .process import EngineProcess

logger = logging.getLogger(__name__)

CRASH_WINDOW_S = 60.0
MAX_CRASHES = 5
COOL_DOWN_S = 30.0

Residency = Literal["absent", "loading", "ready", "failed"]


@dataclass(slots=True)
class Resident:
    """One model's engine, now or lately, and when it failed."""

    engine: EngineProcess | None = None
    loading: asyncio.Task[EngineProcess] | None = None
    failures_s: deque[float] = field(default_factory=deque)
    failed_until_s: float = 0.0
    reason: str = ""
    num_crashes: int = 0
    num_loads: int = 0


class Pool:
    """Engines by model id. `plan` makes the order for a child, or raises why it cannot."""

    def __init__(
        self,
        plan: Callable[[str], Awaitable[Load]],
        *,
        clock: Callable[[], float],
        start: Callable[[Load], Awaitable[EngineProcess]] = EngineProcess.start,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._start = start
        self._residents: dict[str, Resident] = {}
        self._closing = False

    def residency(self, model: str) -> Residency:
        """Whether the model is loaded, being loaded, absent, or failing."""
        resident = self._residents.get(model)
        if resident is None:
            return "absent"
        if resident.engine is not None and resident.engine.state == "ready":
            return "ready"
        if resident.loading is not None:
            return "loading"
        return "failed" if self._clock() < resident.failed_until_s else "absent"

    def resident(self, model: str) -> Resident | None:
        """What is known of a model that was asked for before."""
        return self._residents.get(model)

    def models(self) -> list[str]:
        """Every model that was asked for, in order of first use."""
        return list(self._residents)

    async def engine(self, model: str) -> EngineProcess:
        """A ready engine for the model, loading it if need be. Raises EngineLoadError."""
        if self._closing:
            raise EngineLoadError("the server is shutting down")
        resident = self._residents.setdefault(model, Resident())
        if resident.engine is not None and resident.engine.state == "ready":
            return resident.engine
        if self._clock() < resident.failed_until_s:
            raise EngineLoadError(f"{model} is failing and rests for a while: {resident.reason}")
        if resident.loading is None:
            resident.loading = asyncio.create_task(self._load(model, resident))
        return await asyncio.shield(resident.loading)

    async def unload(self, model: str) -> bool:
        """Stop a model's engine; False when it was not loaded."""
        resident = self._residents.get(model)
        if resident is None or resident.engine is None:
            return False
        engine, resident.engine = resident.engine, None
        await engine.stop()
        return True

    async def aclose(self) -> None:
        """Stop every engine."""
        self._closing = True
        loads = [
            resident.loading
            for resident in self._residents.values()
            if resident.loading is not None
        ]
        await asyncio.gather(*loads, return_exceptions=True)
        await asyncio.gather(*(self.unload(model) for model in self.models()))

    async def _load(self, model: str, resident: Resident) -> EngineProcess:
        engine: EngineProcess | None = None
        try:
            order = await self._plan(model)
            engine = await self._start(order)
            resident.num_loads += 1
            resident.engine = engine
            await engine.wait_ready()
        except EngineLoadError as error:
            self._note_failure(model, resident, str(error))
            raise
        finally:
            resident.loading = None
        engine.on_death = lambda: self._on_death(model, resident, engine)
        return engine

    def _on_death(self, model: str, resident: Resident, engine: EngineProcess) -> None:
        if resident.engine is not engine or self._closing:
            return
        resident.engine = None
        resident.num_crashes += 1
        self._note_failure(model, resident, engine.failure or "it died")

    def _note_failure(self, model: str, resident: Resident, reason: str) -> None:
        """Five failures in a minute, and the model is left alone for a while."""
        now = self._clock()
        resident.reason = reason
        resident.failures_s.append(now)
        while resident.failures_s and now - resident.failures_s[0] > CRASH_WINDOW_S:
            resident.failures_s.popleft()
        if len(resident.failures_s) >= MAX_CRASHES:
            resident.failed_until_s = now + COOL_DOWN_S
        logger.warning("%s: %s", model, reason)
