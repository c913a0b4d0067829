"""With auto-pull on, the first request for a model fetches it; nothing else changes.

A fake Hub, the real puller, the real planner and the real engine stand behind each request.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner.catalog import Architecture, Catalog, Entry, GgufFile
from runner.config import EngineSettings
from runner.egress import Egress
from runner.errors import (
    DoesNotFitError,
    EngineLoadError,
    NoRouteError,
    NotInstalledError,
    RunnerError,
)
from runner.hardware import Hardware
from runner.hub import Library, Puller, Repositories
from runner.local.backend import LocalBackend, Surroundings
from runner.local.fetching import Fetcher
from runner.local.planning import Planner
from runner.local.pool import COOL_DOWN_S, Pool
from runner.local.shelf import Shelf
from runner.router import Answer, Hooks, Router
from runner.router.policy import Rules
from runner.types import ChatPrompt, GenerateRequest, Message, TextDelta
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import QUICK, REPO
from tests.router.scripted import ScriptedHosted, says

GIB = 2**30
SMALL = Architecture(
    name="llama",
    num_layers=2,
    hidden_size=64,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=128,
    vocab_size=512,
)


class Clock:
    """Real time, and more when told to."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass
class House:
    """Everything local, as the services wire it, with a router before it."""

    hub: FakeHub
    library: Library
    shelf: Shelf
    pool: Pool
    local: LocalBackend
    clock: Clock
    hosted: tuple[ScriptedHosted, ...] = ()
    rules: Rules = Rules()

    async def answer(self, model: str = "small") -> Answer:
        router = Router(self.local, self.hosted, self.rules, Hooks())
        prompt = ChatPrompt((Message("user", "hi"),))
        request = GenerateRequest(id="r", model=model, prompt=prompt, max_tokens=3)
        return await router.answer(request)

    async def ask(self, model: str = "small") -> tuple[Answer, str]:
        """The whole answer's text."""
        answer = await self.answer(model)
        events = [event async for event in answer.events]
        return answer, "".join(one.text for one in events if isinstance(one, TextDelta))

    async def fetched(self, share: float) -> None:
        """Returns once that share of the model has been sent."""
        size = sum(len(blob.data) for blob in self.hub.repos[REPO].values())
        while self.hub.num_body_bytes < share * size:
            await asyncio.sleep(0.005)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    files = write_random_gguf(tmp_path / "Model-F16.gguf", max_shard_bytes=120_000)
    with FakeHub() as hub:
        hub.publish(REPO, {path.name: path for path in files})
        yield hub


@asynccontextmanager
async def house(
    home: Path,
    hub: FakeHub,
    *,
    memory_bytes: int = 8 * GIB,
    free_bytes: int = 10**12,
    auto_pull: bool = True,
    offline: bool = False,
) -> AsyncIterator[House]:
    rows = tuple(
        GgufFile(
            repo=REPO,
            name=name,
            quantization="F16",
            size_bytes=len(blob.data),
            shard=place,
            num_shards=len(hub.repos[REPO]),
        )
        for place, (name, blob) in enumerate(hub.repos[REPO].items(), 1)
    )
    entry = Entry(id="small", title="Small", context=512, architecture=SMALL, files=rows)
    library = Library(home / "state", home / "cache", Catalog([entry]))
    machine = Hardware(
        physical_cores=1,
        logical_cores=1,
        instruction_sets=frozenset({"avx2", "fma"}),
        memory_total_bytes=memory_bytes,
        memory_available_bytes=memory_bytes,
        disk_free_bytes=10**12,
        memory_bandwidth_bytes_per_s=40e9,
    )
    clock = Clock()
    shelf = Shelf(library, clock)
    settings = EngineSettings()
    planner = Planner(shelf, home / "state", lambda model: settings, clock, lambda folder: machine)

    def make_puller() -> Puller:
        egress = Egress(offline=offline)
        repositories = Repositories(egress, endpoint=hub.endpoint, sleep=lambda _: None)
        return Puller(library, repositories, patience=QUICK, free_bytes=lambda _: free_bytes)

    fetcher = Fetcher(shelf, planner, make_puller, clock) if auto_pull else None
    pool = Pool(fetcher.order if fetcher else planner.order, clock=clock)
    around = Surroundings(shelf, planner, lambda model: 64, clock, lambda: 1, fetcher)
    local = LocalBackend(pool, around)
    try:
        yield House(hub, library, shelf, pool, local, clock)
    finally:
        await local.aclose()


