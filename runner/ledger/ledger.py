"""The ledger as the event loop sees it: one thread, one connection, many callers.

Owns the queue in front of the file. Whoever holds money waits for the disk; whoever only reports
does not. Invariant: what waits together is committed together, and a broken disk never stops an
answer from this machine (hosted is refused then, if a cap is set).
"""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runner.errors import BudgetError, RunnerError

from .answer import AnswerRow
from .budget import Budget, Cap, Spent, caps_of, caps_of_key, left_nusd, over_budget, why_over
from .store import HoldRequest, Sample, Store, Uncertain
from .usage import UsageReport, usage_since

T = TypeVar("T")
MAX_BATCH = 256
FILE_NAME = "ledger.sqlite3"
log = logging.getLogger(__name__)


class LedgerError(RunnerError):
    """The ledger's file cannot be read or written, or it is closed."""


@dataclass(slots=True)
class _Job:
    """One piece of work for the thread; `must_last` waits for the disk itself."""

    work: Callable[[Store], object]
    done: Future[object]
    must_last: bool


class Ledger:
    """Everything that is counted. Open it with `Ledger.open`, end it with `close`."""

    def __init__(self, store: Store, trouble: str | None = None) -> None:
        self._store = store
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._spent = store.spent()
        self._spent_by: dict[str, Spent] = {}
        self._past = tuple(store.samples())
        self.trouble = trouble
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls, folder: Path | None, budget: Budget, clock: Callable[[], float] = time.time
    ) -> Ledger:
        """Open the file in `folder`; where that is impossible, count in memory and say so."""
        if folder is None:
            return cls(Store(None, budget, clock))
        path = folder / FILE_NAME
        try:
            return cls(Store(path, budget, clock))
        except (OSError, sqlite3.Error) as error:
            trouble = f"the ledger {path} cannot be used ({error}); make room or fix its rights"
            log.warning("%s; counting in memory only", trouble)
            return cls(Store(None, budget, clock), trouble)

    @property
    def budget(self) -> Budget:
        """The caps."""
        return self._store.budget

    def cap_keys(self, budgets: Mapping[str, Budget]) -> None:
        """Cap what each of these API keys may spend, beside the caps on everybody together."""
        self._store.key_budgets = {name: one for name, one in budgets.items() if one.is_set}
        self._submit(lambda store: None)  # whose commit adds up what they have spent

    def left_nusd(self, request_cap_nusd: int | None, key: str = "") -> int | None:
        """The most a new request may cost, as of the last commit; None without any cap."""
        return left_nusd(self._caps(request_cap_nusd, key))

    def why_over(
        self, amount_nusd: int | None, request_cap_nusd: int | None, key: str = ""
    ) -> str | None:
        """Why a new request of that cost would be refused, as of the last commit."""
        caps = self._caps(request_cap_nusd, key)
        if self.trouble is not None and caps:
            return f"{self.trouble}; hosted requests need it while a budget is set"
        return why_over(caps, amount_nusd)

    def _caps(self, request_cap_nusd: int | None, key: str) -> list[Cap]:
        """Every cap on a new request of that key, with what counted against it at last."""
        caps = caps_of(self.budget, self._spent, request_cap_nusd)
        if key in self._store.key_budgets:
            spent = self._spent_by.get(key, Spent())
            caps += caps_of_key(key, self._store.key_budgets[key], spent)
        return caps

    async def reserve(self, wanted: HoldRequest) -> int:
        """Hold money before a request leaves; with a cap set, returns when that is on disk.

        Raises:
            BudgetError: it does not fit, or it cannot be written down while a cap is set.
        """
        hold_id = secrets.randbits(62)  # ours, so that an uncapped hold need not be waited for
        is_capped = bool(self._caps(wanted.request_cap_nusd, wanted.tenant))
        if self.trouble is not None and is_capped:
            raise over_budget(f"{self.trouble}; it is needed while a budget is set")
        held = self._submit(lambda store: store.reserve(hold_id, wanted), must_last=is_capped)
        if is_capped:
            await self._wait_for(held, hold_id)
        return hold_id

    async def _wait_for(self, held: Future[None], hold_id: int) -> None:
        waiting = asyncio.wrap_future(held)
        try:
            await asyncio.shield(waiting)
        except asyncio.CancelledError:
            self.release(hold_id)  # the caller is gone; the queue keeps the order
            waiting.add_done_callback(_look_away)
            raise
        except sqlite3.Error as error:
            raise over_budget(f"the ledger cannot be written ({error})") from None

    def settle(self, hold_id: int, cost_nusd: int) -> None:
        """The provider named the real cost."""
        self._submit(lambda store: store.settle(hold_id, cost_nusd))

    def release(self, hold_id: int) -> None:
        """Nothing was billed."""
        self._submit(lambda store: store.release(hold_id))

    def doubt(self, hold_id: int, generation_id: str | None = None) -> None:
        """Something may have been billed; the money stays held at its worst case."""
        self._submit(lambda store: store.doubt(hold_id, generation_id))

    def record(self, row: AnswerRow) -> None:
        """Keep one finished client request; never waits and never fails."""
        self._submit(lambda store: store.record(row))

    def sample(self, sample: Sample) -> None:
        """Keep one health sample; never waits and never fails."""
        self._submit(lambda store: store.sample(sample))

    def past_samples(self) -> tuple[Sample, ...]:
        """The health samples that earlier runs left behind, oldest first."""
        return self._past

    async def usage(self, since_s: float = 0.0) -> UsageReport:
        """Everything since a moment, aggregated."""
        return await self._ask(lambda store: usage_since(store.connection, since_s))

    async def uncertain(self) -> list[Uncertain]:
        """Every hold whose real cost is not known yet."""
        return await self._ask(lambda store: store.uncertain())

    async def flush(self) -> None:
        """Wait until everything reported so far is committed."""
        await self._ask(lambda store: None)

    def close(self) -> None:
        """Commit what is waiting and close the file."""
        self._jobs.put(None)
        self._thread.join()
        self._store.connection.close()

    async def _ask(self, work: Callable[[Store], T]) -> T:
        try:
            return await asyncio.wrap_future(self._submit(work))
        except sqlite3.Error as error:
            raise LedgerError(f"the ledger cannot be used ({error}); check the disk") from None

    def _submit(self, work: Callable[[Store], T], *, must_last: bool = False) -> Future[T]:
        done: Future[T] = Future()
        if not self._thread.is_alive():
            done.set_exception(LedgerError("the ledger is closed; start the server again"))
            return done
        self._jobs.put(_Job(work, done, must_last))  # type: ignore[arg-type]  # jobs of every T share a queue
        return done

    def _run(self) -> None:
        """The thread: take everything that waits, do it in one transaction, tell the callers."""
        is_closing = False
        while not is_closing:
            batch = [self._jobs.get()]
            while len(batch) < MAX_BATCH and not self._jobs.empty():
                batch.append(self._jobs.get())
            is_closing = None in batch
            jobs = [job for job in batch if job is not None]
            if jobs:
                self._commit(jobs)

    def _commit(self, jobs: list[_Job]) -> None:
        connection = self._store.connection
        results: list[tuple[_Job, object, BaseException | None]] = []
        try:
            is_lasting = any(job.must_last for job in jobs)
            connection.execute(f"PRAGMA synchronous = {'FULL' if is_lasting else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            results = [(job, *self._do(job)) for job in jobs]
            self._spent = self._store.spent()
            self._spent_by = {key: self._store.spent_by(key) for key in self._store.key_budgets}
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(jobs) > 1:  # find out whose fault it was
                for job in jobs:
                    self._commit([job])
                return
            log.warning("the ledger could not write: %s; make room on the disk", error)
            results = [(job, None, error) for job in jobs]
        for job, value, fault in results:
            if fault is None:
                job.done.set_result(value)
            else:
                job.done.set_exception(fault)

    def _do(self, job: _Job) -> tuple[object, BaseException | None]:
        """One job inside its own savepoint, so that it alone is undone when it fails."""
        connection = self._store.connection
        connection.execute("SAVEPOINT job")
        try:
            value = job.work(self._store)
        except (BudgetError, sqlite3.Error) as error:
            if not connection.in_transaction:
                raise  # a full disk undoes everything
            connection.execute("ROLLBACK TO job")
            connection.execute("RELEASE job")
            return None, error
        connection.execute("RELEASE job")
        return value, None


def _look_away(waiting: asyncio.Future[None]) -> None:
    """The outcome was seen, though nobody wants it any more."""
    if not waiting.cancelled():
        waiting.exception()
