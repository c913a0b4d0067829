"""Embeddings: a context of its own, made when the first one is asked for.

Owns pooling (the model's own, else the mean of all tokens) and normalisation.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from runner.errors import ContextLengthError

from .llama import Batch, Context, LoadOptions, Model
from .messages import Vector


class Embedder:
    """Computes one vector at a time; a prompt has to fit one batch."""

    def __init__(self, model: Model, options: LoadOptions, *, context: int) -> None:
        self._model = model
        self._context_length = context
        self.batch_size = options.batch_size
        self._options = replace(
            options,
            num_cells=context,
            num_sequences=1,
            batch_size=context,
            ubatch_size=min(context, 2048),
        )
        self._context: Context | None = None
        self._batch: Batch | None = None

    def embed(self, request_id: int, tokens: list[int]) -> Vector:
        """The normalised vector of a token sequence. Raises ContextLengthError."""
        if len(tokens) > self._context_length:
            raise ContextLengthError(len(tokens), self._context_length)
        if self._context is None or self._batch is None:
            self._context = Context(self._model, self._options, pooling=self._pooling())
            self._batch = Batch(self._options.batch_size)
        self._context.remove(0, 0)
        self._batch.clear()
        self._batch.add(0, tokens, 0, len(tokens))
        self._context.decode(self._batch)
        values = np.array(self._context.embedding(0), dtype=np.float64)
        norm = float(np.linalg.norm(values))
        if norm > 0:
            values /= norm
        return Vector(request_id, values.tolist(), len(tokens))

    def _pooling(self) -> str:
        architecture = self._model.metadata("general.architecture")
        own = self._model.metadata(f"{architecture}.pooling_type")
        return "mean" if own in (None, "0") else "model"

    def close(self) -> None:
        """Free the context, if one was made."""
        if self._context is not None:
            self._context.close()
