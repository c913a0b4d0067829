"""What a provider lacks, and the upstream request that makes up for it.

Pure. Owns the split of every parameter into honoured there, done here, or ignored; the doing is
the very code of the chat room. Knows no HTTP. Invariant: no parameter the caller sent is dropped
without being named.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from runner.chat.emulation import with_hermes_prompts
from runner.chat.parser import OutputRules
from runner.chat.thinking import is_thinking_asked
from runner.chat.wording import THINKING, describe_json_mode, with_system_text
from runner.types import (
    ChatPrompt,
    GenerateRequest,
    JsonObject,
    Message,
    SamplingParams,
    TextPrompt,
    Tool,
)

MAX_NATIVE_STOPS = 4
SENT_AS_THEY_ARE = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "frequency_penalty",
    "presence_penalty",
    "seed",
)
ALIASES = {"repeat_penalty": "repetition_penalty"}
LOCAL_ONLY = ("cache_prompt", "keep_alive")
THINKING_SWITCHES = frozenset({"thinking", "enable_thinking"})
DEFAULTS = SamplingParams()


@dataclass(frozen=True, slots=True)
class Abilities:
    """What one offer can do: the parameters it honours, and whether the model can think."""

    parameters: frozenset[str]
    can_think: bool = False

    def has(self, name: str) -> bool:
        """Whether the provider honours a parameter."""
        return name in self.parameters


@dataclass(frozen=True, slots=True)
class Check:
    """What a whole answer must satisfy; `is_held` shows nothing of it before that is certain."""

    kind: Literal["json", "call"]
    is_held: bool
    schema: JsonObject | None = None
    must_be_object: bool = False


@dataclass(frozen=True, slots=True)
class Gaps:
    """What would be done here, and what not at all."""

    emulated: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Upstream:
    """The request as a provider gets it, and how its text is to be read.

    `messages` are what `body` was made of, so that a second try can add to them.
    """

    path: Literal["/chat/completions", "/completions"]
    body: JsonObject
    messages: tuple[Message, ...]
    rules: OutputRules
    check: Check | None = None
    echo: str = ""
    is_one_call: bool = False


def find_gaps(request: GenerateRequest, able: Abilities) -> Gaps:
    """Compare a request with an offer, without building anything."""
    emulated, ignored = [], _ignored_sampling(request, able)
    if request.stop and (not _stops_there(request, able) or len(request.stop) > MAX_NATIVE_STOPS):
        emulated.append("stop")
    wish = request.response_format
    if wish.kind == "grammar":
        ignored.append("grammar")
    elif wish.kind != "text" and not able.has(_native_format(wish.kind)):
        emulated.append("response_format")
    if isinstance(request.prompt, ChatPrompt):
        emulated += _emulated_tools(request.prompt, able)
        thinking = _thinking(request, able)
        if thinking == "emulated":
            emulated.append("reasoning")
        elif thinking == "ignored":
            ignored.append("reasoning")
        ignored += _ignored_reasoning(request)
    return Gaps(tuple(emulated), tuple(ignored))


def compose(request: GenerateRequest, able: Abilities, max_tokens: int) -> Upstream:
    """The upstream request, without model and address."""
    body: JsonObject = {"stream": True, "max_tokens": max_tokens, **_sampling(request, able)}
    if request.stop and _stops_there(request, able):
        body["stop"] = list(request.stop[:MAX_NATIVE_STOPS])
    if isinstance(request.prompt, TextPrompt):
        text = request.prompt.text
        body["prompt"] = text
        rules = OutputRules(stop=request.stop, has_tags=False)
        return Upstream(
            "/completions", body, (), rules, _check(request, able), text * request.prompt.echo
        )
    chat = request.prompt
    if not isinstance(chat, ChatPrompt):
        raise TypeError("token ids cannot be sent to a provider")
    offered = _offered(chat)
    is_native = able.has("tools")
    messages = _messages(replace(chat, tools=offered), request, able)
    body["messages"] = [_describe(message) for message in messages]
    if offered and is_native:
        body |= _native_tools(chat, offered, able)
    body |= _native_extras(request, able)
    rules = OutputRules(
        stop=request.stop,
        has_tools=bool(offered),
        is_document=request.response_format.kind in ("json_object", "json_schema"),
    )
    return Upstream(
        "/chat/completions",
        body,
        messages,
        rules,
        _check(request, able),
        is_one_call=not chat.parallel_tool_calls,
    )


def with_correction(upstream: Upstream, answer: str, fault: str) -> Upstream:
    """The same request once more, with the bad answer and what was wrong with it."""
    turns = [
        {"role": "assistant", "content": answer},
        {
            "role": "user",
            "content": f"That answer cannot be used: {fault}. Answer again, correctly this time, "
            "with nothing else around it.",
        },
    ]
    return replace(
        upstream, body={**upstream.body, "messages": [*upstream.body["messages"], *turns]}
    )


def _stops_there(request: GenerateRequest, able: Abilities) -> bool:
    """Whether stop strings are sent; a document cut there could not be told from a broken one."""
    return able.has("stop") and request.response_format.kind == "text"


def _native_format(kind: str) -> str:
    return "structured_outputs" if kind == "json_schema" else "response_format"


def _ignored_sampling(request: GenerateRequest, able: Abilities) -> list[str]:
    given = {ALIASES.get(name, name) for name in request.given}
    ignored = []
    for one in fields(SamplingParams):
        is_changed = getattr(request.sampling, one.name) != getattr(DEFAULTS, one.name)
        is_sent = one.name in SENT_AS_THEY_ARE and able.has(one.name)
        if one.name == "logit_bias":
            is_sent = _has_token_bias(request) and able.has("logit_bias")
        if is_changed and one.name in given and not is_sent:
            ignored.append(one.name)
    ignored += [name for name in LOCAL_ONLY if name in given]
    if request.overflow.startswith("truncate"):
        ignored.append("overflow")
    return ignored


def _ignored_reasoning(request: GenerateRequest) -> list[str]:
    ignored = []
    if request.reasoning.max_tokens:
        ignored.append("reasoning.max_tokens")
    chat = request.prompt
    if isinstance(chat, ChatPrompt):
        others = sorted(set(chat.template_kwargs) - THINKING_SWITCHES)
        ignored += [f"chat_template_kwargs.{name}" for name in others]
    return ignored


def _emulated_tools(chat: ChatPrompt, able: Abilities) -> list[str]:
    if able.has("tools"):
        return []
    has_history = any(m.tool_calls or m.role == "tool" for m in chat.messages)
    emulated = ["tools"] if _offered(chat) or has_history else []
    if _offered(chat) and chat.tool_choice.mode in ("required", "named"):
        emulated.append("tool_choice")
    return emulated


def _thinking(
    request: GenerateRequest, able: Abilities
) -> Literal["native", "emulated", "ignored"]:
    chat = request.prompt
    kwargs = chat.template_kwargs if isinstance(chat, ChatPrompt) else {}
    asked = is_thinking_asked(request.reasoning, kwargs)
    if not asked or able.has("reasoning"):
        return "native"
    return "emulated" if able.can_think else "ignored"


def _offered(chat: ChatPrompt) -> tuple[Tool, ...]:
    if chat.tool_choice.mode == "none":
        return ()
    if chat.tool_choice.mode == "named":
        return tuple(tool for tool in chat.tools if tool.name == chat.tool_choice.name)
    return chat.tools


def _messages(chat: ChatPrompt, request: GenerateRequest, able: Abilities) -> tuple[Message, ...]:
    """The conversation with what the provider lacks said in the system message."""
    wish = request.response_format
    speaks_json = wish.kind in ("json_object", "json_schema")
    needs_json = speaks_json and not able.has(_native_format(wish.kind))
    thinks = _thinking(request, able) == "emulated"
    if not able.has("tools"):
        return with_hermes_prompts(
            chat,
            tools=bool(chat.tools),
            response_format=wish if needs_json else None,
            thinking=thinks,
        )
    messages = chat.messages
    if thinks:
        messages = with_system_text(messages, THINKING, at_start=True)
    return with_system_text(messages, describe_json_mode(wish)) if needs_json else messages


def _describe(message: Message) -> JsonObject:
    described: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        described["content"] = message.content or None
        described["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    if message.name is not None:
        described["name"] = message.name
    if message.tool_call_id is not None:
        described["tool_call_id"] = message.tool_call_id
    return described


def _native_tools(chat: ChatPrompt, offered: tuple[Tool, ...], able: Abilities) -> JsonObject:
    tools = []
    for tool in offered:
        function: JsonObject = {"name": tool.name, "description": tool.description}
        function["parameters"] = tool.parameters or {"type": "object", "properties": {}}
        if tool.strict:
            function["strict"] = True
        tools.append({"type": "function", "function": function})
    body: JsonObject = {"tools": tools}
    match chat.tool_choice.mode:
        case "required":
            body["tool_choice"] = "required"
        case "named":
            function = {"name": chat.tool_choice.name}
            body["tool_choice"] = {"type": "function", "function": function}
    if not chat.parallel_tool_calls and able.has("parallel_tool_calls"):
        body["parallel_tool_calls"] = False
    return body


def _native_extras(request: GenerateRequest, able: Abilities) -> JsonObject:
    body: JsonObject = {}
    wish = request.response_format
    if wish.kind == "json_schema" and able.has("structured_outputs"):
        schema = {"name": "answer", "schema": wish.schema, "strict": wish.strict}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif wish.kind in ("json_object", "json_schema") and able.has("response_format"):
        body["response_format"] = {"type": "json_object"}
    if able.has("reasoning"):
        kwargs = request.prompt.template_kwargs if isinstance(request.prompt, ChatPrompt) else {}
        asked = is_thinking_asked(request.reasoning, kwargs)
        if asked is not None:
            body["reasoning"] = {"enabled": asked}
    return body


def _sampling(request: GenerateRequest, able: Abilities) -> dict[str, Any]:
    body = {}
    for name in SENT_AS_THEY_ARE:
        value = getattr(request.sampling, name)
        is_wanted = value != getattr(DEFAULTS, name) or name in request.given
        if is_wanted and value is not None and able.has(name):
            body[name] = value
    if _has_token_bias(request) and able.has("logit_bias"):
        body["logit_bias"] = dict(request.sampling.logit_bias)
    return body


def _has_token_bias(request: GenerateRequest) -> bool:
    """Whether there is a bias, and all of it by token id with a number JSON can carry."""
    bias = request.sampling.logit_bias
    return bool(bias) and all(key.isdecimal() and abs(value) <= 100 for key, value in bias)


def _check(request: GenerateRequest, able: Abilities) -> Check | None:
    wish = request.response_format
    if wish.kind in ("json_object", "json_schema"):
        is_native = able.has(_native_format(wish.kind))
        return Check("json", not is_native, wish.schema, must_be_object=wish.kind == "json_object")
    chat = request.prompt
    if isinstance(chat, ChatPrompt) and chat.tool_choice.mode in ("required", "named"):
        return Check("call", is_held=not able.has("tools"))
    return None
