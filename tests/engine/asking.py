"""Asking an engine child directly, without the parent's chat layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.engine.messages import Done, Output, Started, Submit
from runner.local.process import EngineProcess
from runner.types import PromptPiece, SamplingParams

GREEDY = SamplingParams(temperature=0)


@dataclass(frozen=True)
class Reply:
    """One sequence's end to end."""

    text: str
    tokens: tuple[int, ...]
    num_cached: int
    reason: str


def chat_prompt(user: str, system: str | None = None) -> str:
    """ChatML as the bundled model reads it."""
    head = f"<|im_start|>system\n{system}<|im_end|>\n" if system else ""
    return f"{head}<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


async def ask(
    engine: EngineProcess,
    prompt: str,
    *,
    max_tokens: int = 64,
    sampling: SamplingParams = GREEDY,
    **more: Any,
) -> Reply:
    """Generate to the end."""

    def submit(stream_id: int) -> Submit:
        return Submit(stream_id, [PromptPiece(prompt)], [], sampling, max_tokens, **more)

    text, tokens, num_cached, reason = "", [], 0, ""
    async for word in engine.generate(submit):
        match word:
            case Started(num_cached=num_cached):
                pass
            case Output():
                text += word.text
                tokens += word.tokens
            case Done(reason=reason):
                pass
    return Reply(text, tuple(tokens), num_cached, reason)
