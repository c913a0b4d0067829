"""What is installed, what is proved of it, what removing frees, and how damage is mended."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.catalog import Catalog, Entry, GgufFile
from runner.errors import (
    GgufError,
    InvalidRequestError,
    ModelNotFoundError,
    NotInstalledError,
    WeightsError,
)
from runner.hub import Library, Pulled, hub_cache_dir, verify
from runner.hub.partial import SPAN_BYTES
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place, noise

SIZE = 3 * SPAN_BYTES + 100


@pytest.fixture
def two(place: Place, hub: FakeHub) -> Place:
    hub.publish(REPO, {"Model-Q8_0.gguf": noise(90_000, 1), "Model-Q4_0.gguf": noise(50_000, 2)})
    place.pull(f"hf.co/{REPO}:Q8_0")
    place.pull(f"hf.co/{REPO}:Q4_0")
    return place


def damage(path: Path, at: int) -> None:
    """Flip a byte in place and hide it: same size, same times."""
    before = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0xFF]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_both_quantisations_are_listed_and_found(two: Place) -> None:
    listed = {one.quantization: one.size_bytes for one in two.library.installed()}
    assert listed == {"Q8_0": 90_000, "Q4_0": 50_000}
    found = two.library.locate(f"hf.co/{REPO}", "Q4_0")
    assert found is not None
    assert found.repo == REPO
    assert two.library.locate("nobody") is None


def test_a_set_with_a_missing_shard_is_not_installed(place: Place, hub: FakeHub) -> None:
    names = [f"Model-Q4_0-0000{n}-of-00002.gguf" for n in (1, 2)]
    hub.publish(REPO, {name: noise(9_000, seed) for seed, name in enumerate(names)})
    place.pull()
    [installed] = place.library.installed()
    installed.blobs[1].unlink()
    assert place.library.installed() == []


def test_removing_frees_exactly_what_it_says_and_leaves_the_other(two: Place) -> None:
    chosen = two.library.locate(f"hf.co/{REPO}", "Q8_0")
    assert chosen is not None
    assert two.library.remove(chosen) == 90_000
    assert [one.quantization for one in two.library.installed()] == ["Q4_0"]
    assert not chosen.blobs[0].exists()


def test_a_file_with_two_names_is_freed_with_the_second(place: Place, hub: FakeHub) -> None:
    data = noise(70_000)
    hub.publish(REPO, {"Model-Q4_0.gguf": data, "Model-Q4_1.gguf": data})
    place.pull(f"hf.co/{REPO}:Q4_0")
    place.pull(f"hf.co/{REPO}:Q4_1")
    first, second = place.library.installed()
    assert place.library.remove(first) == 0
    assert place.library.remove(second) == 70_000
    assert place.library.installed() == []


def test_an_import_of_a_cached_file_keeps_it_alive(
    place: Place, hub: FakeHub, tmp_path: Path
) -> None:
    [path] = write_random_gguf(tmp_path / "Model-F16.gguf")
    hub.publish(REPO, {path.name: path})
    place.pull()
    [installed] = place.library.installed()
    place.library.imports.add(installed.blobs[0], "mine", place.library.catalog)
    assert place.library.remove(installed) == 0
    assert place.library.require("mine").paths[0].is_file()


def test_verify_tells_right_from_damaged_and_repair_fetches_only_the_bad_place(
    place: Place, hub: FakeHub
) -> None:
    data = noise(SIZE)
    hub.publish(REPO, {"Model-Q4_0.gguf": data})
    place.pull()
    [installed] = place.library.installed()
    assert [one.state for one in verify(place.library, installed)] == ["right"]
    damage(installed.blobs[0], SPAN_BYTES + 5)
    verdicts = verify(place.library, installed)
    assert [one.state for one in verdicts] == ["damaged"]
    assert verdicts[0].damage == (range(SPAN_BYTES, 2 * SPAN_BYTES),)
    assert not place.library.installed()[0].verified
    before = hub.num_body_bytes
    mended = list(place.puller.repair(installed, verdicts))[-1]
    assert isinstance(mended, Pulled)
    assert hub.num_body_bytes - before == SPAN_BYTES
    assert installed.paths[0].read_bytes() == data
    assert place.library.installed()[0].verified


def test_without_a_proof_to_compare_with_the_whole_file_is_fetched(
    place: Place, hub: FakeHub
) -> None:
    data = noise(40_000)
    hub.publish(REPO, {"Model-Q4_0.gguf": data})
    place.pull()
    [installed] = place.library.installed()
    place.library.records.forget(installed.blobs[0])
    damage(installed.blobs[0], 7)
    verdicts = verify(place.library, installed)
    assert verdicts[0].state == "damaged"
    list(place.puller.repair(installed, verdicts))
    assert installed.paths[0].read_bytes() == data


def test_a_file_cut_short_is_damaged_and_mended(place: Place, hub: FakeHub) -> None:
    data = noise(40_000)
    hub.publish(REPO, {"Model-Q4_0.gguf": data})
    place.pull()
    [installed] = place.library.installed()
    os.truncate(installed.blobs[0], 100)
    assert not place.library.installed()[0].verified
    place.pull()
    assert installed.paths[0].read_bytes() == data


def test_an_import_uses_the_file_where_it_lies(place: Place, tmp_path: Path) -> None:
    shards = write_random_gguf(tmp_path / "mine.gguf", max_shard_bytes=120_000)
    one = place.library.imports.add(shards[0], "mine", place.library.catalog)
    assert (one.chat_format, one.quantization, one.context) == ("hermes_chatml", "F16", 512)
    found = place.library.require("mine")
    assert list(found.paths) == shards
    assert found.source == "imported"
    assert place.library.imports.add(shards[0], "mine", place.library.catalog_with_imports()) == one
    assert not found.verified
    assert place.library.catalog_with_imports().get("mine").chat_format == "hermes_chatml"
    assert [v.state for v in verify(place.library, found)] == ["unknown"] * 3
    damage(shards[1], shards[1].stat().st_size - 5)
    assert [v.state for v in verify(place.library, found)] == ["unknown", "damaged", "unknown"]
    assert place.library.remove(found) == 0
    assert shards[0].is_file()
    with pytest.raises(ModelNotFoundError):
        place.library.require("mine")


def test_an_import_the_catalogue_knows_by_hash_is_verified(place: Place, tmp_path: Path) -> None:
    [path] = write_random_gguf(tmp_path / "Known-F16.gguf")
    import hashlib

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    row = GgufFile(repo="a/b", name="Known-F16.gguf", quantization="F16", sha256=digest)
    catalog = Catalog([Entry(id="known", title="Known", files=(row,))])
    library = Library(tmp_path / "state", tmp_path / "cache", catalog)
    library.imports.add(path, "mine", library.catalog)
    [verdict] = verify(library, library.require("mine"))
    assert verdict.state == "right"
    assert "known" in verdict.detail
    assert library.require("mine").verified


def test_an_import_that_could_not_be_loaded_is_refused_with_the_reason(
    place: Place, tmp_path: Path
) -> None:
    (tmp_path / "page.gguf").write_bytes(b"<!DOCTYPE html>")
    with pytest.raises(GgufError, match="web page"):
        place.library.imports.add(tmp_path / "page.gguf", "x", place.library.catalog)
    with pytest.raises(NotInstalledError, match="no file"):
        place.library.imports.add(tmp_path / "absent.gguf", "x", place.library.catalog)
    with pytest.raises(InvalidRequestError, match="another model"):
        catalog = Catalog([Entry(id="x", title="x")])
        place.library.imports.add(tmp_path / "page.gguf", "x", catalog)
    assert place.library.imports.all() == []


def test_bundled_weights_are_found_and_cannot_be_removed(tmp_path: Path) -> None:
    write_random_gguf(tmp_path / "tiny.gguf")
    catalog = Catalog([Entry(id="tiny", title="tiny", bundled="tiny.gguf")])
    library = Library(tmp_path / "s", tmp_path / "c", catalog, bundled_dir=tmp_path)
    found = library.require("tiny")
    assert (found.verified, found.quantization) == (True, "F16")
    with pytest.raises(WeightsError, match="part of the program"):
        library.remove(found)


def test_what_is_not_here_says_how_to_get_it(make_place: Callable[..., Place]) -> None:
    place = make_place(entries=(Entry(id="m", title="m"),))
    with pytest.raises(NotInstalledError, match="runner pull m"):
        place.library.require("m")


def test_the_cache_is_where_the_environment_says() -> None:
    assert hub_cache_dir({"HF_HUB_CACHE": "/a"}) == Path("/a")
    assert hub_cache_dir({"HF_HOME": "/b"}) == Path("/b/hub")
    assert hub_cache_dir({"XDG_CACHE_HOME": "/c"}) == Path("/c/huggingface/hub")


@pytest.mark.parametrize("kind", ["garbage", "empty", "folder"])
def test_a_damaged_state_folder_breaks_nothing(two: Place, kind: str) -> None:
    for place in two.library.state_dir.rglob("*.json"):
        place.unlink()
        if kind == "folder":
            place.mkdir()
        else:
            place.write_bytes(b"{not json" if kind == "garbage" else b"")
    assert [one.verified for one in two.library.installed()] == [False, False]


def share(blob: Path, cache_dir: Path) -> Path:
    """Move a blob into the store that newer huggingface_hub versions share."""
    store = cache_dir / "blobs" / "ab" / ("ab" * 32)
    store.parent.mkdir(parents=True, exist_ok=True)
    if not store.exists():
        blob.rename(store)
    blob.unlink(missing_ok=True)
    blob.symlink_to(os.path.relpath(store, blob.parent))
    return store


def test_a_blob_in_the_shared_store_is_proved_by_its_hash(two: Place, hub: FakeHub) -> None:
    chosen = two.library.locate(f"hf.co/{REPO}", "Q8_0")
    assert chosen is not None
    store = share(chosen.blobs[0], two.library.cache_dir)
    found = two.library.locate(f"hf.co/{REPO}", "Q8_0")
    assert found is not None
    assert [one.state for one in verify(two.library, found)] == ["right"]
    assert two.library.remove(found) == 90_000
    assert not store.exists()


def test_shared_bytes_stay_while_another_repository_uses_them(two: Place, hub: FakeHub) -> None:
    hub.publish("other/Copy-GGUF", {"Model-Q8_0.gguf": noise(90_000, 1)})
    two.pull("hf.co/other/Copy-GGUF")
    both = [one for one in two.library.installed() if one.quantization == "Q8_0"]
    for one in both:
        share(one.blobs[0], two.library.cache_dir)
    first, second = [one for one in two.library.installed() if one.quantization == "Q8_0"]
    assert two.library.remove(first) == 0
    assert second.paths[0].read_bytes() == noise(90_000, 1)
    assert two.library.remove(second) == 90_000
