"""JSON Schema: small records that programs extract from a sentence, alone and eight at a time.

Every field is bounded, so that a model that knows nothing still comes to an end.
"""

from __future__ import annotations

import asyncio
import json
import time

from bench.client import Json, RequestFailedError
from bench.server import Running, running

from .task import Figures, Task, ask

CONTEXT = 1024
MAX_TOKENS = 256
RECORD: Json = {
    "type": "object",
    "properties": {
        "customer_name": {"type": "string", "maxLength": 16},
        "priority": {"type": "string", "enum": ["low", "normal", "high", "urgent"]},
        "number_of_items": {"type": "integer", "minimum": 0, "maximum": 999},
        "is_delivered": {"type": "boolean"},
        "shipping_method": {"type": "string", "enum": ["standard", "express", "pickup"]},
    },
    "required": [
        "customer_name",
        "priority",
        "number_of_items",
        "is_delivered",
        "shipping_method",
    ],
    "additionalProperties": False,
}


async def run(task: Task) -> Figures:
    """Seconds per object with one stream, and per object with eight streams at once."""
    count = task.scale.num_objects
    async with running(task.contender, task.setting(CONTEXT, 8)) as server:
        await _extract(server, task, "warm")
        begun_s = time.monotonic()
        lengths = [await _extract(server, task, number) for number in range(count)]
        one_s = (time.monotonic() - begun_s) / count
        begun_s = time.monotonic()
        streams = [_extract(server, task, f"{stream} of 8") for stream in range(8)]
        await asyncio.gather(*streams)
        eight_s = (time.monotonic() - begun_s) / 8
    return {
        "schema_one_s": one_s,
        "schema_eight_s": eight_s,
        "schema_tokens": sum(lengths) / count,
    }


async def _extract(server: Running, task: Task, name: object) -> int:
    """One object, checked; returns its tokens."""
    reply = await server.client.chat(
        ask(task.text(task.scale.source, name)),
        max_tokens=MAX_TOKENS,
        ignore_eos=False,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "record", "strict": True, "schema": RECORD},
        },
    )
    try:
        fields = set(json.loads(reply.text))
    except ValueError:
        fields = set()
    if fields != set(RECORD["properties"]):
        raise RequestFailedError(f"not the record that was asked for: {reply.text}")
    return reply.num_generated
