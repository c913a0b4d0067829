"""Pulling: what is chosen, what is refused before the first byte, and what is never done twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.catalog import Entry, GgufFile
from runner.errors import (
    DoesNotFitError,
    DownloadError,
    IntegrityError,
    ModelNotFoundError,
    OfflineError,
)
from runner.gguf import read_header
from runner.hub import InPlace, Pulled, Resolved, by_size, describe
from runner.hub.remote import RemoteSource
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place, noise

FILES: dict[str, Path | bytes] = {
    "Model-Q8_0.gguf": noise(80_000, 1),
    "Model-Q4_K_M.gguf": noise(40_000, 2),
    "Q6_K/Model-Q6_K-00001-of-00002.gguf": noise(30_000, 3),
    "Q6_K/Model-Q6_K-00002-of-00002.gguf": noise(29_000, 4),
    "mmproj-Model-f16.gguf": noise(5_000, 5),
    "README.md": b"hello",
}


@pytest.fixture
def published(hub: FakeHub) -> FakeHub:
    hub.publish(REPO, FILES)
    return hub


def resolved(place: Place, name: str, limit: int = 10**9) -> Resolved:
    events = list(place.puller.pull(name, choose=by_size(lambda size: size <= limit)))
    return next(event for event in events if isinstance(event, Resolved))


def test_the_best_that_fits_is_chosen_and_the_reason_given(
    place: Place, published: FakeHub
) -> None:
    found = resolved(place, f"hf.co/{REPO}", limit=60_000)
    assert found.quantization == "Q6_K"
    assert "best that fits" in found.reason
    assert found.names == (
        "Q6_K/Model-Q6_K-00001-of-00002.gguf",
        "Q6_K/Model-Q6_K-00002-of-00002.gguf",
        "mmproj-Model-f16.gguf",
    )
    [installed] = place.library.installed()
    assert [path.name for path in installed.paths] == [
        "Model-Q6_K-00001-of-00002.gguf",
        "Model-Q6_K-00002-of-00002.gguf",
    ]
    assert installed.mmproj is not None
    assert installed.size_bytes == 59_000


def test_a_named_quantisation_is_taken_whatever_fits(place: Place, published: FakeHub) -> None:
    assert resolved(place, f"hf.co/{REPO}:q8_0", limit=0).quantization == "Q8_0"


def test_nothing_that_fits_is_an_error_with_the_smallest_size(
    place: Place, published: FakeHub
) -> None:
    with pytest.raises(DoesNotFitError, match="smallest .Q4_K_M. has 0.00 GB") as caught:
        resolved(place, f"hf.co/{REPO}", limit=10)
    assert caught.value.needed_bytes == 40_000
    assert published.num_body_bytes == 0


def test_a_quantisation_that_is_not_there_names_those_that_are(
    place: Place, published: FakeHub
) -> None:
    with pytest.raises(DownloadError, match="it has Q8_0, Q6_K, Q4_K_M"):
        place.pull(f"hf.co/{REPO}:Q2_K")


def test_too_small_a_disk_is_refused_before_the_first_byte(
    make_place: Callable[..., Place], published: FakeHub
) -> None:
    with pytest.raises(DownloadError, match=r"0\.00 GB are to be fetched but only 0\.07 GB"):
        make_place(free_bytes=67_150_000).pull()
    assert published.num_body_bytes == 0


def test_pulling_again_asks_nobody(make_place: Callable[..., Place], published: FakeHub) -> None:
    place = make_place()
    first = place.pull()[-1]
    num_requests = len(published.requests)
    [again] = place.pull()
    assert isinstance(first, Pulled)
    assert isinstance(again, Pulled)
    assert again.installed == first.installed
    assert len(published.requests) == num_requests
    assert isinstance(make_place(offline=True).pull()[-1], Pulled)


def test_offline_a_pull_is_refused_without_a_request(
    make_place: Callable[..., Place], published: FakeHub
) -> None:
    with pytest.raises(OfflineError):
        make_place(offline=True).pull()
    assert published.requests == []


def test_the_real_client_finds_what_was_pulled(place: Place, published: FakeHub) -> None:
    place.pull()
    import huggingface_hub

    path = huggingface_hub.hf_hub_download(
        REPO, "Model-Q8_0.gguf", cache_dir=place.library.cache_dir, local_files_only=True
    )
    assert Path(path).read_bytes() == FILES["Model-Q8_0.gguf"]


def test_what_the_real_client_fetched_is_proved_not_fetched_again(
    place: Place, published: FakeHub
) -> None:
    import huggingface_hub

    place.puller._repositories._connect()
    huggingface_hub.hf_hub_download(
        REPO, "Model-Q8_0.gguf", cache_dir=place.library.cache_dir, endpoint=published.endpoint
    )
    assert not place.library.installed()[0].verified
    num_bytes = published.num_body_bytes
    place.pull(f"hf.co/{REPO}:Q8_0")
    assert place.library.installed()[0].verified
    assert published.num_body_bytes == num_bytes + 5_000


def test_a_page_of_many_files_is_read_to_the_end(place: Place, published: FakeHub) -> None:
    published.page_length = 2
    assert resolved(place, f"hf.co/{REPO}").quantization == "Q8_0"


def entry(**more: object) -> Entry:
    return Entry.model_validate(
        {"id": "model", "title": "Model", "repositories": ["other/Empty-GGUF", REPO], **more}
    )


def test_the_next_repository_is_tried_when_one_has_no_such_weights(
    make_place: Callable[..., Place], published: FakeHub
) -> None:
    published.publish("other/Empty-GGUF", {"README.md": b"nothing"})
    place = make_place(entries=(entry(),))
    assert resolved(place, "model:Q4_K_M").repo == REPO
    assert place.library.locate("model", "q4_k_m") is not None
    assert place.library.require("model").model_id == "model"


def test_another_hash_than_the_catalogues_is_refused_unless_trusted(
    make_place: Callable[..., Place], published: FakeHub
) -> None:
    row = GgufFile(repo=REPO, name="Model-Q4_K_M.gguf", quantization="Q4_K_M", sha256="ab" * 32)
    place = make_place(entries=(entry(repositories=[REPO], files=[row]),))
    with pytest.raises(IntegrityError, match="--trust-hub"):
        place.pull("model:Q4_K_M")
    assert published.num_body_bytes == 0
    list(place.puller.pull("model:Q4_K_M", trust_hub=True))
    assert place.library.require("model").quantization == "Q4_K_M"


def test_a_model_without_known_weights_says_so(make_place: Callable[..., Place]) -> None:
    place = make_place(entries=(Entry(id="m", title="m", note="only legacy files"),))
    with pytest.raises(DownloadError, match="only legacy files"):
        place.pull("m")
    with pytest.raises(ModelNotFoundError):
        place.pull("nobody")


def test_events_are_plain_json(place: Place, published: FakeHub) -> None:
    lines = [json.loads(json.dumps(describe(event))) for event in place.pull()]
    assert [line["event"] for line in lines if line["event"] != "progress"] == [
        "resolved",
        "inplace",
        "inplace",
        "pulled",
    ]
    assert isinstance(place.pull()[0], Pulled)
    assert all(not isinstance(event, InPlace) for event in place.pull())


def test_a_remote_header_is_read_without_the_weights(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    [path] = write_random_gguf(tmp_path / "Model-F16.gguf", hidden_size=512, vocab_size=4096)
    hub.publish(REPO, {path.name: path})
    repositories = place.puller._repositories
    snapshot = repositories.snapshot(REPO)
    file = snapshot.files[0]
    import httpx

    with repositories.egress.sync_client(purpose="test", timeout=httpx.Timeout(5)) as client:
        source = RemoteSource(lambda: repositories.link(snapshot, file), file.size_bytes, client)
        facts = read_header(source, file.name)
    assert (facts.num_layers, facts.hidden_size, facts.vocab_size) == (2, 512, 4096)
    assert hub.num_body_bytes < file.size_bytes // 4


def test_a_cache_that_cannot_be_written_is_one_sentence_and_still_serves(
    make_place: Callable[..., Place], published: FakeHub
) -> None:
    place = make_place()
    place.pull(f"hf.co/{REPO}:Q4_K_M")
    folders = [one for one in place.library.cache_dir.rglob("*") if one.is_dir()]
    for folder in [*folders, place.library.cache_dir]:
        folder.chmod(0o555)
    try:
        assert place.library.installed()[0].verified
        assert isinstance(place.pull(f"hf.co/{REPO}:Q4_K_M")[-1], Pulled)
        if os.getuid() != 0:
            with pytest.raises(DownloadError, match="permissions"):
                place.pull(f"hf.co/{REPO}:Q8_0")
    finally:
        for folder in [place.library.cache_dir, *folders]:
            folder.chmod(0o755)


def test_importing_the_package_does_not_import_the_client() -> None:
    code = "import sys, runner.hub; print('huggingface_hub' in sys.modules)"
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"
