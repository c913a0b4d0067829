"""`runner doctor`: a self-test of this installation, one verdict a line.

Owns the order of the checks. Each runs the real thing; nothing is assumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from runner.services import Services


def command(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that this installation works."""
    import asyncio
    import json

    verdicts = asyncio.run(_examine())
    if json_:
        typer.echo(json.dumps(verdicts))
    else:
        for verdict in verdicts:
            mark = "ok  " if verdict["ok"] else "FAIL"
            typer.echo(f"{mark}  {verdict['check']:<10}  {verdict['detail']}")
    if not all(verdict["ok"] for verdict in verdicts):
        raise typer.Exit(1)


async def _examine() -> list[dict[str, object]]:
    from runner.config import load
    from runner.errors import RunnerError
    from runner.services import build

    services = build(load().settings)
    verdicts: list[dict[str, object]] = []
    try:
        for name, check in (("state", _check_state), ("engine", _check_engine)):
            try:
                detail, is_ok = await check(services), True
            except (RunnerError, OSError) as error:
                detail, is_ok = str(error), False
            verdicts.append({"check": name, "ok": is_ok, "detail": detail})
    finally:
        await services.stop()
    return verdicts


async def _check_state(services: Services) -> str:
    """The state folder can be written."""
    folder = services.settings.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".doctor"
    probe.write_text("ok")
    probe.unlink()
    return f"{folder} is writable"


async def _check_engine(services: Services) -> str:
    """A model loads in its child and answers."""
    import time

    from runner.errors import NotInstalledError
    from runner.types import ChatPrompt, Finished, GenerateRequest, Message, SamplingParams

    entry = services.default_model()
    if entry is None:
        raise NotInstalledError("no model is installed; runner pull MODEL fetches one")
    request = GenerateRequest(
        id="doctor",
        model=entry.id,
        prompt=ChatPrompt((Message("user", "Hello"),)),
        sampling=SamplingParams(temperature=0),
        max_tokens=16,
    )
    begun = time.perf_counter()
    answer = await services.router.answer(request)
    num_tokens = 0
    async for event in answer.events:
        if isinstance(event, Finished):
            num_tokens = event.usage.completion_tokens
    elapsed_s = time.perf_counter() - begun
    return f"{entry.id} loaded and answered {num_tokens} tokens in {elapsed_s:.2f} s"
