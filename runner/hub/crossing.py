"""From a pull, which blocks, to an event loop, which must not.

Owns the one thread of one pull. Invariant: whoever stops listening ends the pull, and what was
fetched is kept; no pull keeps the program from ending.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import suppress

from .event import PullEvent


async def in_thread(events: Iterator[PullEvent]) -> AsyncGenerator[PullEvent]:
    """The events of a pull as they come; raises what the pull raises."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[PullEvent | BaseException | None] = asyncio.Queue()
    is_unwanted = threading.Event()

    def tell(item: PullEvent | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(queue.put_nowait, item)

    def work() -> None:
        try:
            for event in events:
                if is_unwanted.is_set():
                    break
                tell(event)
            if isinstance(events, Generator):
                events.close()
            tell(None)
        except BaseException as error:
            tell(error)

    threading.Thread(target=work, name="pull", daemon=True).start()
    try:
        while (item := await queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        is_unwanted.set()
