"""Connects to a server many times at once, and says how each connection ended, as a line of JSON.

A program of its own, so that its work is not measured as the server's:
`python -m tests.edges.burst PORT NUM_CONNECTS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter

from runner.cli.server import allow_open_files

from .wire import request

ASKED = request("/v1/nowhere", b"", "Connection: close", method="GET")


async def connect(port: int) -> str:
    """How one connection ended: a status, `refused`, `reset` or `cut`."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        return f"refused: {error.strerror}"
    try:
        writer.write(ASKED)
        status = (await reader.readline()).split(b" ")[1:2]
        while await reader.read(65536):
            pass
    except OSError:
        return "reset"
    finally:
        writer.close()
    return status[0].decode() if status else "cut"


async def main(port: int, num_connects: int) -> dict[str, object]:
    """All of them at once."""
    allow_open_files()
    begun_s = time.monotonic()
    ends = Counter(await asyncio.gather(*(connect(port) for _ in range(num_connects))))
    return {"ends": ends, "elapsed_s": round(time.monotonic() - begun_s, 2)}


if __name__ == "__main__":
    figures = asyncio.run(main(*(int(word) for word in sys.argv[1:3])))
    sys.stdout.write(json.dumps(figures) + "\n")
