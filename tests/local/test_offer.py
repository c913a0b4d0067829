"""A pull takes what the planner would load best, of the files that are really there."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner import catalog
from runner.catalog import Catalog, Entry
from runner.config import EngineSettings
from runner.errors import DoesNotFitError, GgufError
from runner.gguf import GgufFacts, read_file
from runner.hardware import Hardware
from runner.hub import Candidate, Library, Offer
from runner.hub.repository import RemoteFile
from runner.hub.selection import find_candidates
from runner.local.planning import Planner
from runner.local.shelf import Shelf
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf

GIB = 2**30
EIGHT = catalog.load().get("hermes-3-llama-3.1-8b")
SIZES_GB = {"Q8_0": 8.54, "Q6_K": 6.6, "Q4_K_M": 4.92, "F16": 16.1}
SHAPE = HollowShape(4, 512, 8, 2, 1536, 2048, context=4096, head_dim=64)


def machine(memory_gib: float) -> Hardware:
    memory = round(memory_gib * GIB)
    return Hardware(
        physical_cores=4,
        logical_cores=8,
        instruction_sets=frozenset({"avx2", "fma"}),
        memory_total_bytes=memory,
        memory_available_bytes=memory,
        disk_free_bytes=10**12,
        memory_bandwidth_bytes_per_s=40e9,
    )


def planner(home: Path, memory_gib: float, known: Entry = EIGHT, **engine: object) -> Planner:
    catalogue = Catalog([known.model_copy(update={"draft": None})])
    shelf = Shelf(Library(home / "state", home / "cache", catalogue), lambda: 0.0)
    settings = EngineSettings.model_validate(engine)
    look = machine(memory_gib)
    return Planner(shelf, home, lambda model: settings, lambda: 0.0, lambda state_dir: look)


def unread(candidate: Candidate) -> GgufFacts:
    raise GgufError("the header is damaged")


def offer(sizes_bytes: dict[str, int], facts: GgufFacts | None = None) -> Offer:
    files = [RemoteFile(f"Model-{name}.gguf", size, "") for name, size in sizes_bytes.items()]
    read = unread if facts is None else lambda candidate: facts
    return Offer("maker/Model-GGUF", tuple(find_candidates(files)), read)


def eight(*names: str) -> Offer:
    return offer({name: round(SIZES_GB[name] * 1e9) for name in names or SIZES_GB})


def test_more_memory_gets_better_weights_and_the_planners_reason(tmp_path: Path) -> None:
    picks = {ram: planner(tmp_path, ram).choose(EIGHT, eight()) for ram in (7, 8.5, 24)}
    chosen = {ram: pick.candidate.quantization for ram, pick in picks.items()}
    assert chosen == {7: "Q4_K_M", 8.5: "Q6_K", 24: "Q8_0"}
    assert "8192 tokens take" in picks[8.5].reason
    assert "Q8_0 would need" in picks[8.5].reason
    assert "of 8.5 GiB free, 8.0 can be used" in picks[8.5].reason


def test_the_choice_is_what_the_plan_had_promised(tmp_path: Path) -> None:
    """Of the files the catalogue lists, at the sizes it lists, pull takes what plan names."""
    known = [file for file in EIGHT.files if file.size_bytes]
    there = offer({file.quantization: file.size_bytes or 0 for file in known})
    entry = EIGHT.model_copy(update={"files": tuple(known)})
    for ram in (6, 8, 10, 14):
        asked = planner(tmp_path, ram, entry)
        promised = asked.prospect(EIGHT.id).quantization
        assert asked.choose(entry, there).candidate.quantization == promised


def test_settings_bear_on_the_choice(tmp_path: Path) -> None:
    asked = planner(tmp_path, 24, memory_budget=6 * GIB)
    pick = asked.choose(EIGHT, eight())
    assert pick.candidate.quantization == "Q4_K_M"
    assert "the memory budget is 6.0 GiB" in pick.reason
    longer = planner(tmp_path, 10, context=65_536).choose(EIGHT, eight("Q6_K", "Q4_K_M"))
    assert longer.candidate.quantization == "Q4_K_M"


def test_nothing_that_fits_shows_the_sums_and_how_to_fetch_it_anyway(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFitError, match=r"are missing; .*add :Q4_K_M to fetch") as caught:
        planner(tmp_path, 3).choose(EIGHT, eight())
    assert caught.value.needed_bytes > caught.value.available_bytes > 0


def test_shards_count_together(tmp_path: Path) -> None:
    files = [RemoteFile(f"Model-Q8_0-0000{n}-of-00002.gguf", 4_270_000_000, "") for n in (1, 2)]
    files.append(RemoteFile("Model-Q4_K_M.gguf", 4_920_000_000, ""))
    there = Offer("maker/Model-GGUF", tuple(find_candidates(files)), unread)
    assert planner(tmp_path, 8).choose(EIGHT, there).candidate.quantization == "Q4_K_M"
    assert len(planner(tmp_path, 24).choose(EIGHT, there).candidate.files) == 2


def test_a_model_nobody_described_is_planned_from_its_header(tmp_path: Path) -> None:
    path = write_hollow_gguf(tmp_path / "Model-Q4_K_M.gguf", SHAPE, "Q4_K_M")
    there = offer({"Q8_0": 90_000_000, "Q4_K_M": path.stat().st_size}, read_file(path))
    unknown = Entry(id="hf.co/maker/Model-GGUF", title="m", repositories=("maker/Model-GGUF",))
    pick = planner(tmp_path, 4).choose(unknown, there)
    assert pick.candidate.quantization == "Q8_0"
    assert "4096 tokens take" in pick.reason
    with pytest.raises(DoesNotFitError, match="KV cache"):
        planner(tmp_path, 4, memory_budget=50_000_000).choose(unknown, there)


def test_without_a_readable_header_the_size_has_to_do(tmp_path: Path) -> None:
    unknown = Entry(id="hf.co/maker/Model-GGUF", title="m", repositories=("maker/Model-GGUF",))
    there = offer({"Q8_0": 5 * GIB, "Q4_0": 2 * GIB})
    pick = planner(tmp_path, 4).choose(unknown, there)
    assert pick.candidate.quantization == "Q4_0"
    assert "Q8_0 would be 5.37 GB" in pick.reason


def test_a_file_that_names_no_quantisation_can_be_chosen(tmp_path: Path) -> None:
    files = [RemoteFile("model.gguf", 4_920_000_000, "")]
    there = Offer("maker/Model-GGUF", tuple(find_candidates(files)), unread)
    assert planner(tmp_path, 8).choose(EIGHT, there).candidate.quantization == "unknown"
