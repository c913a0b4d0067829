"""Names of files tell quantisation, shards and sidecars; the best that fits is chosen."""

from __future__ import annotations

import pytest

from runner import catalog
from runner.errors import DownloadError
from runner.hub import layout
from runner.hub.repository import RemoteFile
from runner.hub.selection import Candidate, Pick, find_candidates, quantization_of, select


def first(candidates: tuple[Candidate, ...]) -> Pick:
    return Pick(candidates[0], "the first")


@pytest.mark.parametrize(
    ("name", "quantization"),
    [
        ("Hermes-3-Llama-3.1-8B.Q4_K_M.gguf", "Q4_K_M"),
        (
            "NousResearch_Hermes-4-70B-Q6_K/NousResearch_Hermes-4-70B-Q6_K-00001-of-00002.gguf",
            "Q6_K",
        ),
        ("DeepHermes-3-Llama-3-8B-q4.gguf", "Q4"),
        ("Hermes-4-70B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("hermes-4_3_36b-Q8_0.gguf", "Q8_0"),
        ("model-IQ4_XS.gguf", "IQ4_XS"),
        ("Model-F16.gguf", "F16"),
        ("model.bf16.gguf", "BF16"),
        ("Q8_0/part.gguf", "Q8_0"),
        ("model.gguf", "unknown"),
        ("Qwen3-14B.gguf", "unknown"),
    ],
)
def test_the_quantisation_is_read_from_the_name(name: str, quantization: str) -> None:
    assert quantization_of(name) == quantization


def test_every_file_of_the_catalogue_is_read_as_the_catalogue_has_it() -> None:
    for entry in catalog.load():
        for file in entry.files:
            assert quantization_of(file.name) == file.quantization.upper()


def test_incomplete_sets_are_no_candidates() -> None:
    files = [RemoteFile(f"m-Q4_0-0000{n}-of-00003.gguf", 5, "") for n in (1, 3)]
    assert find_candidates(files) == []
    with pytest.raises(DownloadError, match="no complete GGUF"):
        select(files, quantization=None, choose=first)


def test_full_width_is_taken_only_when_there_is_nothing_else() -> None:
    files = [RemoteFile("m-F16.gguf", 100, ""), RemoteFile("m-Q4_0.gguf", 30, "")]
    chosen = select(files, quantization=None, choose=first)
    assert chosen.candidate.quantization == "Q4_0"
    chosen = select(files[:1], quantization=None, choose=first)
    assert chosen.candidate.quantization == "F16"


def test_a_file_the_catalogue_knows_wins_among_equals() -> None:
    files = [RemoteFile("a-Q4_0.gguf", 30, ""), RemoteFile("b-Q4_0.gguf", 30, "")]
    chosen = select(files, quantization="q4_0", choose=first, preferred=["b-Q4_0.gguf"])
    assert chosen.candidate.files[0].name == "b-Q4_0.gguf"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "a\\..\\b", ""])
def test_a_path_that_leaves_the_cache_is_refused(name: str, tmp_path) -> None:
    with pytest.raises(DownloadError, match="no safe path"):
        layout.snapshot_path(tmp_path, "o/r", "a" * 40, name)


@pytest.mark.parametrize("etag", ["", "../" * 4 + "EVIL", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_an_etag_that_is_no_hash_is_refused(etag: str, tmp_path) -> None:
    with pytest.raises(DownloadError, match="no hash"):
        layout.blob_path(tmp_path, "o/r", etag)


@pytest.mark.parametrize("repo", ["", "one", "../x", "a/b/c", "a/..", "a b/c"])
def test_a_name_that_is_no_repository_is_refused(repo: str, tmp_path) -> None:
    with pytest.raises(DownloadError, match="OWNER/NAME"):
        layout.repo_dir(tmp_path, repo)
