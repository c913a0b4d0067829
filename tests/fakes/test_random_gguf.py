"""The random model is a real one: llama.cpp loads it, decodes it, and knows its tokens."""

from __future__ import annotations

from pathlib import Path

import llama_cpp  # noqa: TID251 - the real loader judges the fake
import pytest

from tests.fakes.random_gguf import write_random_gguf


def open_llama(path: Path) -> llama_cpp.Llama:
    return llama_cpp.Llama(str(path), n_ctx=64, n_threads=1, verbose=False)


@pytest.mark.parametrize("weight_type", ["F32", "F16", "Q8_0", "Q4_0"])
def test_llama_cpp_loads_and_decodes_every_weight_type(tmp_path: Path, weight_type: str) -> None:
    [path] = write_random_gguf(tmp_path / "m.gguf", weight_type=weight_type)
    llama = open_llama(path)
    answer = llama.create_completion("hello", max_tokens=4, temperature=0.0)
    assert answer["usage"]["completion_tokens"] == 4
    llama.close()


def test_shards_load_as_one_model(tmp_path: Path) -> None:
    files = write_random_gguf(tmp_path / "m.gguf", max_shard_bytes=120_000)
    assert [path.name for path in files] == [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    whole = write_random_gguf(tmp_path / "whole.gguf")
    answers = []
    for path in (files[0], whole[0]):
        llama = open_llama(path)
        answers.append(llama.create_completion("hello", max_tokens=8, temperature=0.0))
        llama.close()
    assert answers[0]["choices"] == answers[1]["choices"]


def test_same_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    files = [
        write_random_gguf(tmp_path / f"{n}.gguf", seed=seed)[0] for n, seed in enumerate((1, 1, 2))
    ]
    first, again, other = (path.read_bytes() for path in files)
    assert first == again
    assert first != other


def test_control_tokens_are_single_and_every_byte_comes_back(tmp_path: Path) -> None:
    [path] = write_random_gguf(tmp_path / "m.gguf")
    llama = open_llama(path)
    for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "<tool_call>"):
        assert len(llama.tokenize(token.encode(), add_bos=False, special=True)) == 1
    text = "the café 🦉\n\tend".encode()
    assert llama.detokenize(llama.tokenize(text, add_bos=False)) == text
    assert llama.token_eos() == llama.tokenize(b"<|im_end|>", add_bos=False, special=True)[0]
    llama.close()


def test_a_vocabulary_without_room_for_every_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 263"):
        write_random_gguf(tmp_path / "m.gguf", vocab_size=100)
