"""The words every room shares: messages, parameters, the request, and the events of an answer.

Owns shapes only: no behaviour beyond small derived facts, no I/O, no wire format. Everything is
frozen, so a request can be replayed, and an answer is a stream of events wherever it came from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

JsonObject = dict[str, Any]
Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
RouteWish = Literal["auto", "local", "hosted"]
Overflow = Literal["error", "truncate_oldest", "truncate_middle", "hosted"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call the model made: `arguments` is JSON text, as OpenAI sends it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `tool_calls` belong to the assistant, `tool_call_id` to a tool's answer."""

    role: Role
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters` is its JSON Schema."""

    name: str
    description: str = ""
    parameters: JsonObject = field(default_factory=dict)
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether tools are used: freely, not at all, at least one, or the one named."""

    mode: Literal["auto", "none", "required", "named"] = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What the text must be: free, any JSON object, one that satisfies `schema`, or a grammar."""

    kind: Literal["text", "json_object", "json_schema", "grammar"] = "text"
    schema: JsonObject | None = None
    strict: bool = False
    grammar: str | None = None


@dataclass(frozen=True, slots=True)
class ReasoningWish:
    """How much to think aloud first; `enabled` None leaves it to the model's default."""

    enabled: bool | None = None
    effort: str | None = None
    max_tokens: int | None = None
    exclude: bool = False


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is drawn; the defaults change nothing about the distribution.

    `temperature` 0 is greedy. `logit_bias` maps token text or id (as text) to an added logit;
    `-inf` bans. `logprobs` is how many alternatives to report, None for none at all.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    penalty_last_n: int = 64
    dry_multiplier: float = 0.0
    dry_base: float = 1.75
    dry_allowed_length: int = 2
    dry_penalty_last_n: int = -1
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1
    seed: int | None = None
    logit_bias: tuple[tuple[str, float], ...] = ()
    logprobs: int | None = None
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, to be rendered by the model's chat format."""

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    continue_final_message: bool = False
    template_kwargs: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Raw text to be continued as it is; `echo` repeats it before the answer."""

    text: str
    echo: bool = False


@dataclass(frozen=True, slots=True)
class TokenPrompt:
    """Token ids to be continued as they are."""

    tokens: tuple[int, ...]
    echo: bool = False


Prompt = ChatPrompt | TextPrompt | TokenPrompt


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateRequest:
    """Everything about one answer that was asked for. `model` is a catalogue id.

    `tenant` separates prefix caches and money between API keys; `max_tokens` None means as many
    as the context allows; `given` names the parameters the caller really sent, so that those
    that could not be honoured can be reported.
    """

    id: str
    model: str
    prompt: Prompt
    sampling: SamplingParams = SamplingParams()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    response_format: ResponseFormat = ResponseFormat()
    reasoning: ReasoningWish = ReasoningWish()
    route: RouteWish = "auto"
    max_cost_usd: float | None = None
    overflow: Overflow = "error"
    cache_prompt: bool = True
    keep_alive_s: float | None = None
    provider: JsonObject = field(default_factory=dict)
    tenant: str = ""
    strict: bool = False
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PromptPiece:
    """Rendered prompt text. In a `literal` piece no text is read as a control token."""

    text: str
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Constraint:
    """What the output must satisfy, and from when on.

    Armed at the first token, or, with a `trigger`, as soon as that text has been generated.
    When armed, `prefix` is forced, then `grammar` rules every token until it is satisfied. After
    that the answer ends (`ends_answer`), or `then` takes over, or generation is free again and,
    with `repeat`, the trigger arms the constraint anew.
    """

    kind: Literal["json_schema", "lark", "regex", "gbnf"]
    grammar: str
    trigger: str | None = None
    prefix: str = ""
    repeat: bool = False
    ends_answer: bool = False
    then: Constraint | None = None


@dataclass(frozen=True, slots=True)
class Interjection:
    """`text` is forced once `after_tokens` were generated without `unless` among them."""

    after_tokens: int
    text: str
    unless: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens truly counted, and what they cost (0 for local, None when not known)."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds; the counts follow llama-server's names."""

    prompt_n: int = 0
    prompt_ms: float = 0.0
    cache_n: int = 0
    predicted_n: int = 0
    predicted_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token's text, bytes and log probability, with the likeliest alternatives."""

    token: str
    data: bytes
    logprob: float
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of the thinking that comes before the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of tool call number `index`: first its `id` and `name`, then its arguments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The one last event of every answer that is complete."""

    reason: FinishReason
    usage: Usage
    timings: Timings | None = None


Event = TextDelta | ReasoningDelta | ToolCallDelta | Finished
