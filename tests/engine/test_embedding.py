"""Embeddings: the mean of all tokens in little memory, whatever the length of the text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from runner.engine import embedding
from runner.engine.embedding import CHUNK_TOKENS, WINDOW_TOKENS, Embedder
from runner.engine.llama import Batch, Context, LoadOptions, Model
from runner.errors import ContextLengthError, EngineLoadError, InvalidRequestError
from runner.gguf import read_file
from runner.memory import shape_from_header
from runner.memory.footprint import EMBEDDING_CELLS, EMBEDDING_CHUNK, Loading, measure, place
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf
from tests.fakes.random_gguf import write_random_gguf

CONTEXT = 2 * WINDOW_TOKENS + 100
MIB = 2**20


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> LoadOptions:
    folder = tmp_path_factory.mktemp("weights")
    [path] = write_random_gguf(folder / "m.gguf", context=CONTEXT, seed=3)
    return LoadOptions(weights=(str(path),), num_cells=4096, num_sequences=4, num_threads=1)


@pytest.fixture(scope="module")
def model(options: LoadOptions) -> Iterator[Model]:
    model = Model(options)
    yield model
    model.close()


@pytest.fixture
def embedder(model: Model, options: LoadOptions) -> Iterator[Embedder]:
    embedder = Embedder(model, options, context=CONTEXT)
    yield embedder
    embedder.close()


def text(num_tokens: int) -> list[int]:
    return [(11 * place) % 250 for place in range(num_tokens)]


def mean_at_once(model: Model, options: LoadOptions, tokens: list[int]) -> Any:
    """The mean of all tokens as llama.cpp has it when it computes them in one go."""
    room = -(-len(tokens) // 256) * 256
    whole = replace(options, num_cells=room, batch_size=room, ubatch_size=room, num_sequences=1)
    context, batch = Context(model, whole, pooling="mean"), Batch(room)
    batch.add(0, tokens, 0, len(tokens))
    context.decode(batch)
    mean = np.array(context.embedding(0), dtype=np.float64)
    context.close()
    return mean


def alike(one: Any, other: Any) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("num_tokens", [1, CHUNK_TOKENS, CHUNK_TOKENS + 1, 500, WINDOW_TOKENS])
def test_chunks_give_the_mean_of_the_whole_text(
    embedder: Embedder, model: Model, options: LoadOptions, num_tokens: int
) -> None:
    vector = embedder.embed(1, text(num_tokens))
    assert vector.num_tokens == num_tokens
    assert np.linalg.norm(vector.values) == pytest.approx(1)
    assert alike(vector.values, mean_at_once(model, options, text(num_tokens))) > 0.9999


def test_a_text_longer_than_a_window_is_the_mean_of_its_windows(
    embedder: Embedder, model: Model, options: LoadOptions
) -> None:
    tokens = text(CONTEXT)
    parts = [tokens[at : at + WINDOW_TOKENS] for at in range(0, CONTEXT, WINDOW_TOKENS)]
    mean = sum(mean_at_once(model, options, part) * len(part) for part in parts)
    assert alike(embedder.embed(1, tokens).values, mean) > 0.9999


def test_a_vector_does_not_depend_on_what_was_embedded_before(embedder: Embedder) -> None:
    first = embedder.embed(1, text(40)).values
    embedder.embed(2, text(700))
    assert embedder.embed(3, text(40)).values == first


def test_more_than_the_context_is_refused(embedder: Embedder) -> None:
    with pytest.raises(ContextLengthError):
        embedder.embed(1, text(CONTEXT + 1))


def test_no_memory_for_it_refuses_the_request_and_spares_the_engine(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise EngineLoadError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(embedding, "Context", fail)
        with pytest.raises(InvalidRequestError, match="no memory for embeddings"):
            embedder.embed(1, text(4))
    assert embedder.embed(2, text(4)).num_tokens == 4


def test_the_plan_counts_the_embedders_own_window() -> None:
    assert (EMBEDDING_CELLS, EMBEDDING_CHUNK) == (WINDOW_TOKENS, CHUNK_TOKENS)


async def test_a_child_takes_no_more_for_embeddings_than_the_plan_names(
    tmp_path: Path, start_engine: Callable[..., Any]
) -> None:
    """A wide model with a large vocabulary, where a row of logits each would cost most."""
    hollow = HollowShape(2, 512, 8, 8, 512, 64_000, head_dim=64)
    path = write_hollow_gguf(tmp_path / "m.gguf", hollow, "Q8_0")
    shape = shape_from_header(read_file(path))
    planned = measure(shape, Loading(4096, 1), place(shape, 0, frozenset())).embedding_bytes
    engine = await start_engine(path, context=4096, num_cells=4096, parallel=1)
    child = psutil.Process(engine.pid)
    before = child.memory_info().rss
    await engine.embed("", text(8))
    await engine.embed("", text(WINDOW_TOKENS + 50))
    taken = child.memory_info().rss - before
    assert taken <= planned + 8 * MIB, (taken / MIB, planned / MIB)
    assert planned < 32 * MIB
