"""Prefixes on disk: whole or not there, bounded, and only ever our own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.engine.prefix_store import MIN_TOKENS, PrefixStore, fingerprint

LONG = list(range(MIN_TOKENS + 200))


def make_store(folder: Path, owner: str = "owner", max_bytes: int = 1 << 20) -> PrefixStore:
    return PrefixStore(folder, owner, max_bytes=max_bytes)


def test_saved_prefix_is_found_by_whatever_starts_alike(tmp_path: Path) -> None:
    make_store(tmp_path).save("t", LONG, b"state")
    store = make_store(tmp_path)
    found = store.find("t", [*LONG[:300], 7, 8, 9], beyond=0)
    assert found is not None
    assert (found.tokens, store.load(found)) == (LONG, b"state")


def test_prefix_is_of_no_use_to_other_tenants_or_weights(tmp_path: Path) -> None:
    make_store(tmp_path).save("t", LONG, b"state")
    assert make_store(tmp_path).find("other", LONG, beyond=0) is None
    assert make_store(tmp_path, owner="another").find("t", LONG, beyond=0) is None


def test_only_clearly_longer_prefixes_are_worth_loading_or_saving(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    assert not store.is_news("t", LONG[: MIN_TOKENS - 1])
    store.save("t", LONG, b"state")
    assert store.find("t", LONG, beyond=len(LONG) - 10) is None
    assert not store.is_news("t", [*LONG, 1, 2, 3])
    assert store.is_news("t", [*LONG, *range(500)])


@pytest.mark.parametrize("at", [0, 10, 60, 100, -1])
def test_changed_file_is_not_loaded_and_goes_away(tmp_path: Path, at: int) -> None:
    make_store(tmp_path).save("t", LONG, b"state" * 100)
    (path,) = tmp_path.glob("*.prefix")
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    store = make_store(tmp_path)
    found = store.find("t", LONG, beyond=0)
    assert found is None or (store.load(found) is None and not path.exists())


def test_file_of_another_installation_is_not_loaded(tmp_path: Path) -> None:
    make_store(tmp_path / "theirs").save("t", LONG, b"state")
    store = make_store(tmp_path / "ours")
    (path,) = (tmp_path / "theirs").glob("*.prefix")
    os.rename(path, tmp_path / "ours" / path.name)
    store = make_store(tmp_path / "ours")
    found = store.find("t", LONG, beyond=0)
    assert found is not None
    assert store.load(found) is None


def test_folder_never_holds_more_than_its_bytes(tmp_path: Path) -> None:
    store = make_store(tmp_path, max_bytes=20_000)
    for start in range(10):
        store.save("t", [start * 1000 + n for n in range(MIN_TOKENS)], bytes(4000))
        assert sum(path.stat().st_size for path in tmp_path.glob("*.prefix")) <= 20_000
    assert store.find("t", [9000 + n for n in range(MIN_TOKENS)], beyond=0) is not None


def test_longer_prefix_takes_the_place_of_its_beginning(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    store.save("t", LONG, b"short")
    store.save("t", [*LONG, *range(300)], b"long")
    assert len(list(tmp_path.glob("*.prefix"))) == 1


def test_cut_file_is_ignored(tmp_path: Path) -> None:
    make_store(tmp_path).save("t", LONG, b"state")
    (path,) = tmp_path.glob("*.prefix")
    path.write_bytes(path.read_bytes()[:50])
    assert make_store(tmp_path).find("t", LONG, beyond=0) is None


def test_fingerprint_changes_with_the_weights_and_the_facts(tmp_path: Path) -> None:
    weights = tmp_path / "w.gguf"
    weights.write_bytes(b"a" * 100)
    os.utime(weights, (1, 1))
    first = fingerprint([str(weights)], "f16")
    assert fingerprint([str(weights)], "q8_0") != first
    weights.write_bytes(b"b" * 100)
    os.utime(weights, (1, 1))
    assert fingerprint([str(weights)], "f16") != first
