"""The journal never claims a byte that is not there, whatever order bytes come in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runner.hub import partial as partial_module
from runner.hub.digest import Digest, digest_file
from runner.hub.partial import Partial, remove_leftovers
from tests.hub.conftest import noise

SPAN = 64


@pytest.fixture(autouse=True)
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partial_module, "SPAN_BYTES", SPAN)
    monkeypatch.setattr(partial_module, "RUN_BYTES", 3 * SPAN)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.integers(1, 700),
    steps=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 200)), max_size=30),
)
def test_any_order_and_any_interruption_gives_the_file(
    tmp_path_factory: pytest.TempPathFactory, size: int, steps: list[tuple[int, int]]
) -> None:
    data, target = noise(size), tmp_path_factory.mktemp("p") / "blob"
    file = Partial(target, size)
    for choice, length in steps:
        runs = file.missing()
        if not runs:
            break
        run = runs[choice % len(runs)]
        start = file.next_missing(run)
        assert run.start <= start < run.end <= run.start + 3 * SPAN
        file.write(start, data[start : min(run.end, start + length)])
        ready = file.contiguous()
        assert file.read(0, ready) == data[:ready]
        if choice % 3 == 0:
            done = file.num_done
            file.close()
            file = Partial(target, size)
            assert file.num_done == done
    for run in file.missing():
        start = file.next_missing(run)
        file.write(start, data[start : run.end])
    assert file.is_complete
    file.finish()
    assert target.read_bytes() == data
    assert list(target.parent.iterdir()) == [target]


def test_bytes_out_of_turn_are_refused(tmp_path: Path) -> None:
    file = Partial(tmp_path / "b", 500)
    with pytest.raises(ValueError, match="not the next"):
        file.write(5, b"x")
    file.discard()


@pytest.mark.parametrize("harm", ["journal", "data", "header", "size"])
def test_a_journal_that_cannot_be_believed_is_not(tmp_path: Path, harm: str) -> None:
    file = Partial(tmp_path / "b", 500)
    file.write(0, noise(100))
    file.close()
    data, journal = tmp_path / "b.partial", tmp_path / "b.progress"
    if harm == "journal":
        journal.write_bytes(journal.read_bytes()[:20] + b"\xff" * 40)
    elif harm == "header":
        journal.write_bytes(b"other" + journal.read_bytes()[5:])
    elif harm == "data":
        data.unlink()
    file = Partial(tmp_path / "b", 500 if harm != "size" else 600)
    assert file.num_done == 0
    file.close()


def test_leftovers_can_be_cleared(tmp_path: Path) -> None:
    file = Partial(tmp_path / "b", 8192)
    file.write(0, noise(64))
    file.close()
    assert remove_leftovers(tmp_path / "b") > 0
    assert list(tmp_path.iterdir()) == []


def test_a_digest_is_the_same_in_any_pieces(tmp_path: Path) -> None:
    data = noise(1000)
    (tmp_path / "f").write_bytes(data)
    whole = digest_file(tmp_path / "f", "0" * 64)
    pieces = Digest("0" * 64, 1000)
    for start in range(0, 1000, 77):
        pieces.update(data[start : start + 77])
    assert (pieces.value, pieces.all_sums()) == (whole.value, whole.all_sums())
    assert Digest("0" * 64, 0).all_sums() == []
