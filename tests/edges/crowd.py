"""Opens many streams at once on a server and says how each ended, as one line of JSON.

A program of its own, so that its work is not measured as the server's:
`python -m tests.edges.crowd PORT NUM_STREAMS NUM_TOKENS`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from tests.api.caller import chat_body

from .wire import request


async def stream(port: int, num_tokens: int) -> str:
    """How one stream ended: `done`, `error`, `cut`, `reset`, or the status of a refusal."""
    body = chat_body(stream=True, ignore_eos=True, max_tokens=num_tokens)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = request("/v1/chat/completions", json.dumps(body).encode(), "Connection: close")
        writer.write(head)
        begin = await reader.readline()
        tail = b""
        while data := await reader.read(65536):
            tail = (tail + data)[-4096:]
        writer.close()
    except OSError:
        return "reset"
    status = begin.split(b" ")[1:2]
    if status != [b"200"]:
        return status[0].decode() if status else "cut"
    if b"data: [DONE]" in tail:
        return "done"
    return "error" if b'data: {"error"' in tail else "cut"


async def main(port: int, num_streams: int, num_tokens: int) -> Counter[str]:
    """All streams at once."""
    return Counter(await asyncio.gather(*(stream(port, num_tokens) for _ in range(num_streams))))


if __name__ == "__main__":
    ends = asyncio.run(main(*(int(word) for word in sys.argv[1:4])))
    sys.stdout.write(json.dumps(ends) + "\n")
