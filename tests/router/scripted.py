"""Backends that do what a script says: yield events, raise errors, or wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from runner.backend import BackendStatus, Embedding
from runner.errors import RunnerError, UpstreamRateLimitedError
from runner.ledger import Call, Price, Quote, Verdict
from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    Message,
    TextDelta,
    Usage,
)

Step = Event | BaseException | float | asyncio.Event
READY = BackendStatus("ready", "loaded here", quantization="Q4_K_M")
TOO_LARGE = BackendStatus("unavailable", "needs 231 GB, has 16 GB", cause="does_not_fit")
DONE = Finished("stop", Usage(10, 3))


def chat(text: str = "hello", **fields: object) -> GenerateRequest:
    prompt = ChatPrompt((Message("user", text),))
    defaults: dict[str, object] = {"id": "r1", "model": "hermes-4-70b", "prompt": prompt}
    return GenerateRequest(**(defaults | fields))  # type: ignore[arg-type]


def says(*words: str, finish: Finished = DONE) -> list[Step]:
    return [*(TextDelta(word) for word in words), finish]


@dataclass
class ScriptedBackend:
    """Plays one script per request, the last one again and again."""

    scripts: list[Sequence[Step]]
    state: BackendStatus = READY
    name: str = "local"
    known: bool = True
    requests: list[GenerateRequest] = field(default_factory=list)
    num_open: int = 0

    def serves(self, model: str) -> bool:
        return self.known

    def status(self, model: str) -> BackendStatus:
        return self.state

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.num_open += 1
        try:
            for step in script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, asyncio.Event):
                    await step.wait()
                else:
                    yield step
        finally:
            self.num_open -= 1

    async def embed(self, model: str, inputs: object) -> tuple[list[Embedding], Usage]:
        return [], Usage(0, 0)

    async def aclose(self) -> None:
        return None


@dataclass
class ScriptedHosted(ScriptedBackend):
    """A scripted provider with a quote; failures are judged by `verdict`."""

    name: str = "openrouter"
    refusals: tuple[str, ...] = ()
    price: Price = Price(1.0, 3.0)
    verdict: Verdict = Verdict("other")
    latency_s: float | None = None
    tokens_per_s: float | None = None
    cooldown_s: float | None = None
    is_degraded: bool = False
    emulated: tuple[str, ...] = ()

    def quote(self, request: GenerateRequest) -> Quote | None:
        if not self.known:
            return None
        return Quote(
            provider=self.name,
            model_id=f"nous/{request.model}",
            max_tokens=100,
            price=self.price,
            worst_nusd=self.price.cost_nusd(100, 100),
            refusals=self.refusals,
            emulated=self.emulated,
            is_degraded=self.is_degraded,
            latency_s=self.latency_s,
            tokens_per_s=self.tokens_per_s,
            cooldown_s=self.cooldown_s,
        )

    async def attempt(self, request: GenerateRequest, call: Call) -> AsyncGenerator[Event]:
        call.begin(self.name)
        stream = self.generate(request)
        try:
            async for event in stream:
                yield event
        finally:
            await stream.aclose()

    def judge(self, error: RunnerError) -> Verdict:
        if isinstance(error, UpstreamRateLimitedError):
            return Verdict("other", is_rate_limit=True)
        return self.verdict