def size_of(hub: FakeHub) -> int:
    return sum(len(blob.data) for blob in hub.repos[REPO].values())


async def test_the_first_request_fetches_loads_and_answers(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub) as place:
        before = place.local.status("small")
        assert (before.readiness, before.quantization) == ("loadable", "F16")
        answer, text = await place.ask()
        route = answer.route.snapshot()
        assert text
        assert (route.served_by, route.quantization) == ("local", "F16")
        assert "not installed, but F16 would fit and is fetched first" in route.reasons[0]
        [installed] = place.library.installed()
        assert installed.verified
        assert place.local.status("small").reason == "small is ready on this machine"
        num_requests = len(hub.requests)
        await place.ask()
        assert len(hub.requests) == num_requests


async def test_a_named_quantisation_is_fetched_too(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub) as place:
        assert place.local.serves("small:F16")
        answer, text = await place.ask("small:F16")
        assert text and answer.route.snapshot().quantization == "F16"


async def test_many_waiting_requests_share_one_transfer(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub) as place:
        answers = await asyncio.gather(*(place.ask() for _ in range(6)))
        assert all(text for _, text in answers)
        assert hub.num_body_bytes == size_of(hub)
        resident = place.pool.resident("small")
        assert resident is not None and resident.num_loads == 1


async def test_while_it_comes_the_status_says_how_far_it_is(tmp_path: Path, hub: FakeHub) -> None:
    hub.bytes_per_s = 150_000
    async with house(tmp_path, hub) as place:
        asking = asyncio.create_task(place.ask())
        seen: list[str] = []
        while not asking.done():
            status = place.local.status("small")
            if status.reason not in seen:
                seen.append(status.reason)
                assert status.readiness in ("loadable", "loading", "ready")
            await asyncio.sleep(0.02)
        assert (await asking)[1]
    assert any("small is being fetched: small F16 from" in words for words in seen)
    shares = [words for words in seen if ".gguf: " in words and "kB of" in words]
    assert len(shares) > 3, seen
    assert not any(words != " ".join(words.split()) for words in seen)  # each is one line


async def test_clients_that_leave_do_not_stop_it(tmp_path: Path, hub: FakeHub) -> None:
    hub.bytes_per_s = 150_000
    async with house(tmp_path, hub) as place:
        asking = asyncio.create_task(place.ask())
        await place.fetched(0.2)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        hub.bytes_per_s = None
        assert (await place.ask())[1]
        assert hub.num_body_bytes == size_of(hub)


async def test_a_failing_pull_is_one_clear_error_for_all_and_then_rests(
    tmp_path: Path, hub: FakeHub
) -> None:
    fault = hub.inject("cdn", "status", status=500, times=None)
    async with house(tmp_path, hub) as place:
        errors = await asyncio.gather(*(place.ask() for _ in range(3)), return_exceptions=True)
        [words] = {str(error) for error in errors}
        assert all(isinstance(error, NotInstalledError) for error in errors)
        assert words.startswith("the weights of small could not be fetched: the download failed")
        assert "\n" not in words
        num_requests = len(hub.requests)
        with pytest.raises(NoRouteError, match=r"tried again in \d+ s"):
            await place.ask()
        with pytest.raises(NotInstalledError, match="could not be fetched"):
            await place.pool.engine("small")
        assert len(hub.requests) == num_requests
        hub.faults["cdn"].remove(fault)
        place.clock.ahead_s += COOL_DOWN_S + 1
        assert (await place.ask())[1]


