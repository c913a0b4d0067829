"""Embeddings: the mean of all tokens in little memory, whatever the length of the text."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from runner.engine import embedding
from runner.engine.embedding import CHUNK_TOKENS, WINDOW_TOKENS, Embedder
from runner.engine.llama import Batch, Context, DecodeFailed, LoadOptions, Model
from runner.engine.messages import Failed, Output, Submit, Vector
from runner.errors import ContextLengthError, EngineLoadError, InvalidRequestError
from runner.gguf import read_file
from runner.memory import shape_from_header
from runner.memory.footprint import EMBEDDING_CELLS, EMBEDDING_CHUNK, Loading, measure, place
from runner.types import PromptPiece, SamplingParams
from tests.engine.asking import chat_prompt
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


def embed(embedder: Embedder, tokens: list[int], piece: int = CHUNK_TOKENS) -> Vector:
    """The vector of a text, computed so many tokens a step."""
    embedder.submit(1, tokens)
    while (vector := embedder.step(piece)) is None:
        assert not embedder.is_idle
    assert isinstance(vector, Vector)
    return vector


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
    vector = embed(embedder, text(num_tokens))
    assert vector.num_tokens == num_tokens
    assert np.linalg.norm(vector.values) == pytest.approx(1)
    assert alike(vector.values, mean_at_once(model, options, text(num_tokens))) > 0.9999


def test_a_text_longer_than_a_window_is_the_mean_of_its_windows(
    embedder: Embedder, model: Model, options: LoadOptions
) -> None:
    tokens = text(CONTEXT)
    parts = [tokens[at : at + WINDOW_TOKENS] for at in range(0, CONTEXT, WINDOW_TOKENS)]
    mean = sum(mean_at_once(model, options, part) * len(part) for part in parts)
    assert alike(embed(embedder, tokens).values, mean) > 0.9999


def test_a_vector_does_not_depend_on_what_was_embedded_before(embedder: Embedder) -> None:
    first = embed(embedder, text(40)).values
    embed(embedder, text(700))
    assert embed(embedder, text(40)).values == first


@pytest.mark.parametrize("piece", [0, 1, 3, 31, 33, 500])
def test_pieces_of_any_size_give_the_same_vector(embedder: Embedder, piece: int) -> None:
    tokens = text(WINDOW_TOKENS + 77)
    whole, pieces = embed(embedder, tokens), embed(embedder, tokens, piece)
    assert alike(whole.values, pieces.values) > 0.9999


def test_a_text_nobody_waits_for_any_more_leaves_the_others_alone(embedder: Embedder) -> None:
    alone = embed(embedder, text(50)).values
    for request_id, num_tokens in ((1, 90), (2, 50), (3, 40)):
        embedder.submit(request_id, text(num_tokens))
    assert embedder.step(CHUNK_TOKENS) is None
    embedder.cancel(1)
    embedder.cancel(3)
    assert embedder.step(CHUNK_TOKENS) is None
    vector = embedder.step(CHUNK_TOKENS)
    assert isinstance(vector, Vector)
    assert (vector.id, vector.values) == (2, alone)
    assert embedder.is_idle


def test_a_batch_that_llama_cpp_refuses_fails_its_text_alone(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object) -> None:
        raise DecodeFailed("no room")

    embedder.submit(1, text(5))
    embedder.submit(2, text(6))
    with monkeypatch.context() as patched:
        patched.setattr(Context, "decode", fail)
        assert isinstance(embedder.step(CHUNK_TOKENS), Failed)
    vector = embedder.step(CHUNK_TOKENS)
    assert isinstance(vector, Vector)
    assert (vector.id, vector.num_tokens) == (2, 6)


async def test_streams_go_on_while_a_long_text_is_embedded(
    tiny_weights: Path, start_engine: Callable[..., Any]
) -> None:
    engine = await start_engine(tiny_weights)
    begun = asyncio.Event()
    num_outputs = 0

    async def stream() -> None:
        nonlocal num_outputs
        prompt, endless = chat_prompt("hello"), SamplingParams(temperature=0, ignore_eos=True)
        async for word in engine.generate(
            lambda stream_id: Submit(stream_id, [PromptPiece(prompt)], [], endless, 1800)
        ):
            num_outputs += isinstance(word, Output)
            begun.set()

    streaming = asyncio.create_task(stream())
    await begun.wait()
    before = num_outputs
    vector = await engine.embed("", text(WINDOW_TOKENS + 500))
    assert num_outputs - before >= (WINDOW_TOKENS + 500) // CHUNK_TOKENS
    assert vector.num_tokens == WINDOW_TOKENS + 500
    streaming.cancel()
    await asyncio.wait([streaming])


async def test_nobody_computes_on_for_who_has_gone(
    tiny_weights: Path, start_engine: Callable[..., Any]
) -> None:
    engine = await start_engine(tiny_weights)
    asked = [asyncio.create_task(engine.embed("", text(2000))) for _ in range(200)]
    while engine.status is None or not engine.status.is_busy:
        await asyncio.sleep(0.01)
    for task in asked:
        task.cancel()
    async with asyncio.timeout(5):  # of the minutes that all of them would take
        while engine.status.is_busy:
            await asyncio.sleep(0.01)


def test_more_than_the_context_is_refused(embedder: Embedder) -> None:
    with pytest.raises(ContextLengthError):
        embed(embedder, text(CONTEXT + 1))


def test_no_memory_for_it_refuses_the_request_and_spares_the_engine(
    embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise EngineLoadError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(embedding, "Context", fail)
        with pytest.raises(InvalidRequestError, match="no memory for embeddings"):
            embed(embedder, text(4))
    assert embed(embedder, text(4)).num_tokens == 4


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
