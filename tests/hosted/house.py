"""A small house for tests: a catalogue, a ledger, fakes with their backends, and a router."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date

from runner.backend import BackendStatus
from runner.catalog import Catalog, Entry, HostedOffer
from runner.config import HostedSettings, ProviderSettings
from runner.egress import Egress
from runner.errors import RunnerError
from runner.hosted import HostedBackend, House, build_backends
from runner.ledger import Budget, Ledger
from runner.router import Answer, Hooks, Router, Rules
from runner.types import (
    ChatPrompt,
    Event,
    Finished,
    GenerateRequest,
    Message,
    ReasoningDelta,
    TextDelta,
    Tool,
    ToolCallDelta,
)
from tests.fakes.openrouter import KEY, PROFILES, FakeOpenRouter, Scenario
from tests.router.scripted import ScriptedBackend

DATED = date(2026, 9, 24)
HERMES_4 = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "response_format",
    "reasoning",
    "include_reasoning",
)
TOO_LARGE = BackendStatus("unavailable", "needs 231 GB, has 16 GB", cause="does_not_fit")
PATIENT = HostedSettings(
    connect_timeout_s=60, first_token_timeout_s=60, idle_timeout_s=60, total_timeout_s=90
)
IMPATIENT = HostedSettings(
    connect_timeout_s=5, first_token_timeout_s=0.5, idle_timeout_s=0.5, total_timeout_s=5
)
NEVER = 10**9  # the audit record comes only where a test asks for it
SOUND = Scenario()
UNCAPPED = Budget()
DEFAULT_RULES = Rules()
LOOK = Tool(
    "look",
    "Look at something",
    {
        "type": "object",
        "properties": {"at": {"type": "string"}},
        "required": ["at"],
    },
)
KEYS = {"openrouter": "OPENROUTER_API_KEY", "nous": "NOUS_API_KEY"}


def offer(provider: str, model_id: str, prompt: float, completion: float, **more: object) -> object:
    return HostedOffer(
        provider=provider,
        id=model_id,
        prompt_usd_per_mtok=prompt,
        completion_usd_per_mtok=completion,
        as_of=DATED,
        context=131_072,
        **more,  # type: ignore[arg-type]
    )


def catalogue() -> Catalog:
    both = ("tools", "reasoning", "json")
    return Catalog(
        [
            Entry(
                id="hermes-4-405b",
                title="Hermes 4 405B",
                capabilities=both,  # type: ignore[arg-type]
                hosted=(
                    offer("openrouter", "nousresearch/hermes-4-405b", 1, 3, parameters=HERMES_4),
                    offer("nous", "Hermes-4-405B", 0.09, 0.37, has_tools=False),
                    offer(
                        "nebius",
                        "NousResearch/Hermes-4-405B",
                        1,
                        3,
                        has_tools=True,
                        has_json_schema=True,
                        max_output=8192,
                    ),
                    offer("chutes", "NousResearch/Hermes-4-405B-FP8-TEE", 0.3, 1.2),
                ),  # type: ignore[arg-type]
            ),
            Entry(
                id="hermes-4-70b",
                title="Hermes 4 70B",
                capabilities=both,  # type: ignore[arg-type]
                hosted=(
                    offer(
                        "openrouter", "nousresearch/hermes-4-70b", 0.13, 0.4, parameters=HERMES_4
                    ),
                ),  # type: ignore[arg-type]
            ),
            Entry(id="hermes-3-8b", title="Hermes 3 8B"),
        ]
    )


def ask(text: str = "Tell me a tale of a fox.", **fields: object) -> GenerateRequest:
    """A chat request; `given` is filled in from the fields."""
    chat_fields = {
        name: fields.pop(name)
        for name in ("tools", "tool_choice", "parallel_tool_calls", "continue_final_message")
        if name in fields
    }
    messages = fields.pop("messages", None) or (Message("user", text),)
    defaults: dict[str, object] = {
        "id": f"req-{time.monotonic_ns()}",
        "model": "hermes-4-405b",
        "prompt": ChatPrompt(messages, **chat_fields),  # type: ignore[arg-type]
        "max_tokens": 200,
        "given": frozenset(fields) | frozenset(chat_fields),
    }
    return GenerateRequest(**(defaults | fields))  # type: ignore[arg-type]


class Clock:
    """Real seconds, and those that were skipped."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.skipped_s


