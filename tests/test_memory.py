"""Plans are sums that llama.cpp agrees with, and decisions that follow from them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.catalog import Architecture, Entry, GgufFile, load
from runner.engine.messages import Load
from runner.engine.probe import Buffers, list_devices, probe
from runner.errors import DoesNotFitError, EngineLoadError, WeightsError
from runner.gguf import read_file
from runner.hardware import Gpu, Hardware
from runner.memory import (
    LoadPlan,
    ModelShape,
    Wish,
    choose_quantization,
    confirm,
    list_candidates,
    plan,
    shape_from_catalog,
    shape_from_header,
)
from runner.memory.arrangement import is_repacked, repacked_size_bytes
from runner.memory.footprint import Loading, measure, place
from runner.memory.quantization import BEST_FIRST, is_known
from runner.memory.shape import Weight
from runner.memory.speed import REACHED
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf

GIB, MIB = 2**30, 2**20
X86 = frozenset({"avx2", "avx512"})
ONE_B = HollowShape(16, 2048, 32, 8, 8192, 128_256, head_dim=64)
THREE_B = HollowShape(28, 3072, 24, 8, 8192, 128_256, is_tied=True)
SEVEN_B = HollowShape(32, 4096, 32, 32, 11_008, 32_000, context=4096)
EIGHT_B = HollowShape(32, 4096, 32, 8, 14_336, 128_256)
QWEN = HollowShape(28, 2048, 16, 8, 6144, 151_936, context=40_960, architecture="qwen3")
MOE = HollowShape(8, 2048, 16, 8, 5632, 32_002, num_experts=8)


def machine(ram_gib: float, *, gpus: tuple[Gpu, ...] = ()) -> Hardware:
    return Hardware(
        physical_cores=8,
        logical_cores=16,
        instruction_sets=X86,
        memory_total_bytes=round(ram_gib * GIB),
        memory_available_bytes=round(ram_gib * GIB),
        disk_free_bytes=100 * GIB,
        memory_bandwidth_bytes_per_s=50e9,
        gpus=gpus,
    )


def card(gib: float, bandwidth: float | None = 900e9) -> Gpu:
    return Gpu("Card", "cuda", round(gib * GIB), round(gib * GIB), bandwidth)


def entry(quantizations: dict[str, float], context: int = 131_072) -> Entry:
    """An 8B of the catalogue with files of those sizes in decimal gigabytes."""
    return Entry(
        id="eight",
        title="Eight",
        context=context,
        num_parameters=8_030_000_000,
        architecture=Architecture(
            name="llama",
            num_layers=32,
            hidden_size=4096,
            num_heads=32,
            num_kv_heads=8,
            head_dim=128,
            ffn_size=14_336,
            vocab_size=128_256,
        ),
        files=tuple(
            GgufFile(repo="maker/eight", name=f"eight-{name}.gguf", quantization=name, about_gb=gb)
            for name, gb in quantizations.items()
        ),
    )


@pytest.fixture(scope="module")
def eight() -> ModelShape:
    shape = shape_from_catalog(entry({}), "Q4_K_M")
    assert shape is not None
    return shape


# llama.cpp itself is the judge of the buffers


def ask(path: Path, planned: LoadPlan) -> Buffers:
    return probe(
        Load(
            weights=[str(path)],
            context=planned.context,
            parallel=planned.parallel,
            num_cells=planned.num_cells,
            threads=1,
            kv_type=planned.kv_type,
        )
    )


@pytest.mark.parametrize(
    ("shape", "quantization", "context", "parallel", "kv_type"),
    [
        (ONE_B, "F16", 2048, 1, "f16"),
        (ONE_B, "Q8_0", 65_536, 16, "f16"),
        (THREE_B, "Q4_K_M", 8192, 4, "q8_0"),
        (SEVEN_B, "Q2_K", 4096, 2, "f16"),
        (EIGHT_B, "Q4_K_M", 32_768, 4, "f16"),
        (EIGHT_B, "Q6_K", 65_536, 16, "q8_0"),
        (QWEN, "Q5_K_M", 16_384, 8, "f16"),
        (MOE, "Q3_K_M", 8192, 8, "f16"),
    ],
)
def test_the_sums_from_the_header_are_llama_cpps_own(
    tmp_path: Path,
    shape: HollowShape,
    quantization: str,
    context: int,
    parallel: int,
    kv_type: str,
) -> None:
    path = write_hollow_gguf(tmp_path / "m.gguf", shape, quantization)
    facts = read_file(path)
    wish = Wish(context=context, parallel=parallel, kv_type=kv_type)
    planned = plan(shape_from_header(facts), machine(1000), wish)
    assert planned.num_cells == context * parallel and planned.is_exact
    buffers = ask(path, planned)
    sums = planned.footprint
    assert buffers.model_bytes == facts.weights_bytes
    assert buffers.num_cells == planned.num_cells
    assert buffers.kv_bytes == sums.kv_bytes
    assert abs(buffers.output_bytes - sums.output_bytes) < 0.01 * MIB
    assert abs(sum(buffers.compute_bytes.values()) - sums.reserved_compute_bytes) < 0.2 * MIB


def test_a_file_that_llama_cpp_refuses_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + bytes(60))
    order = Load(weights=[str(path)], context=64, parallel=1, num_cells=256, threads=1)
    with pytest.raises(EngineLoadError, match="llama.cpp cannot"):
        probe(order)


def test_the_engine_lists_its_devices() -> None:
    assert "cpu" in {device.kind for device in list_devices()}


def test_a_recipe_gives_the_size_of_the_published_file() -> None:
    """Exact sizes of the catalogue are matched by shape and recipe alone, vocabulary aside."""
    num_checked = 0
    for model in load():
        for file in model.files:
            is_plain = file.quantization in BEST_FIRST and file.num_shards == 1
            if file.size_bytes is None or not is_plain or "_L" in file.quantization:
                continue
            shape = shape_from_catalog(model, file.quantization)
            if shape is not None:
                assert sum(shape.file_bytes) == pytest.approx(file.size_bytes, rel=0.03), file.name
                num_checked += 1
    assert num_checked >= 5


# decisions


def test_on_a_large_machine_everything_is_as_one_would_like(eight: ModelShape) -> None:
    planned = plan(eight, machine(64))
    assert (planned.context, planned.parallel, planned.kv_type) == (8192, 4, "f16")
    assert planned.num_cells == 4 * 8192
    assert planned.threads == 8
    assert not planned.is_cramped


def test_small_models_serve_more_requests_and_tiny_ones_use_one_thread(tmp_path: Path) -> None:
    tiny = HollowShape(2, 256, 4, 2, 512, 1024, context=2048, head_dim=64)
    path = write_hollow_gguf(tmp_path / "m.gguf", tiny, "Q8_0")
    planned = plan(shape_from_header(read_file(path)), machine(8))
    assert (planned.context, planned.parallel, planned.threads) == (2048, 8, 1)


def test_less_memory_first_costs_shared_cells_then_kv_bits_then_context(eight: ModelShape) -> None:
    seen = []
    for mib in range(16 * 1024, 4 * 1024, -16):
        try:
            planned = plan(eight, machine(mib / 1024))
        except DoesNotFitError:
            break
        seen.append((planned.context, planned.kv_type, planned.num_cells))
    assert [step for step, _ in itertools.groupby(seen, key=lambda row: row[:2])] == [
        (8192, "f16"),
        (8192, "q8_0"),
        (4096, "q8_0"),  # half of it as f16 takes more: embeddings have a cache of that type too
        (2048, "q8_0"),
    ]
    whole = [cells for context, kv_type, cells in seen if (context, kv_type) == (8192, "f16")]
    assert whole == sorted(whole, reverse=True) and whole[-1] < 9000


@settings(max_examples=60)
@given(
    ram_mib=st.integers(2048, 65_536),
    gpu_mib=st.integers(0, 49_152),
    context=st.none() | st.integers(512, 131_072),
    parallel=st.none() | st.integers(1, 16),
    kv_type=st.sampled_from([None, "f16", "q8_0", "q4_0"]),
    gpu_layers=st.sampled_from([None, None, -1, 0, 7]),
    budget_mib=st.none() | st.integers(1024, 32_768),
)
def test_a_plan_fits_and_keeps_to_the_wish_or_is_refused_with_sums(
    eight: ModelShape,
    ram_mib: int,
    gpu_mib: int,
    context: int | None,
    parallel: int | None,
    kv_type: str | None,
    gpu_layers: int | None,
    budget_mib: int | None,
) -> None:
    gpus = (card(gpu_mib / 1024),) if gpu_mib else ()
    hardware = machine(ram_mib / 1024, gpus=gpus)
    budget = budget_mib * MIB if budget_mib else None
    wish = Wish(context, parallel, None, gpu_layers, kv_type, budget)
    try:
        planned = plan(eight, hardware, wish)
    except DoesNotFitError as error:
        assert error.needed_bytes > error.available_bytes
        assert "GiB are missing" in str(error)
        return
    margin = max(512 * MIB, 0.05 * ram_mib * MIB)
    assert planned.needed_ram_bytes <= ram_mib * MIB - margin + 1
    assert planned.needed_ram_bytes <= (budget or planned.needed_ram_bytes)
    assert planned.total_gpu_bytes <= gpu_mib * MIB
    assert planned.num_cells % 256 == 0 and planned.num_cells >= planned.context
    assert context in (None, planned.context)
    assert parallel in (None, planned.parallel)
    assert kv_type in (None, planned.kv_type)
    assert gpu_layers in (None, planned.gpu_layers, -1)
    parts = planned.weights_ram_bytes + planned.footprint.kv_bytes + planned.process_bytes
    parts += planned.footprint.compute_bytes + planned.output_bytes
    parts += planned.footprint.embedding_bytes
    assert parts == planned.needed_ram_bytes <= planned.total_ram_bytes


def test_a_card_that_holds_it_gets_all_layers(eight: ModelShape) -> None:
    planned = plan(eight, machine(16, gpus=(card(24),)))
    assert planned.gpu_layers == 33
    assert planned.footprint.kv_bytes == 0
    assert planned.weights_gpu_bytes > 4 * GIB
    assert planned.predicted_tokens_per_s is not None and planned.predicted_tokens_per_s > 60


def test_a_small_card_gets_the_last_layers_and_says_why(eight: ModelShape) -> None:
    planned = plan(eight, machine(16, gpus=(card(4),)))
    assert 0 < planned.gpu_layers < 33
    assert planned.total_gpu_bytes <= 3.5 * GIB
    assert "layers on the GPU, the rest on the processor" in planned.reasons[0]
    assert plan(eight, machine(16, gpus=(card(4),)), Wish(gpu_layers=0)).total_gpu_bytes == 0


def test_a_gpu_of_unknown_bandwidth_gives_no_speed(eight: ModelShape) -> None:
    planned = plan(eight, machine(16, gpus=(card(24, None),)))
    assert planned.predicted_tokens_per_s is None


def test_a_gpu_that_computes_out_of_main_memory_is_not_memory_on_top(eight: ModelShape) -> None:
    shared = replace(card(24), shares_ram=True)
    with pytest.raises(DoesNotFitError):
        plan(eight, machine(5, gpus=(shared,)))


def test_a_budget_is_kept_and_named(eight: ModelShape) -> None:
    planned = plan(eight, machine(64), Wish(memory_budget_bytes=6 * GIB))
    assert planned.needed_ram_bytes <= 6 * GIB
    assert "the memory budget is 6.0 GiB" in planned.reasons


def test_an_impossible_model_says_what_is_missing_and_what_would_hold_it() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        choose_quantization(load().get("hermes-4-405b"), machine(24))
    error = caught.value
    assert 200 * GIB < error.needed_bytes < 260 * GIB
    missing = (error.needed_bytes - error.available_bytes) / GIB
    assert f"{missing:.1f} GiB are missing" in str(error)
    assert "a machine with 256 GiB of memory or 4 GPUs with 80 GiB each" in str(error)


def test_copied_weights_count_once_but_show_twice_while_loading(eight: ModelShape) -> None:
    sums = measure(eight, Loading(8192, 4), place(eight, 0, X86))
    plain = measure(eight, Loading(8192, 4), place(eight, 0, frozenset()))
    assert sums.repacked_bytes > 3 * GIB and plain.repacked_bytes == 0
    assert sums.needed_ram_bytes == pytest.approx(plain.needed_ram_bytes, rel=0.01)
    assert sums.peak_ram_bytes > plain.peak_ram_bytes + 2.5 * GIB


def test_amx_tiles_take_matrices_of_whole_tiles_and_some_bytes_more() -> None:
    amx = X86 | {"amx_int8", "avx512_vnni"}
    matrix = Weight("ffn_down", 0, "Q8_0", (4096, 1024), 4096 * 1024 // 32 * 34)
    assert not is_repacked(matrix, X86) and is_repacked(matrix, amx)
    assert repacked_size_bytes(matrix, amx) == 4096 * 1024 // 32 * 38
    for kind, size in (("Q4_K", 148), ("Q5_K", 180), ("Q6_K", 210), ("IQ4_XS", 138)):
        plain = {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210, "IQ4_XS": 136}[kind]
        weight = replace(matrix, type=kind, size_bytes=4096 * 1024 // 256 * plain)
        assert repacked_size_bytes(weight, amx) == 4096 * 1024 // 256 * size
    for other in (
        replace(matrix, type="Q3_K"),
        replace(matrix, shape=(4096, 1016)),
        replace(matrix, role="ffn_down_exps", shape=(4096, 1024, 8)),
        replace(matrix, role="token_embd"),
    ):
        assert not is_repacked(other, amx)


def test_what_llama_cpp_said_replaces_the_formula(eight: ModelShape) -> None:
    planned = plan(eight, machine(64))
    sums = planned.footprint
    told = confirm(
        planned,
        kv_bytes=sums.kv_bytes // 2,
        reserved_compute_bytes=2 * sums.reserved_compute_bytes,
        output_bytes=7,
    )
    assert told.is_exact and not planned.is_exact
    assert told.footprint.kv_bytes == sums.kv_bytes // 2
    assert told.footprint.compute_bytes == 2 * sums.compute_bytes


# quantisations


def test_the_best_quality_with_a_whole_context_is_chosen() -> None:
    eight = entry({"Q4_K_M": 4.9, "Q8_0": 8.5, "Q6_K": 6.6, "F16": 16.1, "Q2_K": 3.2})
    chosen = {
        ram: choose_quantization(eight, machine(ram)).candidate.shape.quantization
        for ram in (64, 10, 8.5, 5.5)
    }
    assert chosen == {64: "Q8_0", 10: "Q8_0", 8.5: "Q6_K", 5.5: "Q2_K"}


def test_a_named_quantisation_is_not_swapped_for_another() -> None:
    eight = entry({"Q4_K_M": 4.9, "Q8_0": 8.5})
    assert choose_quantization(eight, machine(64), None, "q4_k_m").plan.quantization == "Q4_K_M"
    with pytest.raises(DoesNotFitError, match="Q8_0"):
        choose_quantization(eight, machine(8), None, "Q8_0")


def test_a_model_without_files_is_planned_as_if_it_had_the_usual_one() -> None:
    [candidate] = list_candidates(entry({}))
    assert candidate.files == ()
    assert candidate.shape.weights_bytes == pytest.approx(4.91e9, rel=0.01)


def test_a_model_nobody_described_cannot_be_planned() -> None:
    unknown = Entry(id="x", title="X", repositories=("a/b",))
    with pytest.raises(WeightsError, match="too little is known of x"):
        choose_quantization(unknown, machine(64))


def test_a_size_decides_over_the_recipe_and_over_a_name_without_one() -> None:
    strange = shape_from_catalog(entry({}), "IQ9_Z", 4_500_000_000)
    assert strange is not None
    assert sum(strange.file_bytes) == pytest.approx(4_500_000_000, rel=1e-6)
    assert shape_from_catalog(entry({}), "IQ9_Z") is None
    assert not is_known("IQ9_Z")


# speed


def test_speed_follows_bandwidth_and_bytes(eight: ModelShape) -> None:
    slow, fast = machine(64), replace(machine(64), memory_bandwidth_bytes_per_s=100e9)
    speeds = [plan(eight, one).predicted_tokens_per_s or 0 for one in (slow, fast)]
    assert 7 < speeds[0] < 11
    assert 1.5 < speeds[1] / speeds[0] < 2


def test_speed_follows_the_kernels_as_they_were_measured_here(eight: ModelShape) -> None:
    quick = replace(machine(64), memory_bandwidth_bytes_per_s=1e12)
    plain = {"Q4_K": 10e9, "Q6_K": 10e9}
    speeds = [
        plan(eight, replace(quick, core_bytes_per_s=paces)).predicted_tokens_per_s or 0
        for paces in (plain, plain | {"Q4_K*": 40e9}, dict.fromkeys(plain, 20e9))
    ]
    assert speeds[0] == pytest.approx(REACHED * 8 * 10e9 / 4.6e9, rel=0.1)
    assert 2 < speeds[1] / speeds[0] < 4
    assert speeds[2] / speeds[0] == pytest.approx(2, rel=0.1)


def test_of_experts_only_the_active_ones_are_read(tmp_path: Path) -> None:
    path = write_hollow_gguf(tmp_path / "m.gguf", MOE, "Q4_0")
    shape = shape_from_header(read_file(path))
    sparse = plan(shape, machine(64)).predicted_tokens_per_s or 0
    dense = plan(replace(shape, num_active_experts=8), machine(64)).predicted_tokens_per_s or 0
    assert sparse > 1.8 * dense
