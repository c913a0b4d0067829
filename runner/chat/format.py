"""Chat formats: how a model's conversation is written down, and the registry of our own.

Owns which template, end markers and abilities belong together under one name. Knows neither
models nor tokens. Invariant: rendered text is complete, except that whoever tokenizes it adds
the BOS token if the vocabulary asks for one and the text does not begin with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

from runner.errors import CatalogError
from runner.types import JsonObject

from .conversation import CONTROL
from .renderer import build_environment
from .sandbox import ForeignTemplate
from .tool_signature import describe_signatures
from .wording import THINKING, describe_tools

TEMPLATES = Path(__file__).parent / "templates"
CHATML_ENDS = ("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>")
LLAMA3_ENDS = ("<|eot_id|>", "<|end_of_text|>", "<|start_header_id|>", "<|im_end|>", "<|im_start|>")
MAX_ENDS = 32
LIKE_HTML = re.compile(r"</?\w+>")
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)


class Template(Protocol):
    """Something that turns template variables into text."""

    def render(self, context: JsonObject) -> str:
        """The rendered text; raises `RunnerError`."""
        ...


class OwnTemplate:
    """One of our own templates, rendered in this process."""

    def __init__(self, file_name: str) -> None:
        source = (TEMPLATES / file_name).read_text(encoding="utf-8")
        self._template = build_environment().from_string(source)

    def render(self, context: JsonObject) -> str:
        """The rendered text."""
        return self._template.render(context)


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """One way to write a conversation down.

    `ends` are control markers that end the answer wherever they turn up, `stop` ordinary texts
    that do so in visible text. A format that cannot call has the tool prompt put into its system
    message; one that cannot think reports the wish as ignored. `variables` are the template's
    own settings, `kwargs` names those a caller may set; a foreign format, whose template came
    with weights, takes any.
    """

    name: str
    template: Template
    tool_template: Template | None = None
    ends: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    can_think: bool = False
    can_call: bool = False
    is_foreign: bool = False
    kwargs: frozenset[str] = frozenset()
    variables: Mapping[str, object] = field(default_factory=dict, hash=False)
    bos: str = ""
    eos: str = ""

    def render(
        self,
        messages: Sequence[JsonObject],
        tools: Sequence[JsonObject] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> str:
        """The prompt up to where the assistant begins to write; raises `RunnerError`."""
        uses_tools = bool(tools) or any("tool_calls" in m or m["role"] == "tool" for m in messages)
        template, no_tools = self.template, None
        if uses_tools and self.tool_template is not None:
            template, no_tools = self.tool_template, ()  # such templates loop without looking
        context = {
            **(kwargs or {}),
            "messages": list(messages),
            "tools": list(tools) or no_tools,
            "add_generation_prompt": True,
            "bos_token": self.bos,
            "eos_token": self.eos,
        }
        if not self.is_foreign:
            context |= self._own_context(tools)
        return template.render(context)

    def _own_context(self, tools: Sequence[JsonObject]) -> JsonObject:
        return {
            **self.variables,
            "thinking_prompt": THINKING,
            "tool_prompt": describe_tools(tools) if tools else "",
            "published_tool_prompt": describe_signatures(tools) if tools else "",
        }


@cache
def find_format(name: str) -> ChatFormat:
    """Our own format of that name; raises `CatalogError` naming the known ones."""
    build = FORMATS.get(name)
    if build is None:
        known = ", ".join(sorted(FORMATS))
        raise CatalogError(f"chat format {name!r} is not known; use one of {known}")
    return build()


def template_format(
    source: str, tool_source: str | None = None, *, bos: str = "", eos: str = ""
) -> ChatFormat:
    """The format of a template that came with weights; its tool_use variant serves tools.

    Every marker the template writes ends the answer, but for `</s>` and its like, which are HTML
    too. A template whose calls are not in
    `<tool_call>` tags is told of tools by Hermes' prompt instead of its own. Raises `WeightsError`.
    """
    sources = f"{source}\n{tool_source or ''}"
    markers = dict.fromkeys((eos, *CONTROL.findall(sources)))
    ends = tuple(marker for marker in markers if marker and not LIKE_HTML.fullmatch(marker))
    return ChatFormat(
        "template",
        ForeignTemplate(source),
        ForeignTemplate(tool_source) if tool_source else None,
        ends=ends[:MAX_ENDS],
        can_think="<think>" in sources,
        can_call="tools" in sources and "<tool_call>" in sources,
        is_foreign=True,
        bos=bos,
        eos=eos,
    )


def _chatml() -> ChatFormat:
    return ChatFormat("chatml", OwnTemplate("chatml.jinja"), ends=CHATML_ENDS)


def _hermes_tool_use() -> ChatFormat:
    return ChatFormat(
        "hermes_tool_use",
        OwnTemplate("chatml.jinja"),
        OwnTemplate("hermes_tool_use.jinja"),
        ends=(*CHATML_ENDS, "<dummy32000>"),
        can_call=True,
    )


def _hermes3() -> ChatFormat:
    return ChatFormat(
        "hermes3",
        OwnTemplate("chatml.jinja"),
        OwnTemplate("hermes_tool_use.jinja"),
        ends=CHATML_ENDS,
        can_call=True,
        variables={"default_system": "You are a helpful assistant."},
    )


def _hermes_chatml() -> ChatFormat:
    return ChatFormat(
        "hermes_chatml",
        OwnTemplate("hermes_chatml.jinja"),
        ends=CHATML_ENDS,
        can_think=True,
        can_call=True,
        kwargs=frozenset({"thinking", "keep_cots"}),
    )


def _hermes4_llama3() -> ChatFormat:
    return ChatFormat(
        "hermes4_llama3",
        OwnTemplate("llama3.jinja"),
        ends=LLAMA3_ENDS,
        can_think=True,
        can_call=True,
        kwargs=frozenset({"thinking", "keep_cots"}),
        variables={"marks_cut_thoughts": True},
    )


def _deephermes() -> ChatFormat:
    return ChatFormat(
        "deephermes",
        OwnTemplate("llama3.jinja"),
        ends=LLAMA3_ENDS,
        can_think=True,
        can_call=True,
        kwargs=frozenset({"thinking", "keep_cots"}),
    )


def _alpaca() -> ChatFormat:
    ends = ("</s>",)
    return ChatFormat(
        "alpaca", OwnTemplate("alpaca.jinja"), ends=ends, stop=("### Instruction:", "### Response:")
    )


def _vicuna() -> ChatFormat:
    return ChatFormat(
        "vicuna",
        OwnTemplate("vicuna.jinja"),
        ends=("</s>",),
        stop=("USER:",),
        variables={"default_system": VICUNA_SYSTEM},
    )


def _capybara() -> ChatFormat:
    return ChatFormat(
        "capybara", OwnTemplate("capybara.jinja"), ends=("</s>", "<|endoftext|>"), stop=("USER:",)
    )


FORMATS = {
    "alpaca": _alpaca,
    "capybara": _capybara,
    "chatml": _chatml,
    "deephermes": _deephermes,
    "hermes3": _hermes3,
    "hermes4_llama3": _hermes4_llama3,
    "hermes_chatml": _hermes_chatml,
    "hermes_tool_use": _hermes_tool_use,
    "vicuna": _vicuna,
}
