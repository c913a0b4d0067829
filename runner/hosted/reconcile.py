"""Looking up what an answer really cost when nobody said so in time.

Owns the questions to a provider's audit record. Invariant: a hold leaves "uncertain" only by a
cost the provider named; if it names none, it stays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import httpx

from runner.errors import OfflineError
from runner.ledger import Ledger, to_nusd

from .chunk import read_usd
from .providers import Provider

WAITS_S = (1.0, 5.0, 30.0)
MAX_BYTES = 2**18
TIMEOUT_S = 10.0
MAX_OPEN = 64


class Reconciler:
    """Settles one provider's uncertain holds, soon after and on request."""

    def __init__(
        self,
        provider: Provider,
        ledger: Ledger,
        open_client: Callable[[], httpx.AsyncClient],
        waits_s: tuple[float, ...] = WAITS_S,
    ) -> None:
        self._provider = provider
        self._ledger = ledger
        self._open_client = open_client
        self._waits_s = waits_s
        self._tasks: set[asyncio.Task[None]] = set()

    def look_up(self, hold_id: int, generation_id: str | None) -> None:
        """Ask in the background, a few times; where there is no audit record, do nothing."""
        if generation_id is None or not self._provider.names_cost:
            return
        if len(self._tasks) >= MAX_OPEN:
            return  # the next reconciliation on request finds it
        task = asyncio.get_running_loop().create_task(self._ask_later(hold_id, generation_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle_all(self) -> int:
        """Ask once for every uncertain hold of this provider; returns how many were settled."""
        num_settled = 0
        for hold in await self._ledger.uncertain():
            if hold.provider != self._provider.name or hold.generation_id is None:
                continue
            num_settled += await self._ask(hold.hold_id, hold.generation_id)
        return num_settled

    async def aclose(self) -> None:
        """Stop asking."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask_later(self, hold_id: int, generation_id: str) -> None:
        for wait_s in self._waits_s:
            await asyncio.sleep(wait_s)
            if await self._ask(hold_id, generation_id):
                return

    async def _ask(self, hold_id: int, generation_id: str) -> bool:
        cost_usd = await self._read_cost(generation_id)
        if cost_usd is None:
            return False
        self._ledger.settle(hold_id, to_nusd(cost_usd))
        return True

    async def _read_cost(self, generation_id: str) -> float | None:
        try:
            response = await self._open_client().get(
                "generation",
                params={"id": generation_id},
                headers=self._provider.headers(),
                timeout=TIMEOUT_S,
            )
            body = json.loads(response.content[:MAX_BYTES])
        except (httpx.HTTPError, ValueError, OfflineError):
            return None
        data = body.get("data") if isinstance(body, dict) else None
        if response.status_code != 200 or not isinstance(data, dict):
            return None
        return read_usd(data.get("total_cost"))