@dataclass
class Setup:
    """Everything a test may want to look at."""

    router: Router
    ledger: Ledger
    backends: dict[str, HostedBackend]
    fakes: dict[str, FakeOpenRouter]
    sleeps: list[float] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    @property
    def fake(self) -> FakeOpenRouter:
        return next(iter(self.fakes.values()))


@dataclass(frozen=True)
class Told:
    """What came out of one request."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finished: Finished | None = None
    error: RunnerError | None = None
    answer: Answer | None = None

    @property
    def reasons(self) -> str:
        assert self.answer is not None
        return " | ".join(self.answer.route.snapshot().reasons)


def gather(events: Iterable[Event], **more: object) -> Told:
    """Join events as a client would."""
    text = reasoning = ""
    calls: dict[int, list[str]] = {}
    finished = None
    for event in events:
        assert finished is None, "an event came after the last one"
        match event:
            case TextDelta(text=piece):
                text += piece
            case ReasoningDelta(text=piece):
                reasoning += piece
            case ToolCallDelta(index=index, name=name, arguments=arguments):
                known = calls.setdefault(index, [name or "", ""])
                known[1] += arguments
            case Finished():
                finished = event
    named = tuple((name, arguments) for name, arguments in calls.values())
    return Told(text, reasoning, named, finished, **more)  # type: ignore[arg-type]


async def tell(setup: Setup, request: GenerateRequest, **more: float) -> Told:
    """Ask, and join what comes; errors are part of the answer."""
    events: list[Event] = []
    answer = None
    try:
        answer = await setup.router.answer(request, **more)
        async for event in answer.events:
            events.append(event)
    except RunnerError as error:
        return gather(events, error=error, answer=answer)
    finally:
        if answer is not None:
            await answer.aclose()
    return gather(events, answer=answer)


@asynccontextmanager
async def house(
    *names: str,
    default: Scenario = SOUND,
    settings: HostedSettings = PATIENT,
    budget: Budget = UNCAPPED,
    rules: Rules = DEFAULT_RULES,
    key: str = KEY,
    offline: bool = False,
    local: ScriptedBackend | None = None,
    ledger: Ledger | None = None,
) -> AsyncIterator[Setup]:
    """Fakes for the named providers (OpenRouter alone by default), and a router over them."""
    async with AsyncExitStack() as stack:
        fakes = {}
        for name in names or ("openrouter",):
            fake = FakeOpenRouter(profile=PROFILES[name], default=default, generation_after=NEVER)
            fakes[name] = await stack.enter_async_context(fake.serve())
        environ = {f"{name.upper()}_API_KEY": key for name in fakes if key}
        urls = {name: ProviderSettings(base_url=fake.base_url) for name, fake in fakes.items()}
        own = ledger or Ledger.open(None, budget)
        stack.callback(own.close)
        clock = Clock()
        lent = House(catalogue(), settings, Egress(offline=offline), own, clock)
        backends = build_backends(urls, environ, lent)
        sleeps: list[float] = []

        async def no_sleep(delay_s: float) -> None:
            sleeps.append(delay_s)
            await asyncio.sleep(0)

        hooks = Hooks(
            alternatives=lambda request: ("hermes-3-8b",), on_answered=own.record, sleep=no_sleep
        )
        router = Router(local, backends, rules, hooks)
        stack.push_async_callback(router.aclose)
        named = {backend.name: backend for backend in backends}
        yield Setup(router, own, named, fakes, sleeps, clock)
