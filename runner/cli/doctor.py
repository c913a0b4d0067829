"""`runner doctor`: a self-test of this installation, one verdict a line.

Owns the checks and their order. Each runs the real thing; nothing is assumed, nothing leaves this
machine, and no key is shown. Invariant: a check that cannot be run is a check that fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from runner.config import Settings
    from runner.services import Services
    from runner.types import Event, GenerateRequest

MIB = 2**20
CHECK_TIMEOUT_S = 120.0
MIN_DISK_FREE_BYTES = 512 * MIB
MAX_CANCEL_S = 0.75  # half a second, and one heartbeat to see it
# What the plan does not count: the interpreter, its libraries, and what the allocator keeps.
MEMORY_SLACK = 1.25
MEMORY_SLACK_BYTES = 256 * MIB
LOOPBACK = ("127.", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one check."""

    check: str
    ok: bool
    detail: str


class Unwell(Exception):  # noqa: N818 - a verdict, not an error
    """A check found something wrong; the message says what, and what to do."""


def command(
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that this installation works."""
    import asyncio
    import json

    from runner.config import load

    verdicts: list[Verdict] = []

    async def run() -> None:
        async for verdict in examine(load().settings):
            verdicts.append(verdict)
            if not json_:
                mark = "ok  " if verdict.ok else "FAIL"
                typer.echo(f"{mark}  {verdict.check:<8}  {verdict.detail}")

    asyncio.run(run())
    if json_:
        typer.echo(json.dumps([asdict(verdict) for verdict in verdicts]))
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)


async def examine(settings: Settings) -> AsyncIterator[Verdict]:
    """Every verdict, as soon as it is known."""
    from runner.services import build

    services = build(settings)
    try:
        for name, check in (
            ("disk", check_disk),
            ("ledger", check_ledger),
            ("keys", check_keys),
        ):
            yield await judge(name, check(services))
        engine = await judge("engine", check_engine(services))
        yield engine
        for name, check in (
            ("model", check_model),
            ("memory", check_memory),
            ("tools", check_tools),
            ("cancel", check_cancel),
            ("offline", check_offline),
        ):
            if engine.ok:
                yield await judge(name, check(services))
            else:
                yield Verdict(name, False, "not tried, because the engine did not start")
    finally:
        await services.stop()


async def judge(name: str, check: Awaitable[str]) -> Verdict:
    """The check's detail, or why it failed."""
    import asyncio

    from runner.egress import redact
    from runner.errors import RunnerError

    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return Verdict(name, True, await check)
    except TimeoutError:
        return Verdict(name, False, f"no answer within {CHECK_TIMEOUT_S:.0f} s")
    except (Unwell, RunnerError, OSError) as error:
        return Verdict(name, False, redact(str(error)))


async def check_disk(services: Services) -> str:
    """The state folder can be written, and there is room in it."""
    import shutil

    folder = services.settings.state_dir
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".doctor"
    probe.write_bytes(b"ok" * 2048)
    probe.unlink()
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < MIN_DISK_FREE_BYTES:
        raise Unwell(f"{folder} has {free_bytes / MIB:.0f} MiB left; make room")
    return f"{folder} can be written, {free_bytes / 2**30:.1f} GiB are free"


async def check_ledger(services: Services) -> str:
    """The ledger's file can be read and written."""
    if services.ledger.trouble is not None:
        raise Unwell(services.ledger.trouble)
    await services.ledger.flush()
    report = await services.ledger.usage()
    return f"readable and writable, {report.totals.requests} requests so far"


async def check_keys(services: Services) -> str:
    """Which providers have a key that can be sent. A key is never shown, not even in part."""
    import os

    from runner.hosted import build_providers

    found: list[str] = []
    broken: list[str] = []
    for provider in build_providers(services.settings.providers, os.environ):
        if provider.key:
            is_sendable = provider.key.isascii() and provider.key.isprintable()
            (found if is_sendable else broken).append(provider.key_env)
    if broken:
        raise Unwell(f"{', '.join(broken)}: no header can carry what is in there; set it again")
    return f"set: {', '.join(found)}" if found else "none set, so that nothing is sent to anyone"


async def check_engine(services: Services) -> str:
    """The smallest model that is here loads in a process of its own."""
    import time

    begun_s = time.perf_counter()
    model = smallest(services)
    engine = await services.pool.engine(model)
    return f"{model} loaded in {time.perf_counter() - begun_s:.2f} s, in process {engine.pid}"


async def check_model(services: Services) -> str:
    """It answers, and says why it stopped."""
    import time

    from runner.types import Finished

    begun_s = time.perf_counter()
    async for event in events_of(services, question(services, max_tokens=24)):
        if isinstance(event, Finished):
            elapsed_s = time.perf_counter() - begun_s
            return f"answered {event.usage.completion_tokens} tokens in {elapsed_s:.2f} s"
    raise Unwell("the answer ended without a reason; reinstall, or report this")


async def check_memory(services: Services) -> str:
    """What the engine takes is what the plan said it would."""
    import psutil

    resident = services.pool.resident(smallest(services))
    if resident is None or resident.engine is None:
        raise Unwell("the engine is gone; see the log of the system for who killed it")
    measured = psutil.Process(resident.engine.pid).memory_info().rss
    planned = resident.ram_bytes
    detail = f"planned {planned / MIB:.0f} MiB, measured {measured / MIB:.0f} MiB"
    if measured > planned * MEMORY_SLACK + MEMORY_SLACK_BYTES:
        raise Unwell(f"{detail}; set engine.memory_budget to leave room for the difference")
    return detail


async def check_tools(services: Services) -> str:
    """A tool call that is asked for comes, with arguments that satisfy its schema."""
    import json
    from dataclasses import replace

    from runner.types import ChatPrompt, Message, Tool, ToolCallDelta, ToolChoice

    city = {"type": "string", "maxLength": 24}
    schema = {"type": "object", "properties": {"city": city}, "required": ["city"]}
    tool = Tool("get_weather", "The weather in a city.", {**schema, "additionalProperties": False})
    asked = Message("user", "What is the weather in Paris?")
    prompt = ChatPrompt((asked,), tools=(tool,), tool_choice=ToolChoice("named", tool.name))
    request = replace(question(services, max_tokens=200), prompt=prompt)
    name, arguments = "", ""
    async for event in events_of(services, request):
        if isinstance(event, ToolCallDelta):
            name += event.name or ""
            arguments += event.arguments
    try:
        called = json.loads(arguments)
    except ValueError:
        called = None
    if name != tool.name or not isinstance(called, dict) or set(called) != {"city"}:
        raise Unwell(f"a tool call was forced, but {name!r} came with {arguments[:80]!r}")
    return f"{name}({arguments})"


async def check_cancel(services: Services) -> str:
    """An answer that nobody wants any more stops at once."""
    import asyncio
    import time
    from dataclasses import replace

    engine = await services.pool.engine(smallest(services))
    request = question(services, max_tokens=engine.facts.num_context // 2)
    request = replace(request, sampling=replace(request.sampling, ignore_eos=True))
    answer = await services.router.answer(request)
    async for _event in answer.events:
        break
    status = engine.status
    while engine.status is status or engine.status is None or not engine.status.is_busy:
        status = engine.status  # until it has said that it is busy
        await asyncio.sleep(0.005)
    begun_s = time.perf_counter()
    await answer.aclose()
    while engine.status is not None and engine.status.is_busy:
        await asyncio.sleep(0.005)
    elapsed_s = time.perf_counter() - begun_s
    if elapsed_s > MAX_CANCEL_S:
        raise Unwell(
            f"a cancelled answer went on for {elapsed_s:.2f} s; is the machine overloaded?"
        )
    return f"a cancelled answer was gone after {elapsed_s:.2f} s"


async def check_offline(services: Services) -> str:
    """With --offline, in a process that is watched, nothing but this machine is spoken to."""
    import asyncio
    import json
    import os
    import sys

    settings = services.settings.model_copy(update={"home": services.settings.state_dir})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from runner.cli.doctor import prove_offline; prove_offline()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENROUTER_API_KEY": "sk-or-none"},  # so that a way out is tried
    )
    out, err = await process.communicate(settings.model_dump_json().encode())
    if process.returncode != 0:
        last = err.decode(errors="replace").strip().rpartition("\n")[2]
        raise Unwell(f"the watched process failed: {last[:200]}")
    proof: dict[str, Any] = json.loads(out)
    if proof["contacts"] or proof["num_refused"] != len(OFFLINE_TRIES):
        raise Unwell(f"offline was not kept: {proof}; please report this")
    return (
        f"answered {proof['num_tokens']} tokens, refused {proof['num_refused']} ways out, looked "
        "up and contacted nobody"
    )


# -- asking -------------------------------------------------------------------------------------


def smallest(services: Services) -> str:
    """The model that is quickest to try. Raises NotInstalledError."""
    from runner.errors import NotInstalledError

    here = min(services.shelf.installed(), key=lambda one: one.size_bytes, default=None)
    if here is None:
        raise NotInstalledError("no model is installed; runner pull MODEL fetches one")
    return here.model_id


def question(services: Services, *, max_tokens: int) -> GenerateRequest:
    """A question to the smallest model, on this machine."""
    from runner.types import ChatPrompt, GenerateRequest, Message, SamplingParams

    return GenerateRequest(
        id="doctor",
        model=smallest(services),
        prompt=ChatPrompt((Message("user", "Hello"),)),
        sampling=SamplingParams(temperature=0),
        max_tokens=max_tokens,
        route="local",
    )


async def events_of(services: Services, request: GenerateRequest) -> AsyncIterator[Event]:
    """Every event of the answer."""
    answer = await services.router.answer(request)
    try:
        async for event in answer.events:
            yield event
    finally:
        await answer.aclose()


# -- the watched process ------------------------------------------------------------------------


def prove_offline() -> None:
    """Runs in a child: serve and try to get out, with every contact written down; prints JSON."""
    import asyncio
    import json
    import sys

    from runner.config import Settings

    contacts: list[str] = []
    sys.addaudithook(lambda event, details: note_contact(event, details, contacts))
    settings = Settings.model_validate_json(sys.stdin.read())
    outcome = asyncio.run(live_offline(settings.model_copy(update={"offline": True})))
    typer.echo(json.dumps({**outcome, "contacts": contacts}))


def note_contact(event: str, details: tuple[Any, ...], contacts: list[str]) -> None:
    """Write down every look-up and connection that is not to this machine itself."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = details[0]
    elif event in ("socket.connect", "socket.sendto"):
        host = details[1][0] if isinstance(details[1], tuple) else None
    else:
        return
    if isinstance(host, bytes):
        host = host.decode(errors="replace")
    if isinstance(host, str) and not host.startswith(LOOPBACK):
        contacts.append(f"{event} {host}")


async def live_offline(settings: Settings) -> dict[str, int]:
    """Answer a question and try every way out; how many tokens came, how many were refused."""
    from runner.errors import RunnerError
    from runner.services import build
    from runner.types import Finished

    services = build(settings)
    num_tokens = num_refused = 0
    try:
        await services.start()
        async for event in events_of(services, question(services, max_tokens=8)):
            if isinstance(event, Finished):
                num_tokens = event.usage.completion_tokens
        for attempt in OFFLINE_TRIES:
            try:
                await attempt(services)
            except RunnerError:
                num_refused += 1
    finally:
        await services.stop()
    return {"num_tokens": num_tokens, "num_refused": num_refused}


async def try_hosted(services: Services) -> None:
    """A model that is only elsewhere."""
    from dataclasses import replace

    elsewhere = next(entry for entry in services.catalog if entry.hosted)
    request = replace(question(services, max_tokens=8), model=elsewhere.id, route="hosted")
    async for _event in events_of(services, request):
        pass


async def try_pull(services: Services) -> None:
    """A download."""
    import asyncio

    await asyncio.to_thread(list, services.make_puller().pull("hf.co/doctor/none:Q4_K_M"))


OFFLINE_TRIES: tuple[Callable[[Services], Awaitable[None]], ...] = (try_hosted, try_pull)
