"""Every way a line can fail ends in the right file or in one clear sentence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

import pytest

from runner.errors import DownloadError, IntegrityError, RunnerError
from runner.hub import Progress, Pulled
from runner.hub import partial as partial_module
from runner.hub import pull as pull_module
from runner.hub.partial import Partial
from runner.hub.transfer import Transfer
from tests.fakes.hub import FakeHub
from tests.hub.conftest import REPO, Place, noise
from tests.hub.pull_process import counted

MIB = 2**20
SIZE = 3 * MIB + 17
NAME = "Model-Q4_K_M.gguf"
SPAN_BYTES = MIB
RUN_BYTES = 4 * MIB


@pytest.fixture(autouse=True)
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of a few MiB is then fetched as a file of many GiB would be."""
    monkeypatch.setattr(partial_module, "SPAN_BYTES", SPAN_BYTES)
    monkeypatch.setattr(partial_module, "RUN_BYTES", RUN_BYTES)


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every piece that was taken off a connection."""
    sizes: list[int] = []
    monkeypatch.setattr(Transfer, "_body", counted(Transfer._body, sizes.append))
    return sizes


@pytest.fixture
def data(hub: FakeHub) -> bytes:
    data = noise(SIZE)
    hub.publish(REPO, {NAME: data})
    return data


def check_right(place: Place, data: bytes) -> None:
    [installed] = place.library.installed()
    assert installed.verified
    assert installed.paths[0].read_bytes() == data
    assert place.leftovers() == []


@pytest.mark.parametrize(
    ("kind", "at"),
    [
        *((kind, at) for kind in ("cut", "reset") for at in (0, 1, 65_536, SIZE // 2, SIZE - 1)),
        *((kind, at) for kind in ("stall", "drip") for at in (0, SIZE // 2)),
    ],
)
def test_a_broken_connection_goes_on_where_it_ended(
    place: Place, data: bytes, kind: str, at: int, received: list[int]
) -> None:
    """Not one byte that had been received is fetched again, whether by FIN, RST or silence.

    A reset makes the sender's kernel throw away what it had not sent yet: the Hub counts that as
    sent, but nobody had received it.
    """
    place.hub.inject("cdn", kind, at=at)
    place.pull()
    check_right(place, data)
    assert sum(received) == SIZE
    if kind != "reset":
        assert place.hub.num_body_bytes <= SIZE + 300_000


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("status", {"status": 429, "headers": {"Retry-After": "0"}}),
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("status", {"status": 403}),
        ("status", {"status": 404}),
        ("unsatisfiable", {}),
        ("html", {}),
        ("ignore_range", {}),
        ("length", {}),
        ("foreign_range", {}),
        ("corrupt", {"at": 1000}),
    ],
)
def test_a_fault_that_passes_is_outlived(
    place: Place, data: bytes, kind: str, details: dict[str, object]
) -> None:
    place.hub.inject("cdn", kind, **details)
    place.pull()
    check_right(place, data)


@pytest.mark.parametrize(
    ("kind", "details", "words"),
    [
        ("status", {"status": 429}, "answered 429"),
        ("status", {"status": 500}, "answered 500"),
        ("status", {"status": 403}, "answered 403"),
        ("status", {"status": 404}, "answered 404"),
        ("status", {"status": 400}, "answered 400"),
        ("unsatisfiable", {}, "fewer bytes than were promised"),
        ("html", {}, "web page"),
        ("length", {}, "other bytes than were asked for"),
        ("foreign_range", {}, "other bytes than were asked for"),
        ("cut", {"at": 0}, "failed 3 times in a row"),
        ("reset", {"at": 0}, "failed 3 times in a row"),
        ("stall", {"at": 0}, "failed 3 times in a row"),
        ("drip", {"at": SIZE - 1}, None),
        ("corrupt", {"at": 1000}, "wrong bytes"),
        ("ignore_range", {}, None),
    ],
)
def test_a_fault_that_stays_is_one_clear_sentence(
    place: Place, data: bytes, kind: str, details: dict[str, object], words: str | None
) -> None:
    place.hub.inject("cdn", kind, times=None, **details)
    if words is None:
        place.pull()
        check_right(place, data)
        return
    with pytest.raises((DownloadError, IntegrityError), match=words) as caught:
        place.pull()
    assert "\n" not in str(caught.value)
    assert place.blob_names() == set()
    assert place.library.installed() == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "status", "status": 401, "value": "GatedRepo"}, "gated"),
        ({"kind": "status", "status": 403, "value": "GatedRepo"}, "gated"),
        ({"kind": "status", "status": 404, "value": "RepoNotFound"}, "no repository"),
        ({"kind": "status", "status": 404, "value": "EntryNotFound"}, "no longer has that file"),
        ({"kind": "status", "status": 403, "value": ""}, "HF_TOKEN"),
        ({"kind": "status", "status": 500, "value": ""}, "answered 500"),
        ({"kind": "status", "status": 429, "value": ""}, "answered 429"),
        ({"kind": "etag", "value": "../../../../EVIL"}, "no hash"),
        ({"kind": "etag", "value": "0" * 64}, "changed while"),
        ({"kind": "commit"}, "login page"),
        ({"kind": "html"}, "login page"),
    ],
)
def test_a_refusal_of_the_hub_is_one_clear_sentence(
    place: Place, data: bytes, fault: dict[str, object], words: str
) -> None:
    place.hub.inject("head", **{"times": None, **fault})  # type: ignore[arg-type]
    with pytest.raises(RunnerError, match=words):
        place.pull()
    assert place.blob_names() == set()
    assert not list(place.library.cache_dir.parent.rglob("*EVIL*"))


@pytest.mark.parametrize("kind", ["html", "status"])
def test_a_hub_that_is_not_the_hub_is_noticed_before_any_file(
    place: Place, data: bytes, kind: str
) -> None:
    place.hub.inject("api", kind, times=None)
    with pytest.raises(DownloadError, match="login page|answered 500"):
        place.pull()
    assert not place.library.cache_dir.exists()


def test_a_passing_fault_of_the_hub_is_outlived(place: Place, data: bytes) -> None:
    place.hub.inject("api", "status", status=503)
    place.hub.inject("head", "status", status=429, headers={"Retry-After": "0"})
    place.pull()
    check_right(place, data)


def test_an_expired_link_is_asked_for_anew(place: Place, hub: FakeHub) -> None:
    data = noise(RUN_BYTES + SPAN_BYTES)
    hub.publish(REPO, {NAME: data})
    hub.link_uses = 1
    place.pull()
    check_right(place, data)
    assert len(hub.asked("HEAD", "resolve")) >= 2


def test_a_file_is_fetched_in_several_ranges_at_once(place: Place, hub: FakeHub) -> None:
    data = noise(2 * RUN_BYTES + 5)
    hub.publish(REPO, {NAME: data})
    events = place.pull()
    check_right(place, data)
    assert [
        one.range() for one in sorted(hub.asked("GET", "cdn"), key=lambda one: one.range())
    ] == [
        (0, RUN_BYTES - 1),
        (RUN_BYTES, 2 * RUN_BYTES - 1),
        (2 * RUN_BYTES, 2 * RUN_BYTES + 4),
    ]
    assert hub.num_body_bytes == len(data)
    last = [event for event in events if isinstance(event, Progress)][-1]
    assert (last.file_bytes, last.total_bytes) == (len(data), len(data))


def test_ranges_ignored_on_resume_start_the_file_anew(place: Place, hub: FakeHub) -> None:
    data = noise(2 * RUN_BYTES)
    hub.publish(REPO, {NAME: data})
    hub.inject("cdn", "ignore_range", times=None)
    hub.inject("cdn", "cut", at=1000)
    place.pull()
    check_right(place, data)


def test_what_was_fetched_before_a_final_failure_is_not_fetched_again(
    place: Place, data: bytes
) -> None:
    place.hub.inject("cdn", "cut", at=2 * MIB, times=1)
    place.hub.inject("cdn", "status", status=500, times=3)
    with pytest.raises(DownloadError, match="kept"):
        place.pull()
    place.pull()
    check_right(place, data)
    assert place.hub.num_body_bytes <= SIZE + 300_000


def test_a_new_version_upstream_does_not_mix_with_the_old_partial(
    place: Place, data: bytes
) -> None:
    place.hub.inject("cdn", "cut", at=MIB)
    place.hub.inject("cdn", "status", status=500, times=3)
    with pytest.raises(DownloadError):
        place.pull()
    newer = noise(SIZE, seed=9)
    place.hub.publish(REPO, {NAME: newer})
    place.pull()
    [installed] = place.library.installed()
    assert installed.paths[0].read_bytes() == newer


def test_the_token_goes_to_the_hub_only(
    make_place: Callable[..., Place], hub: FakeHub, data: bytes
) -> None:
    hub.token = "hf_secret"
    with pytest.raises(DownloadError, match="gated") as caught:
        make_place("stranger", token="hf_wrong").pull()
    assert "hf_wrong" not in str(caught.value)
    make_place("friend", token="hf_secret").pull()
    assert all("authorization" not in one.headers for one in hub.asked("GET", "cdn"))


def test_a_small_git_file_is_proved_by_its_git_hash(place: Place, hub: FakeHub) -> None:
    hub.publish(REPO, {NAME: b"tiny"}, is_lfs=False)
    place.pull()
    [installed] = place.library.installed()
    assert installed.blobs[0].name == hashlib.sha1(b"blob 4\0tiny").hexdigest()
    assert installed.verified


def test_stopping_in_the_middle_is_quick_and_keeps_what_is_there(
    place: Place, hub: FakeHub
) -> None:
    hub.publish(REPO, {NAME: noise(SIZE)})
    hub.bytes_per_s = 2 * MIB
    pull = place.puller.pull(f"hf.co/{REPO}")
    for event in pull:
        if isinstance(event, Progress) and event.total_bytes > MIB // 2:
            break
    pull.close()  # type: ignore[attr-defined]
    assert place.blob_names() == set()
    assert len(place.leftovers()) == 2
    hub.bytes_per_s = None
    assert isinstance(place.pull()[-1], Pulled)
    assert hub.num_body_bytes <= SIZE + MIB


def test_a_full_disk_keeps_the_partial_and_says_so(place: Place, data: bytes) -> None:
    def write(descriptor: int, piece: bytes | memoryview, offset: int) -> int:
        if offset > MIB:
            raise OSError(28, "No space left on device")
        return os.pwrite(descriptor, piece, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            pull_module, "Partial", lambda target, size: Partial(target, size, write=write)
        )
        with pytest.raises(DownloadError, match="disk is full"):
            place.pull()
    assert len(place.leftovers()) == 2
    place.pull()
    check_right(place, data)
    assert place.hub.num_body_bytes < 2 * SIZE
