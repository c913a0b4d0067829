"""An event loop on a thread of its own, so that the terminal can wait for keys meanwhile.

Owns the loop and how Ctrl-C reaches the work in it. Invariant: `run` returns only when the work
is over, stopped or not; the loop goes on either way.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Background:
    """Runs work while the caller's thread owns the terminal."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. Ctrl-C cancels it, once, and waits until it has cleaned up.

        Raises:
            KeyboardInterrupt: it was cancelled and had no result to give.
        """
        job = Job(work)
        try:
            self._loop.call_soon_threadsafe(job.begin)
            return job.outcome.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(job.stop)
        try:
            return job.outcome.result()
        except concurrent.futures.CancelledError:
            raise KeyboardInterrupt from None


class Job(Generic[T]):
    """Work on its way; its methods are called in the loop, in whatever order Ctrl-C left."""

    def __init__(self, work: Coroutine[Any, Any, T]) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._work = work
        self._task: asyncio.Task[T] | None = None

    def begin(self) -> None:
        """Start, unless it was stopped before."""
        if not self.outcome.cancelled():
            self._task = asyncio.get_running_loop().create_task(self._work)
            self._task.add_done_callback(self._finish)

    def stop(self) -> None:
        """Cancel it; where it has not begun, it never will."""
        if self._task is not None:
            self._task.cancel()
            return
        self._work.close()
        self.outcome.cancel()

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.cancel()
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


async def _end_others() -> None:
    """Cancel what still runs, and wait for it."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
