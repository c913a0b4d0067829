"""Embeddings: a small context of its own, made when the first one is asked for.

Owns pooling (the model's own, else the mean of all tokens) and normalisation. Invariant: however
long the text, the context stays within the bytes that the plan names for it
(`runner.memory.footprint`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from runner.errors import ContextLengthError, EngineLoadError, InvalidRequestError

from .llama import Batch, Context, LoadOptions, Model
from .messages import Vector

WINDOW_TOKENS = 1024  # the parts of a longer text are computed one by one and do not see each other
CHUNK_TOKENS = 32  # llama.cpp gives every token of an embedding a row of logits, used or not
MEAN, FIRST = "1", "2"  # llama.cpp's pooling types

Values = npt.NDArray[np.float64]


class Embedder:
    """Computes one vector at a time."""

    def __init__(self, model: Model, options: LoadOptions, *, context: int) -> None:
        self._model = model
        self._context_length = context
        self._window = min(context, WINDOW_TOKENS)
        self.batch_size = options.batch_size
        architecture = model.metadata("general.architecture")
        pooling = model.metadata(f"{architecture}.pooling_type")
        self._pooling = MEAN if pooling in (None, "0") else pooling
        is_causal = model.metadata(f"{architecture}.attention.causal") != "false"
        self._chunk = min(self._window, CHUNK_TOKENS) if is_causal else self._window
        self._options = replace(
            options,
            num_cells=self._window,
            num_sequences=1,
            batch_size=self._chunk,
            ubatch_size=self._chunk,
        )
        self._context: Context | None = None

    def embed(self, request_id: int, tokens: list[int]) -> Vector:
        """The normalised vector of a token sequence.

        Raises:
            ContextLengthError: it is longer than one request may be.
            InvalidRequestError: there is no memory for it.
        """
        if len(tokens) > self._context_length:
            raise ContextLengthError(len(tokens), self._context_length)
        values = self._pool(list(self._chunks(self._open(), tokens)))
        norm = float(np.linalg.norm(values))
        if norm > 0:
            values /= norm
        return Vector(request_id, values.tolist(), len(tokens))

    def close(self) -> None:
        """Free the context, if one was made."""
        if self._context is not None:
            self._context.close()
            self._context = None

    def _open(self) -> Context:
        if self._context is None:
            pooling = "mean" if self._pooling == MEAN else "model"
            try:
                self._context = Context(self._model, self._options, pooling=pooling)
            except EngineLoadError:
                raise InvalidRequestError(
                    "there is no memory for embeddings beside this model; serve it with a "
                    "smaller --ctx or --parallel",
                    param="input",
                ) from None
        return self._context

    def _chunks(self, context: Context, tokens: list[int]) -> Iterator[tuple[Values, int]]:
        """What llama.cpp pooled of each chunk, and how many tokens it has."""
        batch = Batch(self._chunk)
        for start in range(0, len(tokens), self._window):
            window = tokens[start : start + self._window]
            context.remove(0, 0)
            for place in range(0, len(window), self._chunk):
                chunk = window[place : place + self._chunk]
                batch.clear()
                batch.add(0, chunk, place, len(chunk))
                context.decode(batch)
                yield np.array(context.embedding(0), dtype=np.float64), len(chunk)

    def _pool(self, chunks: list[tuple[Values, int]]) -> Values:
        """One vector of all chunks: the mean of all tokens, or the one the model looks at."""
        if self._pooling == MEAN:
            total = np.stack([values * count for values, count in chunks]).sum(axis=0)
            return np.asarray(total / sum(count for _, count in chunks), dtype=np.float64)
        values, _ = chunks[0 if self._pooling == FIRST else -1]
        return values
