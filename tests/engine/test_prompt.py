"""Prompts: joined, cut, and refused before anybody tokenizes what cannot fit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.engine.llama import LoadOptions, Model
from runner.engine.prompt import EASY_BYTES, PromptReader, fit_prompt
from runner.errors import ContextLengthError
from runner.types import PromptPiece

WORDS = st.sampled_from(["one ", "two", "\n", "ünï", "北京", "<|im_start|>", "x" * 90, "1234567 "])


@pytest.fixture(scope="module")
def reader(tiny_weights: Path) -> Iterator[PromptReader]:
    model = Model(LoadOptions((str(tiny_weights),), 64, 1, 1))
    yield PromptReader(model)
    model.close()


def text_of(pieces: list[PromptPiece]) -> str:
    return "".join(piece.text for piece in pieces)


@given(st.lists(st.lists(WORDS, max_size=30).map("".join), max_size=4), st.integers(1, 40))
def test_what_is_refused_unread_would_not_have_fitted(
    reader: PromptReader, texts: list[str], context: int
) -> None:
    pieces = [PromptPiece(text, literal=True) for text in texts]
    tokens = reader.tokenize(pieces, add_begin=True)
    try:
        assert reader.fit(pieces, context, "error") == pieces
    except ContextLengthError as error:
        assert error.has_more
        assert context <= error.num_prompt_tokens < len(tokens)


def test_a_prompt_of_megabytes_is_refused_without_being_tokenized(reader: PromptReader) -> None:
    pieces = [PromptPiece("words and more words " * 400_000, literal=True)]
    reader.longest_bytes  # noqa: B018  # read once for a model
    begun_s = time.process_time()
    with pytest.raises(ContextLengthError, match=r"more than \d+ tokens") as refusal:
        reader.fit(pieces, 8192, "error")
    assert time.process_time() - begun_s < 0.1
    assert refusal.value.num_prompt_tokens >= 8192


def test_a_cut_before_tokenizing_gives_the_same_prompt_as_one_behind(reader: PromptReader) -> None:
    context = 16
    long = "".join(f"word {number} " for number in range(3000))
    pieces = [PromptPiece("<|im_start|>user\n"), PromptPiece(long, literal=True), PromptPiece("!")]
    shorter = reader.fit(pieces, context, "truncate_middle")
    assert len(text_of(shorter)) == 2 * context * reader.longest_bytes < len(text_of(pieces)) / 4
    assert [piece.literal for piece in shorter] == [False, True, True, False]
    cut, whole = (
        fit_prompt(reader.tokenize(some, add_begin=True), context, "truncate_middle")
        for some in (shorter, pieces)
    )
    assert cut == whole


def test_text_that_may_fit_and_vocabularies_that_drop_text_are_left_alone(
    reader: PromptReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = [PromptPiece("x" * EASY_BYTES * 10)]
    assert reader.fit(short, 10, "error") is short
    other = PromptReader(reader._model)
    monkeypatch.setattr(reader._model, "metadata", lambda _key: "bert")
    long = [PromptPiece(" " * 100_000)]
    assert other.fit(long, 10, "error") is long
