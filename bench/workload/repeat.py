"""Text that repeats its prompt, as editing and quoting do, and text that repeats nothing.

The model recites a fixed list of words. The prompt quotes that list with one word in 25 changed,
so a guess from the prompt is right until the next edit; the other prompt has the same words in
random order, so that guesses are always wrong.
"""

from __future__ import annotations

import random

from bench.server import running
from bench.vocabulary import recital

from .task import Figures, Task, ask

CONTEXT = 1024
EDIT_EVERY = 25


async def run(task: Task) -> Figures:
    """Decode speed of one stream: quoting, and not."""
    length = task.scale.output
    async with running(task.contender, task.setting(CONTEXT, 1)) as server:
        fresh = await server.client.chat(ask(task.text(length + 16, "fresh")), max_tokens=length)
        repeated = await server.client.chat(ask(_edited(task, length)), max_tokens=length)
    return {
        "fresh_decode_tok_s": fresh.decode_tok_s,
        "repeat_decode_tok_s": repeated.decode_tok_s,
        "repeat_tokens_per_piece": repeated.tokens_per_piece,
    }


def _edited(task: Task, length: int) -> str:
    """The beginning of the recital with one word in `EDIT_EVERY` replaced by a wrong one."""
    chosen = random.Random(f"{task.seed} edits")
    quoted = recital()[: length + 16]
    for place in range(EDIT_EVERY - 1, len(quoted), EDIT_EVERY):
        quoted[place] = chosen.choice(recital())
    return " ".join(quoted)