async def test_a_failing_pull_falls_back_to_hosted_where_the_settings_allow_it(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.inject("api", "status", status=404, times=None)
    async with house(tmp_path, hub) as place:
        place.hosted = (ScriptedHosted([says("from afar")]),)
        with pytest.raises(NotInstalledError):
            await place.ask()
        place.clock.ahead_s += COOL_DOWN_S + 1
        place.rules = Rules(fallback_on=frozenset({"not_installed"}))
        answer, text = await place.ask()
        assert (text, answer.served_by) == ("from afar", "openrouter")
        assert any("local failed (not_installed)" in one for one in answer.route.snapshot().reasons)
        answer, text = await place.ask()  # while it rests nobody waits for it
        assert (text, answer.served_by) == ("from afar", "openrouter")


async def test_what_cannot_fit_is_never_asked_for(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub, memory_bytes=520 * 2**20) as place:
        for model in ("small", "small:F16"):
            assert place.local.status(model).cause == "does_not_fit"
            with pytest.raises(DoesNotFitError):
                await place.pool.engine(model)
        place.hosted = (ScriptedHosted([says("from afar")]),)
        assert (await place.ask())[1] == "from afar"
        assert hub.requests == []


async def test_a_repository_outside_the_catalogue_is_not_fetched(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.publish("stranger/Other-GGUF", {"Other-Q4_0.gguf": b"x"})
    async with house(tmp_path, hub) as place:
        for model in ("hf.co/stranger/Other-GGUF", "hf.co/stranger/Other-GGUF:Q4_0"):
            assert not place.local.serves(model)
            with pytest.raises(RunnerError):
                await place.ask(model)
            with pytest.raises(NotInstalledError):
                await place.pool.engine(model)
        assert hub.requests == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda hub: hub.inject("cdn", "corrupt", at=1000, times=None), "wrong bytes"),
        (lambda hub: hub.inject("api", "html", times=None), "login page"),
        (lambda hub: hub.publish(REPO, {"README.md": b"gone"}), "no complete GGUF"),
    ],
)
async def test_what_could_not_be_proved_is_never_served(
    tmp_path: Path, hub: FakeHub, spoil: Callable[[FakeHub], object], words: str
) -> None:
    async with house(tmp_path, hub) as place:
        spoil(hub)
        with pytest.raises(NotInstalledError, match=words):
            await place.ask()
        assert place.library.installed() == []
        assert place.pool.residency("small") == "absent"
        blobs = place.library.cache_dir.glob("models--*/blobs/*")
        assert [one for one in blobs if one.suffix not in (".partial", ".progress")] == []


async def test_weights_another_tool_left_are_served_but_said_to_be_unproved(
    tmp_path: Path, hub: FakeHub
) -> None:
    async with house(tmp_path, hub) as place:
        await place.ask()
        for record in (tmp_path / "state" / "verified").iterdir():
            record.unlink()
        place.shelf.refresh()
        num_requests = len(hub.requests)
        answer, text = await place.ask()
        assert text
        assert "its hash has not been checked" in answer.route.snapshot().reasons[0]
        assert len(hub.requests) == num_requests


async def test_too_small_a_disk_is_refused_with_the_numbers(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub, free_bytes=1000) as place:
        with pytest.raises(NotInstalledError, match=r"GB are to be fetched but only 0\.00 GB"):
            await place.ask()
        assert hub.num_body_bytes == 0


async def test_a_server_that_ends_stops_fetching_and_keeps_what_came(
    tmp_path: Path, hub: FakeHub
) -> None:
    hub.bytes_per_s = 100_000
    async with house(tmp_path, hub) as place:
        asking = asyncio.create_task(place.ask())
        await place.fetched(0.5)
        begun_s = time.monotonic()
        await place.local.aclose()
        assert time.monotonic() - begun_s < 2
        with pytest.raises(EngineLoadError, match="shutting down"):
            await asking
    hub.bytes_per_s = None
    async with house(tmp_path, hub) as place:
        assert (await place.ask())[1]
    assert hub.num_body_bytes < 1.5 * size_of(hub)


async def test_off_or_offline_nothing_is_asked_of_anyone(tmp_path: Path, hub: FakeHub) -> None:
    async with house(tmp_path, hub, auto_pull=False) as place:
        assert place.local.status("small").cause == "not_installed"
        with pytest.raises(NoRouteError, match="runner pull small fetches them"):
            await place.ask()
        with pytest.raises(NotInstalledError):
            await place.pool.engine("small")
    async with house(tmp_path, hub, offline=True) as place:
        with pytest.raises(NotInstalledError, match="offline: looking up"):
            await place.ask()
    assert hub.requests == []
