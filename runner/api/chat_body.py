"""The body of `POST /v1/chat/completions`, and the request it stands for.

Owns the wire names of parameters and their ranges. Unknown fields are kept, so that they can be
reported as ignored or refused in strict mode; none is dropped in silence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from runner.errors import InvalidRequestError
from runner.types import (
    ChatPrompt,
    GenerateRequest,
    JsonObject,
    Message,
    Overflow,
    Prompt,
    ReasoningWish,
    ResponseFormat,
    RouteWish,
    SamplingParams,
    Tool,
    ToolCall,
    ToolChoice,
)

from .body import WireModel

MAX_MESSAGES = 2048
MAX_STOPS = 16
MAX_CHOICES = 8
MAX_TOOLS = 128
MAX_BIASES = 1024

Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TextPart(WireModel):
    """A piece of text in a message."""

    type: Literal["text"]
    text: str


class FunctionCallBody(WireModel):
    """The function of a past tool call."""

    name: str
    arguments: str | JsonObject = "{}"


class ToolCallBody(WireModel):
    """A past tool call."""

    id: str = ""
    type: Literal["function"] = "function"
    function: FunctionCallBody


class MessageBody(WireModel):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart | JsonObject] | None = None
    name: str | None = None
    tool_calls: list[ToolCallBody] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    def message(self, position: int) -> Message:
        """The message as the rest of the program knows it."""
        calls = tuple(
            ToolCall(call.id, call.function.name, as_json_text(call.function.arguments))
            for call in self.tool_calls or ()
        )
        return Message(
            role="system" if self.role == "developer" else self.role,
            content=self._text(position),
            name=self.name,
            tool_calls=calls,
            tool_call_id=self.tool_call_id,
            reasoning=self.reasoning_content or self.reasoning,
        )

    def _text(self, position: int) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        texts = []
        for part in self.content:
            if not isinstance(part, TextPart):
                raise InvalidRequestError(
                    "this model reads text only; send content parts of type text",
                    param=f"messages.{position}.content",
                )
            texts.append(part.text)
        return "".join(texts)


class FunctionBody(WireModel):
    """A function that may be called."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class ToolBody(WireModel):
    """A tool that may be used."""

    type: Literal["function"] = "function"
    function: FunctionBody

    def tool(self) -> Tool:
        """The tool as the rest of the program knows it."""
        function = self.function
        return Tool(
            function.name,
            function.description or "",
            function.parameters or {},
            bool(function.strict),
        )


class NamedFunction(WireModel):
    """The name in a tool choice."""

    name: str


class NamedToolChoice(WireModel):
    """The one tool that has to be used."""

    type: Literal["function"] = "function"
    function: NamedFunction


class JsonSchemaBody(WireModel):
    """A named JSON Schema."""

    name: str = "answer"
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: bool | None = None
    description: str | None = None


class ResponseFormatBody(WireModel):
    """What the answer's text has to be."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaBody | None = None
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None


class StreamOptions(WireModel):
    """How to stream."""

    include_usage: bool | None = None


class ReasoningBody(WireModel):
    """OpenRouter's switch for thinking."""

    enabled: bool | None = None
    effort: Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    exclude: bool | None = None


