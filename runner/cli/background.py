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
from typing import Any, TypeVar

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
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result. Ctrl-C cancels it, once, and waits until it has cleaned up.

        Raises:
            KeyboardInterrupt: it was cancelled and had no result to give.
        """
        outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[None]] = []
        self._loop.call_soon_threadsafe(
            lambda: tasks.append(self._loop.create_task(_settle(work, outcome)))
        )
        try:
            return outcome.result()
        except KeyboardInterrupt:
            self._loop.call_soon_threadsafe(lambda: tasks[0].cancel())
        try:
            return outcome.result()
        except concurrent.futures.CancelledError:
            raise KeyboardInterrupt from None


async def _settle(work: Coroutine[Any, Any, T], outcome: concurrent.futures.Future[T]) -> None:
    try:
        outcome.set_result(await work)
    except asyncio.CancelledError:
        outcome.cancel()
    except BaseException as error:
        outcome.set_exception(error)
