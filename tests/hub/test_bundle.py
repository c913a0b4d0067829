"""A model taken to a machine without network is the same model there, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from runner import catalog
from runner.catalog import Entry
from runner.errors import IntegrityError, NotInstalledError, RunnerError
from runner.hub import export_bundle, import_bundle
from runner.hub.bundle import write_entry
from tests.fakes.hub import FakeHub
from tests.fakes.random_gguf import write_random_gguf
from tests.hub.conftest import REPO, Place, noise

NAMES = [f"Q4_0/Model-Q4_0-0000{n}-of-00002.gguf" for n in (1, 2)]


@pytest.fixture
def bundle(make_place: Callable[..., Place], hub: FakeHub, tmp_path: Path) -> Path:
    hub.publish(REPO, {name: noise(9_000, seed) for seed, name in enumerate(NAMES)})
    place = make_place("here", entries=(Entry(id="m", title="M", repositories=(REPO,)),))
    place.pull("m")
    export_bundle(place.library, place.library.require("m"), tmp_path / "stick")
    return tmp_path / "stick"


def test_a_bundle_installs_without_network_as_if_pulled(
    make_place: Callable[..., Place], bundle: Path
) -> None:
    there = make_place("there", offline=True)
    import_bundle(there.library, bundle)
    [installed] = there.library.installed()
    assert (installed.model_id, installed.quantization, installed.verified) == ("m", "Q4_0", True)
    assert [path.read_bytes() for path in installed.paths] == [noise(9_000, n) for n in (0, 1)]
    assert there.library.require("m").repo == REPO
    import_bundle(there.library, bundle)
    assert len(there.library.installed()) == 1


def test_a_bundle_with_a_wrong_byte_installs_nothing_of_that_file(
    make_place: Callable[..., Place], bundle: Path
) -> None:
    path = bundle / "Model-Q4_0-00002-of-00002.gguf"
    path.write_bytes(b"x" + path.read_bytes()[1:])
    there = make_place("there")
    with pytest.raises(IntegrityError, match="not the file that was exported"):
        import_bundle(there.library, bundle)
    assert there.library.installed() == []


def test_a_folder_that_is_no_bundle_says_so(make_place: Callable[..., Place], bundle: Path) -> None:
    there = make_place("there")
    with pytest.raises(NotInstalledError, match=r"runner\.lock\.json"):
        import_bundle(there.library, bundle.parent)
    (bundle / "Model-Q4_0-00001-of-00002.gguf").unlink()
    with pytest.raises(NotInstalledError, match="cannot be read"):
        import_bundle(there.library, bundle)
    lock = bundle / "runner.lock.json"
    lock.write_text(lock.read_text().replace("Q4_0/Model", "../../Model"))
    with pytest.raises(RunnerError):
        import_bundle(there.library, bundle)


def test_a_damaged_model_is_not_exported(
    make_place: Callable[..., Place], bundle: Path, tmp_path: Path
) -> None:
    here = make_place("here", entries=(Entry(id="m", title="M", repositories=(REPO,)),))
    blob = here.library.require("m").blobs[0]
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="runner verify m --repair"):
        export_bundle(here.library, here.library.require("m"), tmp_path / "other")


def test_an_import_travels_as_an_import(make_place: Callable[..., Place], tmp_path: Path) -> None:
    here, there = make_place("here"), make_place("there")
    [path] = write_random_gguf(tmp_path / "own.gguf")
    here.library.imports.add(path, "own", here.library.catalog)
    export_bundle(here.library, here.library.require("own"), tmp_path / "stick")
    import_bundle(there.library, tmp_path / "stick")
    found = there.library.require("own")
    assert found.paths[0].read_bytes() == path.read_bytes()
    assert there.library.catalog_with_imports().get("own").chat_format == "hermes_chatml"


def test_every_row_of_the_catalogue_survives_being_written() -> None:
    for entry in catalog.load():
        kept = {"bundled", "draft"}
        [again] = catalog.parse(write_entry(entry), "again")
        assert again.model_dump(exclude=kept) == entry.model_dump(exclude=kept)
