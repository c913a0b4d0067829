"""The GGUF reader: right facts of real files, and never more than an error of hostile ones."""

from __future__ import annotations

import logging
import os
import random
import struct
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import gguf as gguf_py
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import GgufError
from runner.gguf import GgufFacts, check_loadable, find_shards, read_file, read_header
from tests.fakes.random_gguf import write_random_gguf

NUM_MUTATIONS = int(os.environ.get("RUNNER_TEST_MUTATIONS", "300"))
EDGES = [0, 1, 7, 255, 2**16, 2**31 - 1, 2**32 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1]


class MemorySource:
    """Bytes in memory that count what was read of them."""

    def __init__(self, data: bytes, size: int | None = None) -> None:
        self.data = data
        self.size = len(data) if size is None else size
        self.num_read = 0

    def read(self, offset: int, size: int) -> bytes:
        piece = self.data[offset : offset + size]
        self.num_read += len(piece)
        return piece


def build(*fields: bytes, tensors: bytes = b"", num_tensors: int = 0, version: int = 3) -> bytes:
    return (
        b"GGUF" + struct.pack("<IQQ", version, num_tensors, len(fields)) + b"".join(fields)
    ) + tensors


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def number(key: str, value: int) -> bytes:
    return text(key) + struct.pack("<II", 4, value)


def read(data: bytes) -> GgufFacts:
    return read_header(MemorySource(data))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_gguf(tmp_path_factory.mktemp("gguf") / "m.gguf", weight_type="Q8_0")[0]


def test_facts_are_those_the_file_was_made_with(model: Path) -> None:
    facts = read_file(model)
    assert (facts.architecture, facts.name, facts.quantization) == ("llama", "random", "Q8_0")
    assert (facts.num_layers, facts.hidden_size, facts.ffn_size) == (2, 64, 128)
    assert (facts.num_heads, facts.num_kv_heads, facts.kv_heads) == (4, 2, (2, 2))
    assert (facts.head_dim_k, facts.head_dim_v) == (16, 16)
    assert (facts.vocab_size, facts.context, facts.split) == (512, 512, None)
    assert (facts.tokenizer.model, facts.tokenizer.pre) == ("gpt2", "gpt-2")
    assert (facts.tokenizer.eos_id, facts.tokenizer.add_bos) == (507, False)
    assert "<tool_call>" in facts.chat_templates["default"]
    assert facts.rope_freq_base == 10000.0
    check_loadable(facts)


def test_tensors_lie_where_the_reference_reader_finds_them(model: Path) -> None:
    ours = read_file(model)
    theirs = gguf_py.GGUFReader(model).tensors
    assert [(t.name, t.offset, t.size_bytes, t.shape, t.type) for t in ours.tensors] == [
        (t.name, t.data_offset, t.n_bytes, tuple(t.shape.tolist()), t.tensor_type.name)
        for t in theirs
    ]
    assert ours.num_parameters == sum(int(t.n_elements) for t in theirs)
    assert ours.weights_bytes == sum(int(t.n_bytes) for t in theirs)


def test_named_templates_are_kept_by_name(tmp_path: Path) -> None:
    writer = gguf_py.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_chat_template(
        [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    facts = read_header(MemorySource((tmp_path / "t.gguf").read_bytes()))
    assert facts.chat_templates == {"default": "A", "tool_use": "B"}


def test_shards_read_as_the_whole_model(tmp_path: Path) -> None:
    shards = write_random_gguf(tmp_path / "m.gguf", max_shard_bytes=120_000)
    whole = read_file(write_random_gguf(tmp_path / "whole.gguf")[0])
    facts = read_file(shards[0])
    assert facts.split is not None
    assert facts.split.count == 3
    assert [t.name for t in facts.tensors] == [t.name for t in whole.tensors]
    assert {t.shard for t in facts.tensors} == {0, 1, 2}
    assert facts.num_parameters == whole.num_parameters
    assert find_shards(shards[2]) == shards


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    shards = write_random_gguf(tmp_path / "m.gguf", max_shard_bytes=120_000)
    shards[1].unlink()
    with pytest.raises(GgufError, match="m-00002-of-00003.gguf"):
        read_file(shards[0])


def test_shards_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    shards = write_random_gguf(tmp_path / "m.gguf", max_shard_bytes=120_000)
    shards[1].write_bytes(shards[2].read_bytes())
    with pytest.raises(GgufError, match="not the 3 shards"):
        read_file(shards[0])


def test_a_remote_header_needs_only_the_header_bytes(model: Path) -> None:
    data = model.read_bytes()
    header_bytes = read_file(model).header_bytes
    source = MemorySource(data[:header_bytes] + bytes(100), size=len(data))
    assert read_header(source).num_layers == 2
    assert source.num_read <= header_bytes + 100


def test_a_cut_file_is_refused_wherever_it_is_cut(model: Path) -> None:
    data = model.read_bytes()
    header_bytes = read_file(model).header_bytes
    for size in [*range(0, header_bytes, 97), header_bytes, len(data) - 1]:
        with pytest.raises(GgufError, match="cut short|does not|starts with"):
            read(data[:size])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "starts with b''"),
        (b"ggjt" + bytes(100), "legacy GGML"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"PK\x03\x04" + bytes(9), "zip archive"),
        (build(version=1), "version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "tensors"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**60), "fields"),
        (build(text("a") + struct.pack("<I", 99)), "unknown kind 99"),
        (build(struct.pack("<Q", 2**63)), "bytes of key"),
        (build(number("a", 1), number("a", 1)), "twice"),
        (build(text("a") + struct.pack("<IIQ", 9, 9, 1)), "unknown kind 9"),
        (build(text("a") + struct.pack("<IIQ", 9, 8, 2**40)), "strings"),
        (build(text("a") + struct.pack("<IIQ", 9, 0, 2**62)), "cut short"),
        (build(text("a") + struct.pack("<IIQQ", 9, 8, 1, 2**63)), "cut short"),
        (build(text("general.name") + struct.pack("<IQ", 8, 2**40)), "bytes of general.name"),
        (build(number("general.alignment", 3)), "alignment of 3"),
        (build(number("general.alignment", 0)), "alignment of 0"),
        (
            build(tensors=text("t") + struct.pack("<I", 5), num_tensors=1),
            "dimensions",
        ),
        (
            build(tensors=text("t") + struct.pack("<IQIQ", 1, 4, 99, 0), num_tensors=1),
            "type 99",
        ),
        (
            build(tensors=text("t") + struct.pack("<IQIQ", 1, 33, 8, 0), num_tensors=1),
            "impossible shape",
        ),
        (
            build(tensors=text("t") + struct.pack("<IQIQ", 1, 0, 0, 0), num_tensors=1),
            "impossible shape",
        ),
        (
            build(tensors=text("t") + struct.pack("<IQIQ", 1, 4, 0, 64), num_tensors=1),
            "wrong place",
        ),
        (
            build(tensors=text("t") + struct.pack("<IQIQ", 1, 2**40, 0, 0), num_tensors=1),
            "download it again",
        ),
    ],
)
def test_every_lie_of_a_header_is_one_clear_error(data: bytes, words: str) -> None:
    with pytest.raises(GgufError, match=words) as caught:
        read(data)
    assert str(caught.value).startswith("the file ")


