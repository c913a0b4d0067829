"""`runner chat`: talk in the terminal, or one prompt and one answer.

Owns the loop and the terminal's side; the answer comes through the same router as the API's.
Invariant: every answer is closed, and Ctrl-C stops the answer, not the program.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from runner.services import Services
    from runner.types import Tool

    from .conversation import Conversation


def command(
    model: Annotated[
        str | None, typer.Argument(help="Model to talk to; the prompt, if --model is given.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Argument(help="One prompt: answer it and exit. Piped text is added.")
    ] = None,
    named: Annotated[str | None, typer.Option("-m", "--model", help="Model to talk to.")] = None,
    system: Annotated[str | None, typer.Option("-s", "--system", help="System prompt.")] = None,
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Think before answering, or not.")
    ] = None,
    show_thinking: Annotated[
        bool, typer.Option("--show-thinking", help="Leave the thinking on the screen.")
    ] = False,
    route: Annotated[
        Literal["auto", "local", "hosted"], typer.Option(help="Where the answer may come from.")
    ] = "auto",
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of one answer.")
    ] = None,
    tools: Annotated[
        Path | None, typer.Option(help="JSON list of tools the model may call; you answer them.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Do not say who answers.")] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print the one answer as JSON, with its route.")
    ] = False,
    offline: Annotated[
        bool | None, typer.Option("--offline", help="Open no outgoing connection at all.")
    ] = None,
) -> None:
    """Talk to a model in the terminal, or ask once.

    With a PROMPT, or text piped in, there is one answer on stdout and nothing else; who answers,
    why, and at what price is on stderr. Without one a conversation begins: /help lists its
    commands, Ctrl-C stops an answer, Ctrl-D ends.

    \b
    runner chat hermes-tiny "Who are you?"
    cat FILE | runner chat -m MODEL "Summarise this"
    """
    if named is not None:
        if prompt is not None:
            raise typer.BadParameter("beside --model there is only the prompt; put it in quotes")
        model, prompt = named, model
    is_piped = not sys.stdin.isatty()
    piped = sys.stdin.read().strip() if is_piped else ""
    text = "\n\n".join(part for part in (prompt, piped) if part)
    if not text and (is_piped or json_):
        raise typer.BadParameter("there is no prompt; give one, or pipe text in")

    from .conversation import Conversation

    start = Conversation(
        model or "", system, think, route, max_tokens=max_tokens, tools=_tools(tools)
    )
    _talk(start, text, as_json=json_, show_thinking=show_thinking, quiet=quiet, offline=offline)


def _talk(
    start: Conversation,
    text: str,
    *,
    as_json: bool,
    show_thinking: bool,
    quiet: bool,
    offline: bool | None,
) -> None:
    from .background import Background
    from .screen import open_screen
    from .talk import Talk, say

    screen = open_screen(show_thinking=show_thinking)
    with Background() as background:
        services = background.run(_open(offline))
        try:
            start.model = choose(services, start.model)
            talk = Talk(services, start, background, screen, say=(lambda _: None) if quiet else say)
            if as_json:
                talk.print_json(text)
            elif text:
                talk.answer_once(text)
            else:
                talk.converse()
        except BrokenPipeError:
            _forget_output()
            raise typer.Exit(1) from None
        finally:
            background.run(services.stop())


def _tools(path: Path | None) -> tuple[Tool, ...]:
    if path is None:
        return ()
    from .tool_file import read_tools

    return read_tools(path)


async def _open(offline: bool | None) -> Services:
    from runner.config import load
    from runner.services import build

    services = build(load({"offline": offline}).settings)
    await services.start()
    return services


def choose(services: Services, model: str | None) -> str:
    """The id of the model that was named, else of the default one. Raises RunnerError."""
    from runner.errors import NotInstalledError

    if model:
        return services.shelf.model_id(model)
    default = services.default_model()
    if default is None:
        raise NotInstalledError("no model is installed; runner pull MODEL fetches one")
    return default.id


def _forget_output() -> None:
    """The reader of the pipe is gone; what is still buffered goes nowhere."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
