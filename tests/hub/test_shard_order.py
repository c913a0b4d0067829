"""Shards that stand in each other's place (D5): found before any of them is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.errors import GgufError
from runner.hub import Library, verify
from runner.local.shelf import Shelf
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    (tmp_path / "made").mkdir()
    made = write_random_gguf(tmp_path / "made" / "Model-F16.gguf", max_shard_bytes=120_000)
    assert len(made) == 3
    return made


def swap(one: Path, other: Path) -> None:
    """Exchange two names; links keep where they lead to."""
    aside = one.with_name("aside")
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def facts_of(library: Library, model: str) -> None:
    """What the server asks before it starts an engine."""
    shelf = Shelf(library, clock=lambda: 0.0)
    weights = shelf.find(model)
    assert weights is not None
    shelf.facts(weights)


def test_swapped_shards_are_not_imported(place: Place, shards: list[Path]) -> None:
    swap(shards[0], shards[1])
    with pytest.raises(GgufError, match=r"not the 3 shards of one model"):
        place.library.imports.add(shards[0], "mine", place.library.catalog)
    assert place.library.imports.all() == []


def test_imported_shards_that_are_swapped_later_are_not_loaded(
    place: Place, shards: list[Path]
) -> None:
    place.library.imports.add(shards[0], "mine", place.library.catalog)
    facts_of(place.library, "mine")
    verify(place.library, place.library.require("mine"))
    swap(shards[0], shards[1])
    with pytest.raises(GgufError, match="not the 3 shards of one model"):
        facts_of(place.library, "mine")
    states = [one.state for one in verify(place.library, place.library.require("mine"))]
    assert states == ["damaged", "damaged", "unknown"]


@pytest.mark.parametrize("kind", ["names", "blobs"])
def test_fetched_shards_that_are_swapped_are_not_loaded_and_mended(
    place: Place, hub: FakeHub, shards: list[Path], kind: str
) -> None:
    hub.publish(REPO, {path.name: path for path in shards})
    place.pull()
    model = f"hf.co/{REPO}"
    facts_of(place.library, model)
    [installed] = place.library.installed()
    first, second, _ = installed.paths if kind == "names" else installed.blobs
    swap(first, second)
    with pytest.raises(GgufError, match="not the 3 shards of one model"):
        facts_of(place.library, model)
    if kind == "names":  # each file is right in itself; only a fresh start puts the names right
        place.library.remove(place.library.require(model))
    place.pull()
    facts_of(place.library, model)
    found = place.library.require(model)
    assert [path.read_bytes() for path in found.paths] == [path.read_bytes() for path in shards]
