"""The commands inside a conversation: `/model`, `/system`, `/think` and so on.

Owns their words and what they change in the conversation. Invariant: a command that cannot be
carried out changes nothing and says why.
"""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from runner.errors import InvalidRequestError, RunnerError
from runner.types import RouteWish

if TYPE_CHECKING:
    from .conversation import Conversation
    from .screen import Screen


@dataclass(frozen=True, slots=True)
class Desk:
    """What the commands work on. `resolve` turns a user's name into an id, or raises."""

    conversation: Conversation
    screen: Screen
    resolve: Callable[[str], str]
    installed: Callable[[], list[str]]
    announce: Callable[[], str]


def obey(text: str, desk: Desk) -> str | None:
    """Carry out a command; what to say, or None to end the conversation. Never raises ours."""
    name, _, argument = text.partition(" ")
    if name in ("/exit", "/quit", "/bye"):
        return None
    entry = COMMANDS.get(name)
    if entry is None:
        near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.0)[0]
        return f"there is no command {name}; did you mean {near}? /help lists them"
    try:
        return entry[0](desk, argument.strip())
    except (RunnerError, OSError) as error:
        return str(error)


def _model(desk: Desk, name: str) -> str:
    if not name:
        return f"{desk.conversation.model}; installed: {', '.join(desk.installed())}"
    desk.conversation.model = desk.resolve(name)
    return desk.announce()


def _system(desk: Desk, text: str) -> str:
    conversation = desk.conversation
    if not text:
        return conversation.system or "there is no system prompt; /system TEXT sets one"
    conversation.system = None if text == "off" else text
    return "the system prompt is set" if conversation.system else "no system prompt any more"


def _think(desk: Desk, word: str) -> str:
    wishes = {"on": True, "off": False, "auto": None}
    if word in wishes:
        desk.conversation.think = wishes[word]
        return f"thinking: {word}"
    if word == "hide":
        desk.screen.show_thinking = False
        return "thinking is folded from now on"
    if word == "show":
        desk.screen.show_thinking = True
        replies = desk.conversation.replies
        last = replies[-1].reasoning if replies else ""
        return last.strip() or "thinking is shown from now on"
    raise _wrong("/think", ("on", "off", "auto", "show", "hide"))


def _route(desk: Desk, word: str) -> str:
    if word and word not in get_args(RouteWish):
        raise _wrong("/route", get_args(RouteWish))
    if word:
        desk.conversation.route = word  # type: ignore[assignment]  # it is one of them: checked above
    return f"route: {desk.conversation.route}; {desk.announce()}"


def _cost(desk: Desk, _: str) -> str:
    return desk.conversation.cost()


def _save(desk: Desk, name: str) -> str:
    conversation = desk.conversation
    path = Path(name or conversation.saved_to or time.strftime("chat-%Y%m%d-%H%M%S.md"))
    path = path.expanduser()
    if path.exists() and path != conversation.saved_to:
        raise InvalidRequestError(f"{path} exists; choose another name")
    is_json = path.suffix == ".json"
    text = conversation.as_json() if is_json else conversation.as_markdown()
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(text)
    conversation.saved_to = path
    return f"saved to {path}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)


def _clear(desk: Desk, _: str) -> str:
    desk.conversation.clear()
    return "a new conversation begins"


def _tools(desk: Desk, name: str) -> str:
    if name:
        from .tool_file import read_tools

        desk.conversation.tools = read_tools(Path(name).expanduser())
    names = [tool.name for tool in desk.conversation.tools]
    return f"tools: {', '.join(names)}" if names else "no tools; /tools FILE reads a JSON list"


def _help(desk: Desk, _: str) -> str:
    lines = [f"{usage:<28} {words}" for _, usage, words in COMMANDS.values()]
    lines.append(f"{'/exit':<28} end; so does Ctrl-D")
    lines.append('A line ending in \\ goes on; a block stands between two """; Ctrl-C stops.')
    return "\n".join(lines)


def _wrong(command: str, words: tuple[str, ...]) -> InvalidRequestError:
    return InvalidRequestError(f"{command} takes one of {', '.join(words)}")


COMMANDS: dict[str, tuple[Callable[[Desk, str], str], str, str]] = {
    "/model": (_model, "/model [NAME]", "show who answers, or talk to another model"),
    "/system": (_system, "/system [TEXT|off]", "show, set or drop the system prompt"),
    "/think": (_think, "/think on|off|auto|show|hide", "think first or not; unfold it or not"),
    "/route": (_route, "/route [auto|local|hosted]", "where answers may come from"),
    "/tools": (_tools, "/tools [FILE]", "show or read tools; you give their results"),
    "/cost": (_cost, "/cost", "tokens and money so far"),
    "/save": (_save, "/save [FILE]", "write it down: Markdown, or JSON for *.json"),
    "/clear": (_clear, "/clear", "begin a new conversation"),
    "/help": (_help, "/help", "this list"),
}
