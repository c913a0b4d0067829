"""One assistant turn to be generated: the prompt's text, and how the output is ruled and read.

Owns the decisions that need the whole request: thinking or not, tools or not, what is opened for
the model, what constrains it. Knows no tokens. Invariant: whatever a turn cannot honour is named
in `ignored`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from runner.errors import InvalidRequestError
from runner.types import (
    ChatPrompt,
    Constraint,
    GenerateRequest,
    Interjection,
    JsonObject,
    Message,
    PromptPiece,
    ReasoningWish,
    TextPrompt,
    Tool,
)

from .constraint import Wish, constrain
from .conversation import Shield, describe_message, describe_tool, with_thought
from .emulation import with_hermes_prompts
from .format import ChatFormat
from .parser import THINK, THINK_END, OutputParser, OutputRules
from .thinking import SWITCHES, has_thinking_prompt, is_thinking_asked
from .wording import describe_json_mode, with_system_text

THINK_OPENING = f"{THINK}\n"
THINK_CLOSING = f"\n{THINK_END}\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """What a backend needs to generate one answer and to read it.

    `pieces` is the whole prompt, `prefill` its end as far as it belongs to the answer itself
    (an opened `<think>`, a message to be continued); `ignored` names parameters that this turn
    could not honour.
    """

    pieces: tuple[PromptPiece, ...]
    rules: OutputRules = OutputRules()
    constraint: Constraint | None = None
    interjection: Interjection | None = None
    prefill: str = ""
    ignored: tuple[str, ...] = ()

    @property
    def stop(self) -> tuple[str, ...]:
        """All texts that end the answer: the caller's and the format's own."""
        return (*self.rules.stop, *self.rules.ends)

    @property
    def starts_in(self) -> Literal["text", "reasoning"]:
        """What the first generated letter belongs to."""
        return self.rules.starts_in

    def parser(self, new_call_id: Callable[[], str]) -> OutputParser:
        """A fresh parser for the output of this turn."""
        return OutputParser(self.rules, new_call_id)


def prepare(request: GenerateRequest, chat_format: ChatFormat) -> Turn:
    """The turn that a request asks for.

    Raises:
        InvalidRequestError: the request contradicts itself, or the model's template refuses it.
        WeightsError: a template that came with weights is broken.
    """
    match request.prompt:
        case ChatPrompt() as chat:
            return _ChatTurn(request, chat, chat_format).build()
        case TextPrompt(text=text):
            pieces = (PromptPiece(text),) if text else ()
        case _:
            pieces = ()
    asks_thinking = is_thinking_asked(request.reasoning, {})
    return Turn(
        pieces,
        rules=OutputRules(stop=request.stop, has_tags=False),
        constraint=constrain(Wish(response_format=request.response_format)),
        ignored=_name_reasoning(request.given) if asks_thinking else (),
    )


class _ChatTurn:
    """The steps from a chat request to a turn."""

    def __init__(self, request: GenerateRequest, chat: ChatPrompt, chat_format: ChatFormat) -> None:
        self._request = request
        self._chat = chat
        self._format = chat_format
        self._response_format = request.response_format
        self._tools = _select_tools(chat)
        self._asked = is_thinking_asked(request.reasoning, chat.template_kwargs)
        has_prompt = has_thinking_prompt(chat.messages)
        self._thinks = chat_format.can_think and (
            has_prompt if self._asked is None else self._asked
        )
        self._adds_thinking_prompt = self._thinks and not has_prompt

    def build(self) -> Turn:
        """The turn."""
        history, opening = self._split_opening()
        messages, tools = self._dress(history)
        rendered, shield = self._render(messages, tools, opening)
        opening, text = _join_opening(rendered, shield.hide(opening))
        is_reasoning = opening.rfind(THINK) > opening.rfind(THINK_END)
        rules = OutputRules(
            stop=(*self._request.stop, *self._format.stop),
            ends=self._format.ends,
            starts_in="reasoning" if is_reasoning else "text",
            has_tools=bool(self._tools),
            is_document=self._response_format.kind != "text",
        )
        return Turn(
            pieces=shield.pieces(text),
            rules=rules,
            constraint=self._constrain(is_reasoning),
            interjection=_limit_thinking(self._request.reasoning, is_reasoning),
            prefill=shield.reveal(opening),
            ignored=self._find_ignored(),
        )

    def _split_opening(self) -> tuple[tuple[Message, ...], str]:
        """The messages to render, and what the answer begins with as part of the prompt."""
        messages = self._chat.messages
        if not messages:
            raise InvalidRequestError("messages is empty; send at least one", param="messages")
        fresh = THINK_OPENING if self._thinks else ""
        if not self._chat.continue_final_message:
            return messages, fresh
        last = messages[-1]
        if last.role != "assistant" or last.tool_calls:
            raise InvalidRequestError(
                "continue_final_message needs a last message by the assistant without tool_calls",
                param="continue_final_message",
            )
        if last.content and (self._response_format.kind != "text" or self._is_call_forced):
            raise InvalidRequestError(
                "a message that was begun cannot be continued under a response_format or a "
                "tool_choice that rules the whole answer",
                param="continue_final_message",
            )
        if last.reasoning and self._format.can_think:
            closing = THINK_CLOSING + last.content if last.content else ""
            return messages[:-1], THINK_OPENING + last.reasoning + closing
        return messages[:-1], last.content or fresh

    def _dress(self, history: tuple[Message, ...]) -> tuple[tuple[Message, ...], tuple[Tool, ...]]:
        """The messages with what the format cannot say by itself, and the tools it can tell of."""
        prompt = describe_json_mode(self._response_format)
        messages = with_system_text(history, prompt)
        if self._format.can_call:
            return messages, self._tools
        chat = replace(self._chat, messages=messages, tools=self._tools)
        return with_hermes_prompts(chat, tools=True), ()

    def _render(
        self, messages: tuple[Message, ...], tools: tuple[Tool, ...], opening: str
    ) -> tuple[str, Shield]:
        is_foreign = self._format.is_foreign
        if self._format.can_think and not is_foreign:
            messages = tuple(with_thought(message) for message in messages)
        described = [describe_message(message, for_foreign=is_foreign) for message in messages]
        offered = [describe_tool(tool, for_foreign=is_foreign) for tool in tools]
        kwargs = self._choose_kwargs()
        shield = Shield(described, offered, kwargs, opening)
        rendered = self._format.render(
            shield.hide(described), shield.hide(offered), shield.hide(kwargs)
        )
        return rendered, shield

    def _choose_kwargs(self) -> JsonObject:
        given = self._chat.template_kwargs
        if self._format.is_foreign:
            asked = {} if self._asked is None else dict.fromkeys(SWITCHES, self._asked)
            return {**given, **asked}
        kwargs = {key: value for key, value in given.items() if key in self._format.kwargs}
        if "thinking" in self._format.kwargs:
            kwargs |= {"thinking": self._adds_thinking_prompt, "thinks": self._thinks}
        return kwargs

    @property
    def _is_call_forced(self) -> bool:
        return self._chat.tool_choice.mode in ("required", "named")

    def _constrain(self, is_reasoning: bool) -> Constraint | None:
        wish = Wish(
            tools=self._tools,
            tool_choice=self._chat.tool_choice,
            is_parallel=self._chat.parallel_tool_calls,
            response_format=self._response_format,
            after_thinking=is_reasoning,
        )
        return constrain(wish)

    def _find_ignored(self) -> tuple[str, ...]:
        ignored: list[str] = []
        kwargs = self._chat.template_kwargs
        if self._asked and not self._format.can_think:
            is_kwarg = any(switch in kwargs for switch in SWITCHES)
            ignored += () if is_kwarg else _name_reasoning(self._request.given)
        if not self._format.is_foreign:
            known = self._format.kwargs | (set(SWITCHES) if self._format.can_think else set())
            ignored += (f"chat_template_kwargs.{key}" for key in kwargs if key not in known)
        return tuple(ignored)


def _join_opening(rendered: str, opening: str) -> tuple[str, str]:
    """The opening and the whole prompt; some templates open the thought by themselves."""
    if not rendered.rstrip().endswith(THINK):
        return opening, rendered + opening
    own = rendered[rendered.rindex(THINK) :]
    rest = opening.removeprefix(THINK_OPENING)
    return own + rest, rendered + rest


def _limit_thinking(wish: ReasoningWish, is_reasoning: bool) -> Interjection | None:
    if not is_reasoning or wish.max_tokens is None:
        return None
    return Interjection(wish.max_tokens, f"\n{THINK_END}", THINK_END)


def _name_reasoning(given: frozenset[str]) -> tuple[str, ...]:
    """The names under which the caller asked for thinking."""
    return tuple(sorted(given & {"reasoning", "reasoning_effort"})) or ("reasoning",)


def _select_tools(chat: ChatPrompt) -> tuple[Tool, ...]:
    """The tools that may be called; raises when the choice makes no sense."""
    choice = chat.tool_choice
    if choice.mode == "none":
        return ()
    if choice.mode != "auto" and not chat.tools:
        raise InvalidRequestError("tool_choice needs tools; send some", param="tool_choice")
    if choice.mode == "named" and all(tool.name != choice.name for tool in chat.tools):
        raise InvalidRequestError(
            f"tool_choice names {choice.name!r}, which is not among the tools",
            param="tool_choice",
        )
    return chat.tools
