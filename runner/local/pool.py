"""What is loaded: one engine per model, within a budget of memory, started on first use.

Owns the engines of this server, who uses them, and the memory of their failures. Invariants: for
each model there is at most one child that is starting or ready; a model in use is never unloaded;
a model that keeps dying before it has done anything is left alone for a while. An engine that met
an instruction this processor refuses is started anew without the kernels made for the processor.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from runner.engine.messages import Load, Loaded
from runner.errors import EngineLoadError

from .eviction import Occupant, choose_victims, is_expired
from .process import EngineProcess

logger = logging.getLogger(__name__)

CRASH_WINDOW_S = 60.0
MAX_CRASHES = 5
MAX_SYSTEM_KILLS = 4  # memory that ran out three restarts in a row is not there
COOL_DOWN_S = 30.0
LOST_AFTER_S = 2.0  # without a heartbeat
STUCK_AFTER_S = 30.0  # busy without a finished step

Residency = Literal["absent", "loading", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class Order:
    """What a child is told to load, the memory that takes, and who wants to know how it went."""

    load: Load
    ram_bytes: int
    keep_alive_s: float | None = None
    note: Callable[[Loaded], None] = lambda _loaded: None


@dataclass(slots=True)
class Resident:
    """One model's engine, now or lately, who uses it, and how it failed."""

    engine: EngineProcess | None = None
    loading: asyncio.Task[EngineProcess] | None = None
    ram_bytes: int = 0
    num_users: int = 0
    last_used_s: float = 0.0
    keep_alive_s: float | None = None
    futile_ends_s: deque[float] = field(default_factory=deque)
    failed_until_s: float = 0.0
    reason: str = ""
    num_crashes: int = 0
    num_loads: int = 0
    num_unloads: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether its engine takes requests."""
        return self.engine is not None and self.engine.state == "ready"


class Pool:
    """Engines by model id.

    `plan` makes the order for a child, or raises why it cannot; `capacity_bytes` is what all
    engines together may take.
    """

    def __init__(
        self,
        plan: Callable[[str], Awaitable[Order]],
        *,
        clock: Callable[[], float],
        capacity_bytes: Callable[[], int] = lambda: 1 << 62,
        start: Callable[[Load], Awaitable[EngineProcess]] = EngineProcess.start,
    ) -> None:
        self._plan = plan
        self._clock = clock
        self._capacity_bytes = capacity_bytes
        self._start = start
        self._residents: dict[str, Resident] = {}
        self._changed = asyncio.Condition()
        self._chores: set[asyncio.Task[object]] = set()
        self._closing = False
        self._trusts_kernels = True  # those for weights arranged for this very processor

    def residency(self, model: str) -> Residency:
        """Whether the model is loaded, being loaded, absent, or failing."""
        resident = self._residents.get(model)
        if resident is None:
            return "absent"
        if resident.is_ready:
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

    @asynccontextmanager
    async def use(
        self, model: str, keep_alive_s: float | None = None
    ) -> AsyncIterator[EngineProcess]:
        """A ready engine that stays loaded until the block is left, loading it if need be.

        `keep_alive_s` is how long it stays afterwards. Raises EngineLoadError.
        """
        resident = self._residents.setdefault(model, Resident())
        resident.num_users += 1
        try:
            yield await self.engine(model)
        finally:
            resident.num_users -= 1
            resident.last_used_s = self._clock()
            if keep_alive_s is not None:
                resident.keep_alive_s = keep_alive_s
            self._chore(self._tell_waiting())

    async def engine(self, model: str) -> EngineProcess:
        """A ready engine for the model, loading it if need be. Raises EngineLoadError."""
        if self._closing:
            raise EngineLoadError("the server is shutting down")
        resident = self._residents.setdefault(model, Resident())
        resident.last_used_s = self._clock()
        if resident.is_ready and resident.engine is not None:
            return resident.engine
        if self._clock() < resident.failed_until_s:
            raise EngineLoadError(f"{model} is failing and rests for a while: {resident.reason}")
        loading = resident.loading
        if loading is None:
            loading = resident.loading = asyncio.create_task(self._load(model, resident))
        try:
            return await asyncio.shield(loading)
        except asyncio.CancelledError:
            if not loading.cancelled():
                raise
            raise EngineLoadError("the server is shutting down") from None

    async def unload(self, model: str) -> bool:
        """Stop a model's engine; False when it was not loaded."""
        resident = self._residents.get(model)
        if resident is None or resident.engine is None:
            return False
        engine, resident.engine = resident.engine, None
        resident.num_unloads += 1
        await engine.stop()
        resident.ram_bytes = 0
        await self._tell_waiting()
        return True

    async def tick(self) -> None:
        """Regular care: unload what has idled too long, kill what is lost or stuck."""
        now = self._clock()
        for model, resident in list(self._residents.items()):
            if not resident.is_ready or resident.engine is None:
                continue
            trouble = resident.engine.trouble(now, LOST_AFTER_S, STUCK_AFTER_S)
            if trouble is not None:
                logger.warning("%s: killed: %s", model, trouble)
                resident.engine.kill()
            elif resident.num_users == 0 and is_expired(
                resident.last_used_s, resident.keep_alive_s, now
            ):
                await self.unload(model)

    async def aclose(self) -> None:
        """Stop every engine."""
        self._closing = True
        loads = [one.loading for one in self._residents.values() if one.loading is not None]
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        await asyncio.gather(*(self.unload(model) for model in self.models()))
        await asyncio.gather(*self._chores, return_exceptions=True)

    # -- loading ----------------------------------------------------------------------------

    async def _load(self, model: str, resident: Resident) -> EngineProcess:
        engine: EngineProcess | None = None
        try:
            order = await self._plan(model)
            await self._make_room(model, resident, order.ram_bytes)
            load = order.load
            if not self._trusts_kernels:
                load = msgspec.structs.replace(load, repack=False)
            engine = resident.engine = await self._start(load)
            resident.num_loads += 1
            resident.keep_alive_s = order.keep_alive_s
            order.note(await engine.wait_ready())
        except BaseException as error:
            resident.engine, resident.ram_bytes = None, 0
            if engine is not None:
                self._trusts_kernels &= not engine.met_illegal_instruction
            if engine is not None and engine.state != "dead":
                await engine.stop()
            if isinstance(error, EngineLoadError):
                self._note_futile_end(model, resident, engine, str(error))
            await self._tell_waiting()
            raise
        finally:
            resident.loading = None
        resident.last_used_s = self._clock()
        engine.on_death = lambda: self._on_death(model, resident, engine)
        return engine

    async def _make_room(self, model: str, resident: Resident, needed_bytes: int) -> None:
        """Unload idle models until this one fits, waiting for busy ones if it has to."""
        async with self._changed:
            while True:
                others = [
                    Occupant(name, one.ram_bytes, one.num_users, one.last_used_s)
                    for name, one in self._residents.items()
                    if one.ram_bytes and name != model
                ]
                victims = choose_victims(others, needed_bytes, self._capacity_bytes())
                if victims is not None:
                    break
                await self._changed.wait()
            resident.ram_bytes = needed_bytes
        for victim in victims:
            logger.info("%s makes room for %s", victim, model)
            await self.unload(victim)

    async def _tell_waiting(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _chore(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # -- failures ---------------------------------------------------------------------------

    def _on_death(self, model: str, resident: Resident, engine: EngineProcess) -> None:
        if resident.engine is not engine or self._closing:
            return
        resident.engine, resident.ram_bytes = None, 0
        resident.num_crashes += 1
        reason = engine.failure or "it died"
        logger.warning("%s: %s", model, reason)
        self._trusts_kernels &= not engine.met_illegal_instruction
        if not engine.has_worked:
            self._note_futile_end(model, resident, engine, reason)
        self._chore(self._tell_waiting())

    def _note_futile_end(
        self, model: str, resident: Resident, engine: EngineProcess | None, reason: str
    ) -> None:
        """It ended before it had done anything: too often in a minute, and the model rests."""
        now = self._clock()
        resident.reason = reason
        resident.futile_ends_s.append(now)
        while resident.futile_ends_s and now - resident.futile_ends_s[0] > CRASH_WINDOW_S:
            resident.futile_ends_s.popleft()
        was_killed = engine is not None and engine.was_killed_by_system
        num_ends = len(resident.futile_ends_s)
        if num_ends >= (MAX_SYSTEM_KILLS if was_killed else MAX_CRASHES):
            resident.failed_until_s = now + COOL_DOWN_S
            logger.error("%s: failed %d times: %s", model, num_ends, reason)
