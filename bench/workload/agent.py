"""An agent's loop: a long system prompt, and a history that grows by an action and its result.

Every turn answers with a JSON action (the tool's name and its arguments) under a schema; the action
goes back into the history as the server gave it, followed by the tool's result. Actions are bounded
so that a model that knows nothing still comes to an end, on either server.
"""

from __future__ import annotations

import time

from bench.client import Json
from bench.server import Running, running

from .task import Figures, Task, ask, rounded

MAX_TOKENS = 160
ACTION: Json = {
    "type": "object",
    "properties": {
        "tool": {"type": "string", "enum": ["search_orders", "set_priority", "answer_customer"]},
        "arguments": {
            "type": "object",
            "properties": {
                "customer": {"type": "string", "maxLength": 24},
                "status": {"type": "string", "enum": ["open", "shipped", "returned"]},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
            },
            "required": ["customer", "status", "limit"],
            "additionalProperties": False,
        },
    },
    "required": ["tool", "arguments"],
    "additionalProperties": False,
}
FORMAT: Json = {
    "type": "json_schema",
    "json_schema": {"name": "action", "strict": True, "schema": ACTION},
}


async def run(task: Task) -> Figures:
    """Total time of one agent's turns, the first one on a prompt never seen before."""
    scale = task.scale
    room = scale.prefix + scale.prompt + scale.num_turns * (scale.tool_result + MAX_TOKENS + 32)
    async with running(task.contender, task.setting(rounded(room), 2)) as server:
        begun_s = time.monotonic()
        num_tokens = await _converse(server, task)
        wall_s = time.monotonic() - begun_s
    return {"agent_s": wall_s, "agent_tokens": num_tokens}


async def _converse(server: Running, task: Task) -> int:
    scale = task.scale
    messages = ask(task.text(scale.prompt, "question"), task.text(scale.prefix, "system"))
    num_tokens = 0
    for turn in range(scale.num_turns):
        reply = await server.client.chat(
            messages, max_tokens=MAX_TOKENS, ignore_eos=False, response_format=FORMAT
        )
        num_tokens += reply.num_generated
        result = task.text(scale.tool_result, f"result {turn}")
        messages.append({"role": "assistant", "content": reply.text})
        messages.append({"role": "tool", "tool_call_id": f"call_{turn}", "content": result})
    return num_tokens
