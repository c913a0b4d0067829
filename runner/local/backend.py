"""The local backend: a request becomes prompt text, the engine's words become events.

Owns the way through one local answer: format, turn, engine, parser. Knows no token ids and no
HTTP. Invariant: closing the iterator cancels the sequence in the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from runner.backend import BackendStatus, Embedding, Readiness
from runner.chat.format import ChatFormat, find_format, template_format
from runner.chat.turn import Turn, prepare
from runner.engine.messages import Loaded
from runner.errors import (
    BusyError,
    ContextLengthError,
    DoesNotFitError,
    EngineCrashedError,
    EngineError,
    InvalidRequestError,
    RunnerError,
    UnsupportedParameterError,
    WeightsError,
)
from runner.ledger import Call
from runner.types import ChatPrompt, Event, GenerateRequest, PromptPiece, Usage

from .answer import LocalAnswer
from .fetching import Fetcher
from .overflow import shorten
from .planning import Planner
from .pool import Pool
from .process import EngineProcess, EngineRefusalError
from .quarantine import Quarantine
from .shelf import Shelf

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the local backend is lent: shelf, planner, queue length, clock and chance.

    Without a fetcher, weights that are not here are not fetched on first use.
    """

    shelf: Shelf
    planner: Planner
    queue_length: Callable[[str], int]
    clock: Callable[[], float]
    random_seed: Callable[[], int]
    fetcher: Fetcher | None = None


