"""The loop: load, a fault, recovery, the invariants, one line; and the verdict.

Owns the order of things. Every line says what was done, how long recovery took, and what broke.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .faults import FAULTS, Fault
from .invariants import (
    EVERY_S,
    MAX_PEAK_RSS_BYTES,
    MAX_RECOVERY_S,
    Footprint,
    Pulse,
    Trend,
    check_counts,
    check_secrets,
    check_whole_ledger,
    compare,
    footprint,
    recover,
    wait_idle,
)
from .load import Load, Pace
from .world import World, world_in

WARM_UP_S = 3.0


@dataclass(frozen=True)
class Plan:
    """How long, how much, how often: seconds in all, the load, and the calm before a fault."""

    duration_s: float
    pace: Pace = Pace()
    calm_s: tuple[float, float] = (0.5, 2.0)

    @property
    def pulse_s(self) -> float:
        """How often health is asked for; less often where the load is modest."""
        return EVERY_S if not self.pace.pause_s else 5 * EVERY_S


@dataclass
class Verdict:
    """What a run came to."""

    strikes: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)
    summary: str = ""


class Nemesis:
    """One run over one server."""

    def __init__(self, world: World, plan: Plan, tell: Callable[[str], None]) -> None:
        self.world = world
        self.plan = plan
        self.tell = tell
        self.load = Load(world, plan.pace)
        self.pulse = Pulse(world, plan.pulse_s)
        self.trend = Trend()
        self.verdict = Verdict()
        self._bag: list[Fault] = []

    async def run(self, faults: Sequence[Fault]) -> Verdict:
        """Strike until the time is over."""
        begun_s = time.monotonic()
        faults = [fault for fault in faults if fault.can_strike(self.world)]
        watching = asyncio.create_task(self.pulse.watch())
        try:
            base = await self._warm_up()
            while time.monotonic() - begun_s < self.plan.duration_s:
                await self._strike(self._next(faults), base)
            await self.load.stop()
            self._check_end(base)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._sum_up(time.monotonic() - begun_s)
        return self.verdict

    def _next(self, faults: list[Fault]) -> Fault:
        """Every fault once, in random order, then again."""
        if not self._bag:
            self._bag = self.world.chance.sample(faults, len(faults))
        return self._bag.pop()

    async def _warm_up(self) -> Footprint:
        """Load without faults, so that everything has been used once."""
        self.load.start()
        await asyncio.sleep(WARM_UP_S)
        await self.load.pause()
        await wait_idle(self.world)
        return await footprint(self.world)

    async def _strike(self, fault: Fault, base: Footprint) -> None:
        self.load.start()
        await asyncio.sleep(self.world.chance.uniform(*self.plan.calm_s))
        broken: list[str] = []
        what, taken_s = await fault.strike(self.world), 0.0
        try:
            taken_s = await recover(self.load)
            if taken_s > MAX_RECOVERY_S:
                broken.append(f"I4 recovery took {taken_s:.1f} s")
            async with asyncio.timeout(90):
                await self.load.pause()
            await wait_idle(self.world)
        except TimeoutError:
            broken.append("I4 it did not recover, or did not come to rest")
        now = await self._check(base, broken)
        self.verdict.strikes.append(fault.name)
        self.verdict.recovery_s.append(taken_s)
        self.verdict.violations += broken
        held = f"{now.num_fds} fds, {now.rss_bytes / 2**20:.0f} MiB" if now else "dead"
        self.tell(
            f"{'BROKEN' if broken else 'ok':<6} {fault.name:<9} {what}; recovered in "
            f"{taken_s:.2f} s; {held}"
        )
        for line in broken:
            self.tell(f"       {line}")

    async def _check(self, base: Footprint, broken: list[str]) -> Footprint | None:
        """Every invariant, once the server is at rest; what broke is added."""
        if self.world.server.process.poll() is not None:
            broken.append("I1 the server is gone")
            return None
        self.world.upstream.journal.clear()
        now = await footprint(self.world)
        self.trend.add(now)
        broken += compare(base, now)
        broken += check_secrets(self.world)
        broken += await check_counts(self.world, self.load.history)
        for source in (self.pulse.violations, self.load.history.violations):
            broken += source
            source.clear()
        return now

    def _check_end(self, base: Footprint) -> None:
        """What can only be told of the whole run."""
        broken = check_whole_ledger(self.world) if self.world.process.is_running() else []
        if self.pulse.peak_rss_bytes > base.rss_bytes + MAX_PEAK_RSS_BYTES:
            broken.append(f"I5 memory: {self.pulse.peak_rss_bytes / 2**20:.0f} MiB at its peak")
        for line in broken:
            self.tell(f"BROKEN {line}")
        self.verdict.violations += broken

    def _sum_up(self, elapsed_s: float) -> None:
        verdict = self.verdict
        outcomes = self.load.history.outcomes
        slowest_s = max(verdict.recovery_s, default=0.0)
        for name, count in sorted(outcomes.items()):
            self.tell(f"       {count:>6} {name}")
        verdict.summary = (
            f"{'BROKEN' if verdict.violations else 'CLEAN'}: {len(verdict.strikes)} faults in "
            f"{elapsed_s:.0f} s, {sum(outcomes.values())} requests, slowest recovery "
            f"{slowest_s:.2f} s, /health p99 {self.pulse.p99_s * 1000:.0f} ms "
            f"(and {self.pulse.starved_s:.1f} s without a core), "
            f"{self.trend.words()}, at most {self.pulse.peak_rss_bytes / 2**20:.0f} MiB and "
            f"{self.pulse.peak_fds} descriptors, "
            f"{len(verdict.violations)} violations"
        )
        self.tell(verdict.summary)


async def run(
    home: Path,
    plan: Plan,
    seed: int,
    tell: Callable[[str], None],
    faults: Sequence[Fault] = FAULTS,
) -> Verdict:
    """A server of its own, struck for so long."""
    async with world_in(home, random.Random(seed), plan.duration_s) as world:
        return await Nemesis(world, plan, tell).run(faults)
