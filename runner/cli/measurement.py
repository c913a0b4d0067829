"""Measures one model on this machine, on an engine of its own.

Owns the work that is timed and the figures made of it. Prompts are random tokens, new ones each
time, so no prefix is reused; the temperature is so high that nothing repeats and guessing ahead has
no part in the figures. Invariant: the engine is gone when the measuring is over.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import msgspec
import psutil

from runner.engine.messages import Done, Load, Output, Submit
from runner.local.pool import Order
from runner.local.process import EngineProcess
from runner.types import SamplingParams, Timings

SAMPLING = SamplingParams(temperature=5.0, seed=1, ignore_eos=True)
SHORT_PROMPT = 32


@dataclass(frozen=True, slots=True)
class Work:
    """How much is measured: tokens of the prompt and of the answer, streams at once, rounds."""

    num_prompt: int = 512
    num_tokens: int = 128
    num_streams: int = 8
    num_rounds: int = 3

    def within(self, load: Load) -> Work:
        """As much of it as the engine has room for."""
        num_prompt = max(SHORT_PROMPT, min(self.num_prompt, load.context // 2))
        return Work(
            num_prompt,
            max(2, min(self.num_tokens, load.context - num_prompt - 1)),
            max(1, min(self.num_streams, load.parallel)),
            self.num_rounds,
        )

    def stream_counts(self) -> list[int]:
        """1, 2, 4 … up to the most."""
        counts = [1]
        while counts[-1] * 2 <= self.num_streams:
            counts.append(counts[-1] * 2)
        return counts if counts[-1] == self.num_streams else [*counts, self.num_streams]


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of so many streams together."""

    streams: int
    tokens_per_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured; the median of the rounds."""

    load_s: float
    num_prompt_tokens: int
    first_token_s: float
    prompt_tokens_per_s: float
    decode: tuple[Speed, ...]
    memory_bytes: int
    num_threads: int
    has_draft: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """One answer: when it was asked for, when each token came, and the engine's own times."""

    asked_s: float
    times_s: tuple[float, ...]
    timings: Timings

    @property
    def first_token_s(self) -> float:
        """From asking to the first token."""
        return self.times_s[0] - self.asked_s

    @property
    def prompt_tokens_per_s(self) -> float:
        """Prompt tokens computed a second, by the engine's clock."""
        return self.timings.prompt_n / max(self.timings.prompt_ms / 1e3, 1e-9)


def steady_tokens_per_s(streams: Sequence[Stream]) -> float:
    """Tokens a second of all streams together, from the last one's first token to the first end.

    Where they did not all run at once, all tokens by the whole time.
    """
    start_s = max(stream.times_s[0] for stream in streams)
    stop_s = min(stream.times_s[-1] for stream in streams)
    times = [at for stream in streams for at in stream.times_s]
    if stop_s > start_s:
        return sum(start_s < at <= stop_s for at in times) / (stop_s - start_s)
    return len(times) / max(max(times) - min(stream.asked_s for stream in streams), 1e-9)


async def measure(order: Order, work: Work, tell: Callable[[str], None]) -> Figures:
    """Load the model, measure, and unload it. Raises EngineError."""
    load = order.load
    work = work.within(load)
    tell("loading")
    begun_s = time.perf_counter()
    engine = await EngineProcess.start(msgspec.structs.replace(load, prefix_folder=""))
    try:
        order.note(await engine.wait_ready())
        load_s = time.perf_counter() - begun_s
        track = _Track(engine)
        await track.run(SHORT_PROMPT, 8)
        tell(f"reading prompts of {work.num_prompt} tokens")
        prompts = [await track.run(work.num_prompt, 1) for _ in range(work.num_rounds)]
        decode = []
        for count in work.stream_counts():
            tell(f"generating {work.num_tokens} tokens in {count} at once")
            rounds = [await track.run_many(count, work.num_tokens) for _ in range(work.num_rounds)]
            decode.append(Speed(count, median(steady_tokens_per_s(one) for one in rounds)))
        return Figures(
            load_s=load_s,
            num_prompt_tokens=work.num_prompt,
            first_token_s=median(stream.first_token_s for stream in prompts),
            prompt_tokens_per_s=median(stream.prompt_tokens_per_s for stream in prompts),
            decode=tuple(decode),
            memory_bytes=_memory_of(engine.pid),
            num_threads=engine.facts.num_threads,
            has_draft=engine.facts.has_draft,
        )
    finally:
        await engine.stop()


class _Track:
    """Gives one engine work, and stamps what comes back."""

    def __init__(self, engine: EngineProcess) -> None:
        self._engine = engine
        self._random = random.Random(1)

    async def run(self, num_prompt: int, num_tokens: int) -> Stream:
        """One stream alone."""
        tokens = [self._random.randrange(self._engine.facts.num_vocab) for _ in range(num_prompt)]
        asked_s, times = time.perf_counter(), []
        timings = Timings()
        words = self._engine.generate(
            lambda stream_id: Submit(
                stream_id, [], tokens, SAMPLING, num_tokens, cache_prompt=False
            )
        )
        async for word in words:
            if isinstance(word, Output):
                times += [time.perf_counter()] * len(word.tokens)
            elif isinstance(word, Done):
                timings = word.timings
        return Stream(asked_s, tuple(times), timings)

    async def run_many(self, count: int, num_tokens: int) -> list[Stream]:
        """Several at once, with short prompts."""
        return await asyncio.gather(*(self.run(SHORT_PROMPT, num_tokens) for _ in range(count)))


def _memory_of(pid: int) -> int:
    """The process's share of main memory (shared pages by their part), mapped weights included."""
    process = psutil.Process(pid)
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return int(process.memory_info().rss)
    return int(getattr(full, "pss", 0) or full.rss)
