"""The body of `POST /v1/completions`, and the requests it stands for: one for each prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from runner.errors import InvalidRequestError, UnsupportedParameterError
from runner.types import GenerateRequest, ResponseFormat, TextPrompt, TokenPrompt

from .chat_body import GenerationBody, Occasion

MAX_PROMPTS = 64
DEFAULT_TOKENS = 16  # as OpenAI has it


class CompletionBody(GenerationBody):
    """The body of a text completion."""

    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    def requests(self, occasion: Occasion) -> list[GenerateRequest]:
        """What is asked for, one request a prompt. Raises InvalidRequestError."""
        self._refuse_unsupported()
        base = self.base_request(occasion, TextPrompt(""))
        if self.logprobs is not None:
            base = replace(base, sampling=replace(base.sampling, logprobs=self.logprobs))
        if self.grammar:
            base = replace(base, response_format=ResponseFormat("grammar", grammar=self.grammar))
        base = replace(base, max_tokens=base.max_tokens or DEFAULT_TOKENS)
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
            if isinstance(item, int):
                raise InvalidRequestError("mix no token ids with texts", param="prompt")
            prompts.append(TextPrompt(item) if isinstance(item, str) else TokenPrompt(tuple(item)))
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