def test_what_would_kill_the_loader_is_refused_before_it(model: Path) -> None:
    data = model.read_bytes()
    key = text("llama.block_count") + struct.pack("<I", 4)
    for layers in (0, 2**31):
        at = data.index(key) + len(key)
        facts = read(data[:at] + struct.pack("<I", layers) + data[at + 4 :])
        with pytest.raises(GgufError, match="layers"):
            check_loadable(facts)
    key = text("llama.attention.layer_norm_rms_epsilon") + struct.pack("<I", 6)
    for epsilon in (-1.0, float("nan"), float("inf")):
        at = data.index(key) + len(key)
        facts = read(data[:at] + struct.pack("<f", epsilon) + data[at + 4 :])
        with pytest.raises(GgufError, match="epsilon"):
            check_loadable(facts)


def test_a_projector_is_not_taken_for_a_model() -> None:
    facts = read(build(text("general.architecture") + struct.pack("<I", 8) + text("clip")))
    with pytest.raises(GgufError, match="mmproj"):
        check_loadable(facts)


def test_a_large_vocabulary_is_stepped_over_quickly() -> None:
    tokens = b"".join(text(f"token{n}") for n in range(300_000))
    data = build(text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 300_000) + tokens)
    started = time.perf_counter()
    facts = read(data)
    assert facts.vocab_size == 300_000
    assert time.perf_counter() - started < 1.0


def mutate(data: bytes, dice: random.Random) -> bytes:
    """One to four of: a flipped bit, an absurd number, a cut, a repeat, a swap, noise."""
    out = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(out))
        match dice.randrange(6):
            case 0:
                out[at] ^= 1 << dice.randrange(8)
            case 1:
                out[at : at + 8] = struct.pack("<Q", dice.choice(EDGES))
            case 2:
                del out[at : at + dice.randrange(64)]
            case 3:
                out[at:at] = out[at : at + dice.randrange(256)]
            case 4:
                out[at : at + 4] = struct.pack("<I", dice.choice(EDGES) & 0xFFFFFFFF)
            case 5:
                out[at : at + 16] = dice.randbytes(16)
    return bytes(out[: dice.randrange(1, len(out))] if dice.random() < 0.05 else out)


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.timeout(900)
def test_mutated_headers_never_crash_hang_or_grow(model: Path, traced: None) -> None:
    header = model.read_bytes()[: read_file(model).header_bytes]
    dice = random.Random(7)
    num_refused, slowest, largest = 0, 0.0, 0
    for _ in range(NUM_MUTATIONS):
        source = MemorySource(mutate(header, dice), size=dice.choice((len(header), 2**40)))
        tracemalloc.reset_peak()
        before, started = tracemalloc.get_traced_memory()[0], time.perf_counter()
        try:
            check_loadable(read_header(source))
        except GgufError as error:
            num_refused += 1
            assert str(error)
        slowest = max(slowest, time.perf_counter() - started)
        largest = max(largest, tracemalloc.get_traced_memory()[1] - before)
    assert slowest < 1.0
    assert largest < 64 * 2**20
    assert num_refused > NUM_MUTATIONS // 4
    logging.getLogger("figures").info(
        "%d headers, %d refused, %.3f s, %d bytes", NUM_MUTATIONS, num_refused, slowest, largest
    )


@given(st.binary(max_size=400))
def test_any_bytes_after_the_magic_give_facts_or_an_error(tail: bytes) -> None:
    try:
        read(b"GGUF" + struct.pack("<I", 3) + tail)
    except GgufError as error:
        assert str(error)
