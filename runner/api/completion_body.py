"""The body of `POST /v1/completions`, and the requests it stands for: one for each prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from runner.errors import InvalidRequestError, UnsupportedParameterError
from runner.types import GenerateRequest, ResponseFormat, SamplingParams, TextPrompt, TokenPrompt

from .chat_body import GenerationBody

MAX_PROMPTS = 64


class CompletionBody(GenerationBody):
    """The body of a text completion."""

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    def requests(
        self, request_id: str, model: str, defaults: SamplingParams, tenant: str, *, strict: bool
    ) -> list[GenerateRequest]:
        """What is asked for, one request a prompt. Raises InvalidRequestError."""
        self._refuse_unsupported()
        sampling = self.sampling(defaults)
        if self.logprobs is not None:
            sampling = replace(sampling, logprobs=self.logprobs)
        base = GenerateRequest(
            id=request_id,
            model=model,
            prompt=TextPrompt(""),
            sampling=sampling,
            max_tokens=self.max_tokens or 16,
            stop=self.stops(),
            response_format=ResponseFormat("grammar", grammar=self.grammar)
            if self.grammar
            else ResponseFormat(),
            route=self.route or "auto",
            max_cost_usd=self.max_cost_usd,
            overflow=self.overflow or "error",
            cache_prompt=self.cache_prompt is not False,
            keep_alive_s=self.keep_alive_s(),
            provider=self.provider or {},
            tenant=tenant,
            strict=strict,
            given=frozenset(self.model_fields_set),
        )
        return [replace(base, prompt=prompt) for prompt in self._prompts()]

    def _prompts(self) -> list[TextPrompt | TokenPrompt]:
        given = self.prompt
        if isinstance(given, str):
            given = [given]
        if given and all(isinstance(item, int) for item in given):
            given = [[item for item in given if isinstance(item, int)]]
        if not given or len(given) > MAX_PROMPTS:
            raise InvalidRequestError(f"send 1 to {MAX_PROMPTS} prompts", param="prompt")
        prompts: list[TextPrompt | TokenPrompt] = []
        for item in given:
            if not item:
                raise InvalidRequestError("a prompt is empty", param="prompt")
            is_text = isinstance(item, str)
            prompts.append(TextPrompt(item) if is_text else TokenPrompt(tuple(item)))  # type: ignore[arg-type]
        return prompts

    def _refuse_unsupported(self) -> None:
        if self.suffix:
            raise UnsupportedParameterError(
                "suffix is not supported: Hermes models are not trained to fill in the middle",
                param="suffix",
            )
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise UnsupportedParameterError("best_of is not supported; use n", param="best_of")
        if self.echo and self.logprobs is not None:
            raise UnsupportedParameterError(
                "echo together with logprobs is not supported; leave one of them out",
                param="echo",
            )