class LocalBackend:
    """Answers from models on this machine."""

    name = LOCAL

    def __init__(self, pool: Pool, surroundings: Surroundings) -> None:
        self._pool = pool
        self._around = surroundings
        self._formats: dict[str, ChatFormat] = {}
        self._quarantine = Quarantine(surroundings.clock)

    def serves(self, model: str) -> bool:
        """Whether it is a model with weights, here or to be fetched."""
        if self._around.shelf.find(model) is not None:
            return True
        entry = self._around.shelf.catalogued(model)
        return entry is not None and (entry.architecture is not None or bool(entry.files))

    def status(self, model: str) -> BackendStatus:
        """What a request would meet now."""
        weights = self._around.shelf.find(model)
        if weights is None:
            return self._status_of_absent(model)
        residency = self._pool.residency(model)
        resident = self._pool.resident(model)
        engine = resident.engine if resident is not None else None
        if residency == "failed" and resident is not None:
            return BackendStatus("unavailable", resident.reason, cause="load_failed")
        if residency == "ready" and engine is not None:
            num_context = engine.facts.num_context
        else:
            try:
                num_context = self._around.planner.plan(model).context
            except WeightsError as error:
                fits = not isinstance(error, DoesNotFitError)
                cause = "load_failed" if fits else "does_not_fit"
                return BackendStatus("unavailable", str(error), cause=cause)
        readiness: Readiness = "loadable"
        if residency in ("ready", "loading"):
            readiness = "ready" if residency == "ready" else "loading"
        doubt = "" if weights.is_verified else "; its hash has not been checked"
        return BackendStatus(
            readiness,
            f"{model} is {readiness} on this machine{doubt}",
            quantization=weights.quantization,
            num_context=num_context,
            num_waiting=engine.num_streams if engine is not None else 0,
        )

    def _status_of_absent(self, model: str) -> BackendStatus:
        fetcher = self._around.fetcher
        errand = fetcher.status(model) if fetcher is not None else None
        if errand is not None:
            return errand
        try:
            prospect = self._around.planner.prospect(model)
        except DoesNotFitError as error:
            return BackendStatus("unavailable", str(error), cause="does_not_fit")
        except WeightsError as error:
            return BackendStatus("unavailable", str(error), cause="not_installed")
        would = f"the weights of {model} are not installed, but {prospect.quantization} would fit"
        readiness: Readiness = "unavailable" if fetcher is None else "loadable"
        return BackendStatus(
            readiness,
            f"{would}; runner pull {model} fetches them"
            if fetcher is None
            else f"{would} and is fetched first",
            cause="not_installed" if fetcher is None else None,
            quantization=prospect.quantization,
            num_context=prospect.context,
        )

    def awaited(self, model: str) -> str:
        """What keeps an answer from beginning: the model's fetching or loading; "" if neither."""
        return self.status(model).reason if self._pool.residency(model) == "loading" else ""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Event]:
        """As the seam has it."""
        async with aclosing(self.attempt(request, None)) as events:
            async for event in events:
                yield event

    async def attempt(self, request: GenerateRequest, call: Call | None) -> AsyncGenerator[Event]:
        """As `generate`; notes in `call` what this machine could not honour.

        When the engine dies, a new one goes on where the old one stopped: the tokens that were
        passed on are part of its prompt. A request that sees two engines die is not tried again.
        """
        self._quarantine.check(request)
        answer: LocalAnswer | None = None
        num_deaths = 0
        while True:
            try:
                async with self._pool.use(request.model, request.keep_alive_s) as engine:
                    if answer is None:
                        answer = await self._begin(request, engine, call)
                    async with aclosing(self._words(engine, answer)) as events:
                        async for event in events:
                            yield event
                    return
            except EngineCrashedError:
                num_deaths += 1
                self._quarantine.after_death(request, num_deaths)
            except EngineRefusalError as refusal:
                is_chat = isinstance(request.prompt, ChatPrompt)
                raise translate(refusal, None if is_chat else "prompt") from None

    async def _begin(
        self, request: GenerateRequest, engine: EngineProcess, call: Call | None
    ) -> LocalAnswer:
        self._check_queue(request.model, engine)
        chat_format = self.format_of(request.model, engine.facts)
        if request.overflow == "truncate_oldest" and isinstance(request.prompt, ChatPrompt):
            request = await self._shorten(request, request.prompt, engine, call)
        turn = await self._prepare(request, chat_format)
        if request.strict and turn.ignored:
            raise UnsupportedParameterError(
                f"{request.model} cannot honour {turn.ignored[0]!r}, and strict was asked for; "
                "drop the parameter or the strict header",
                param=turn.ignored[0],
            )
        if call is not None:
            call.note(ignored=turn.ignored)
            weights = self._around.shelf.find(request.model)
            call.quantization = weights.quantization if weights is not None else None
        if request.sampling.seed is None:
            sampling = replace(request.sampling, seed=self._around.random_seed())
            request = replace(request, sampling=sampling)
        return LocalAnswer(request, turn, self._around.clock)

    async def _prepare(self, request: GenerateRequest, chat_format: ChatFormat) -> Turn:
        """The turn; a template that came with weights is rendered beside the event loop."""
        if chat_format.is_foreign:
            return await asyncio.to_thread(prepare, request, chat_format)
        return prepare(request, chat_format)

    async def _shorten(
        self,
        request: GenerateRequest,
        prompt: ChatPrompt,
        engine: EngineProcess,
        call: Call | None,
    ) -> GenerateRequest:
        """The request without its oldest turns, as far as they do not fit."""
        chat_format = self.format_of(request.model, engine.facts)

        async def count(candidate: ChatPrompt) -> int:
            turn = await self._prepare(replace(request, prompt=candidate), chat_format)
            return len(await engine.tokenize(list(turn.pieces), add_begin=True))

        context = engine.facts.num_context
        answer_room = min(request.max_tokens or context // 4, context // 2)
        shortened, num_dropped = await shorten(prompt, context - answer_room - 1, count)
        if num_dropped and call is not None:
            call.reasons.append(f"the {num_dropped} oldest messages did not fit and were left out")
        return replace(request, prompt=shortened)

    async def _words(self, engine: EngineProcess, answer: LocalAnswer) -> AsyncGenerator[Event]:
        async with aclosing(engine.generate(answer.submit)) as stream:
            async for word in stream:
                for event in answer.take(word):
                    yield event
                if answer.is_finished:
                    return

    async def embed(
        self, model: str, inputs: Sequence[str | tuple[int, ...]]
    ) -> tuple[list[Embedding], Usage]:
        """One normalised vector for each input."""
        engine = await self._pool.engine(model)
        vectors, num_tokens = [], 0
        for item in inputs:
            text, tokens = (item, []) if isinstance(item, str) else ("", list(item))
            try:
                vector = await engine.embed(text, tokens)
            except EngineRefusalError as refusal:
                raise translate(refusal, "input") from None
            vectors.append(Embedding(tuple(vector.values)))
            num_tokens += vector.num_tokens
        return vectors, Usage(num_tokens, 0)

    async def tokenize(
        self, model: str, pieces: list[PromptPiece], *, add_begin: bool
    ) -> list[int]:
        """The token ids of a text in this model's vocabulary."""
        engine = await self._pool.engine(model)
        return await engine.tokenize(pieces, add_begin=add_begin)

    async def detokenize(self, model: str, tokens: list[int]) -> str:
        """The text of token ids."""
        engine = await self._pool.engine(model)
        try:
            return await engine.detokenize(tokens)
        except EngineRefusalError as refusal:
            raise translate(refusal, "tokens") from None

    async def render(self, request: GenerateRequest) -> str:
        """The prompt text of a request, as the model would get it."""
        engine = await self._pool.engine(request.model)
        turn = await self._prepare(request, self.format_of(request.model, engine.facts))
        return "".join(piece.text for piece in turn.pieces)

    def format_of(self, model: str, facts: Loaded) -> ChatFormat:
        """The model's chat format: the catalogue's, else the template in its own file."""
        if model not in self._formats:
            weights = self._around.shelf.find(model)
            if weights is not None and weights.entry.chat_format is not None:
                chosen = find_format(weights.entry.chat_format)
            elif facts.chat_template is not None:
                chosen = template_format(
                    facts.chat_template, facts.tool_template, bos=facts.bos, eos=facts.eos
                )
            else:
                chosen = find_format("chatml")
            self._formats[model] = chosen
        return self._formats[model]

    async def aclose(self) -> None:
        """Stop every engine."""
        await self._pool.aclose()

    def _check_queue(self, model: str, engine: EngineProcess) -> None:
        limit = self._around.queue_length(model)
        if engine.num_streams < limit:
            return
        status = engine.status
        speed = status.tokens_per_s if status is not None else 0.0
        wait_s = max(1.0, min(120.0, engine.num_streams * 64 / speed)) if speed > 0 else 5.0
        raise BusyError(
            f"{engine.num_streams} requests are in line for {model}; try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )


def translate(refusal: EngineRefusalError, prompt_param: str | None = None) -> RunnerError:
    """The error of our tree that the engine's refusal names.

    The engine knows one prompt; `prompt_param` is what the caller's request calls it.
    """
    if refusal.kind == "context_length":
        num_prompt, num_context, has_more = refusal.numbers
        named = prompt_param or "messages"
        return ContextLengthError(num_prompt, num_context, param=named, has_more=bool(has_more))
    if refusal.kind.startswith("invalid:"):
        named = refusal.kind.removeprefix("invalid:")
        param = prompt_param if named in ("", "prompt") else named
        return InvalidRequestError(str(refusal), param=param or named or None)
    return EngineError(str(refusal))
