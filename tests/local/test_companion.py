"""A draft is loaded beside a large model only where both fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.catalog import Entry
from runner.gguf import GgufFacts, read_file
from runner.hardware import Gpu, Hardware
from runner.local.companion import find_companion
from runner.local.shelf import Weights
from runner.memory import LoadPlan, Wish, plan, shape_from_header
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf

GIB = 2**30


class Shelf:
    """Two models, of which one drafts for the other."""

    def __init__(self, folder: Path) -> None:
        large = HollowShape(32, 4096, 32, 8, 14336, 128256, context=8192, head_dim=128)
        small = HollowShape(16, 2048, 32, 8, 8192, 128256, context=8192, head_dim=64)
        self.headers = {
            "large": read_file(write_hollow_gguf(folder / "large.gguf", large, "Q4_K_M")),
            "small": read_file(write_hollow_gguf(folder / "small.gguf", small, "Q4_K_M")),
        }
        self.installed = {"small"}

    def find(self, model: str) -> Weights | None:
        if model not in self.installed:
            return None
        return Weights(Entry(id=model, title=model), (f"{model}.gguf",), "Q4_K_M", 0, True)

    def facts(self, weights: Weights) -> GgufFacts:
        return self.headers[weights.entry.id]

    def decide(self, hardware: Hardware) -> LoadPlan:
        wish = Wish(context=4096, parallel=1)
        return plan(shape_from_header(self.headers["large"], "large"), hardware, wish)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def machine(free_gib: float, *gpus: Gpu) -> Hardware:
    free = round(free_gib * GIB)
    return Hardware(8, 16, frozenset({"avx2"}), free, free, 1 << 40, 4e10, gpus)


LARGE = Weights(Entry(id="large", title="large", draft="small"), ("large.gguf",), "Q4_K_M", 0, True)


def found(shelf: Shelf, hardware: Hardware, weights: Weights = LARGE) -> tuple[str, ...]:
    companion = find_companion(shelf, weights, shelf.decide(hardware), hardware, 1 << 50)  # type: ignore[arg-type]  # what it uses
    if companion is None:
        return ()
    assert companion.ram_bytes > 0
    return companion.paths


def test_installed_draft_that_fits_beside_its_model_is_loaded_with_it(shelf: Shelf) -> None:
    assert found(shelf, machine(32)) == ("small.gguf",)


def test_model_that_needs_the_room_itself_goes_without(shelf: Shelf) -> None:
    needed_gib = shelf.decide(machine(64)).needed_ram_bytes / GIB
    assert found(shelf, machine(needed_gib + 1.2)) == ()


def test_model_without_a_draft_or_with_one_that_is_not_here_goes_without(shelf: Shelf) -> None:
    assert found(shelf, machine(32), replace(LARGE, entry=Entry(id="large", title="large"))) == ()
    shelf.installed.clear()
    assert found(shelf, machine(32)) == ()


def test_draft_of_a_model_on_the_gpu_has_to_fit_there_too(shelf: Shelf) -> None:
    roomy = Gpu("card", "cuda", 24 * GIB, 24 * GIB, 9e11)
    assert found(shelf, machine(32, roomy)) == ("small.gguf",)
    full = replace(roomy, free_bytes=round(6.6 * GIB))
    assert found(shelf, machine(32, full)) == ()
