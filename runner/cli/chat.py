"""`runner chat`: talk in the terminal, or one prompt and one answer.

Owns the terminal's side; the answer comes through the same router as the API's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runner.services import Services
    from runner.types import Message


def command(
    model: Annotated[str | None, typer.Argument(help="Model to talk to.")] = None,
    prompt: Annotated[str | None, typer.Argument(help="One prompt; answers and exits.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    offline: Annotated[bool | None, typer.Option("--offline", help="Stay offline.")] = None,
) -> None:
    """Talk to a model in the terminal."""
    import asyncio

    piped = None if sys.stdin.isatty() else sys.stdin.read().strip()
    text = "\n\n".join(part for part in (prompt, piped) if part)
    asyncio.run(_run(model, text or None, system, offline))


async def _run(
    model: str | None, prompt: str | None, system: str | None, offline: bool | None
) -> None:
    from runner.config import load
    from runner.services import build
    from runner.types import Message

    services = build(load({"offline": offline}).settings)
    history: list[Message] = [Message("system", system)] if system else []
    try:
        chosen = _choose(services, model)
        if prompt is not None:
            await _answer(services, chosen, [*history, Message("user", prompt)])
            return
        typer.echo(f"{chosen} answers on this machine; an empty line or Ctrl-D ends.")
        while text := _ask():
            history.append(Message("user", text))
            history.append(await _answer(services, chosen, history))
    finally:
        await services.stop()


def _choose(services: Services, model: str | None) -> str:
    from runner.errors import NotInstalledError

    if model is not None:
        return services.shelf.model_id(model)
    default = services.default_model()
    if default is None:
        raise NotInstalledError("no model is installed; runner pull MODEL fetches one")
    return default.id


def _ask() -> str:
    try:
        return input("> ").strip()
    except EOFError:
        return ""


async def _answer(services: Services, model: str, messages: list[Message]) -> Message:
    from runner.types import ChatPrompt, GenerateRequest, Message, TextDelta

    request = GenerateRequest(
        id="chat",
        model=model,
        prompt=ChatPrompt(tuple(messages)),
        sampling=services.sampling_defaults(model),
    )
    answer = await services.router.answer(request)
    text = ""
    try:
        async for event in answer.events:
            if isinstance(event, TextDelta):
                text += event.text
                typer.echo(event.text, nl=False)
                sys.stdout.flush()
    finally:
        await answer.aclose()
    typer.echo()
    return Message("assistant", text)