class SamplingBody(WireModel):
    """The sampling parameters that every generating endpoint takes."""

    temperature: Annotated[float, Field(ge=0, le=5)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    min_p: Probability | None = None
    typical_p: Annotated[float, Field(gt=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    dry_multiplier: Annotated[float, Field(ge=0, le=100)] | None = None
    dry_base: Annotated[float, Field(ge=1, le=100)] | None = None
    dry_allowed_length: Annotated[int, Field(ge=0, le=65536)] | None = None
    dry_penalty_last_n: Annotated[int, Field(ge=-1, le=2**20)] | None = None
    xtc_probability: Probability | None = None
    xtc_threshold: Probability | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**64 - 1)] | None = None
    logit_bias: dict[str, float] | None = None
    ignore_eos: bool | None = None

    @field_validator("logit_bias")
    @classmethod
    def _check_bias(cls, bias: dict[str, float] | None) -> dict[str, float] | None:
        if bias is not None and len(bias) > MAX_BIASES:
            raise ValueError(f"at most {MAX_BIASES} entries")
        if bias is not None and any(not -100 <= value <= 100 for value in bias.values()):
            raise ValueError("values lie between -100 and 100")
        return bias

    def sampling(self, defaults: SamplingParams) -> SamplingParams:
        """What was given, over the defaults."""
        names = SamplingBody.model_fields.keys() - {"repeat_penalty", "seed", "logit_bias"}
        given: dict[str, Any] = {
            name: value for name in names if (value := getattr(self, name)) is not None
        }
        if self.repeat_penalty is not None:
            given.setdefault("repetition_penalty", self.repeat_penalty)
        if self.seed is not None and self.seed != -1:
            given["seed"] = self.seed & 0xFFFFFFFF
        if self.logit_bias:
            # -100 bans a token in OpenAI's API; finite values would only make it unlikely
            given["logit_bias"] = tuple(
                (token, -1e9 if value <= -100 else value)
                for token, value in self.logit_bias.items()
            )
        return replace(defaults, **given)


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a request says beside its body: ids, the model's defaults, who asks, how strictly."""

    request_id: str
    model: str
    defaults: SamplingParams
    tenant: str
    is_strict: bool


class GenerationBody(SamplingBody):
    """What chat and text completions share beside sampling."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    stop: str | list[str] | None = None
    user: str | None = None
    grammar: str | None = None
    cache_prompt: bool | None = None
    keep_alive: float | str | None = None
    route: RouteWish | None = None
    max_cost_usd: Annotated[float, Field(ge=0)] | None = None
    overflow: Overflow | None = None
    provider: JsonObject | None = None

    @field_validator("stop")
    @classmethod
    def _check_stop(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > MAX_STOPS:
            raise ValueError(f"at most {MAX_STOPS} stop strings")
        return stop

    def base_request(self, occasion: Occasion, prompt: Prompt) -> GenerateRequest:
        """What chat and text completions ask for alike. Raises InvalidRequestError."""
        return GenerateRequest(
            id=occasion.request_id,
            model=occasion.model,
            prompt=prompt,
            sampling=self.sampling(occasion.defaults),
            max_tokens=self.max_tokens,
            stop=self.stops(),
            route=self.route or "auto",
            max_cost_usd=self.max_cost_usd,
            overflow=self.overflow or "error",
            cache_prompt=self.cache_prompt is not False,
            keep_alive_s=self.keep_alive_s(),
            provider=self.provider or {},
            tenant=occasion.tenant,
            strict=occasion.is_strict,
            given=frozenset(self.model_fields_set),
        )

    def stops(self) -> tuple[str, ...]:
        """The stop strings, without empty ones."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    def keep_alive_s(self) -> float | None:
        """How long the model should stay loaded, in seconds; `5m` and `-1` as Ollama has them."""
        value = self.keep_alive
        if value is None or isinstance(value, int | float):
            return value
        units = {"s": 1, "m": 60, "h": 3600}
        number, unit = (value[:-1], value[-1:]) if value[-1:] in units else (value, "s")
        try:
            return float(number) * units[unit]
        except ValueError:
            message = "keep_alive is seconds, or a time such as 30s, 5m or 1h"
            raise InvalidRequestError(message, param="keep_alive") from None


class ChatBody(GenerationBody):
    """The body of a chat completion."""

    messages: Annotated[list[MessageBody], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[ToolBody], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormatBody | None = None
    reasoning: ReasoningBody | None = None
    reasoning_effort: Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"] | None = (
        None
    )
    include_reasoning: bool | None = None
    chat_template_kwargs: JsonObject | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None

    def request(self, occasion: Occasion) -> GenerateRequest:
        """What is asked for. Raises InvalidRequestError."""
        base = self.base_request(occasion, self._prompt())
        return replace(
            base,
            sampling=self._with_logprobs(base.sampling),
            max_tokens=self.max_completion_tokens or base.max_tokens,
            response_format=self._response_format(),
            reasoning=self._reasoning(),
        )

    def unknown_fields(self) -> tuple[str, ...]:
        """As for every body; a prompt always ends where the assistant begins."""
        unknown = super().unknown_fields()
        if self.add_generation_prompt is False and not self.continue_final_message:
            return (*unknown, "add_generation_prompt")
        return unknown

    def _prompt(self) -> ChatPrompt:
        choice = self.tool_choice
        if isinstance(choice, NamedToolChoice):
            wish = ToolChoice("named", choice.function.name)
        else:
            wish = ToolChoice(choice or "auto")
        return ChatPrompt(
            messages=tuple(
                message.message(position) for position, message in enumerate(self.messages)
            ),
            tools=tuple(tool.tool() for tool in self.tools or ()),
            tool_choice=wish,
            parallel_tool_calls=self.parallel_tool_calls is not False,
            continue_final_message=bool(self.continue_final_message),
            template_kwargs=self.chat_template_kwargs or {},
        )

    def _with_logprobs(self, sampling: SamplingParams) -> SamplingParams:
        if self.top_logprobs is not None and not self.logprobs:
            raise InvalidRequestError(
                "top_logprobs needs logprobs to be true", param="top_logprobs"
            )
        return replace(sampling, logprobs=self.top_logprobs or 0) if self.logprobs else sampling

    def _response_format(self) -> ResponseFormat:
        if self.grammar is not None:
            return ResponseFormat("grammar", grammar=self.grammar)
        wish = self.response_format
        if wish is None or wish.type == "text":
            return ResponseFormat()
        if wish.type == "json_object":
            kind: Literal["json_object", "json_schema"] = (
                "json_schema" if wish.schema_ is not None else "json_object"
            )
            return ResponseFormat(kind, schema=wish.schema_)
        if wish.json_schema is None or wish.json_schema.schema_ is None:
            raise InvalidRequestError(
                "response_format of type json_schema needs json_schema.schema",
                param="response_format.json_schema",
            )
        named = wish.json_schema
        return ResponseFormat("json_schema", schema=named.schema_, strict=bool(named.strict))

    def _reasoning(self) -> ReasoningWish:
        wish = self.reasoning or ReasoningBody()
        effort = wish.effort or self.reasoning_effort
        exclude = bool(wish.exclude) or self.include_reasoning is False
        return ReasoningWish(wish.enabled, effort, wish.max_tokens, exclude)


def as_json_text(arguments: str | JsonObject) -> str:
    """Arguments as JSON text, however they were sent."""
    import json

    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
