"""Embeddings: a small context of its own, made when the first one is asked for.

Owns pooling (the model's own, else the mean of all tokens) and normalisation. Invariant: however
long the text, the context stays within the bytes that the plan names for it
(`runner.memory.footprint`).
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from runner.errors import ContextLengthError, EngineLoadError, InvalidRequestError

from .llama import Batch, Context, DecodeFailed, LoadOptions, Model
from .messages import Failed, Vector
from .refusal import breakdown

WINDOW_TOKENS = 1024  # the parts of a longer text are computed one by one and do not see each other
CHUNK_TOKENS = 32  # llama.cpp gives every token of an embedding a row of logits, used or not
MEAN, FIRST = "1", "2"  # llama.cpp's pooling types

logger = logging.getLogger(__name__)
Values = npt.NDArray[np.float64]


@dataclass(slots=True)
class Job:
    """A text on its way to a vector, which has its direction only once it is complete."""

    id: int
    tokens: list[int]
    num_computed: int = 0
    values: Values = field(default_factory=lambda: np.zeros(1))


class Embedder:
    """Computes one vector at a time, a chunk a step, so that streams go on meanwhile."""

    def __init__(self, model: Model, options: LoadOptions, *, context: int) -> None:
        self._model = model
        self._context_length = context
        self._window = min(context, WINDOW_TOKENS)
        self.batch_size = options.batch_size
        architecture = model.metadata("general.architecture")
        pooling = model.metadata(f"{architecture}.pooling_type")
        self._pooling = MEAN if pooling in (None, "0") else pooling
        self._is_causal = model.metadata(f"{architecture}.attention.causal") != "false"
        self._chunk = min(self._window, CHUNK_TOKENS) if self._is_causal else self._window
        self._options = replace(
            options,
            num_cells=self._window,
            num_sequences=1,
            batch_size=self._chunk,
            ubatch_size=self._chunk,
        )
        self._context: Context | None = None
        self._batch = Batch(self._chunk)
        self._jobs: deque[Job] = deque()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be computed."""
        return not self._jobs

    def submit(self, request_id: int, tokens: list[int]) -> None:
        """Take in a token sequence; `step` computes it.

        Raises:
            ContextLengthError: it is longer than one request may be.
            InvalidRequestError: there is no memory for it.
        """
        if len(tokens) > self._context_length:
            raise ContextLengthError(len(tokens), self._context_length)
        self._open()
        self._jobs.append(Job(request_id, tokens))

    def cancel(self, request_id: int) -> None:
        """Nobody waits for this vector any more, if it was asked for."""
        self._jobs = deque(job for job in self._jobs if job.id != request_id)

    def step(self, num_tokens: int) -> Vector | Failed | None:
        """Compute so many tokens of the text that came first, as far as they can be divided.

        Returns its normalised vector once it is complete, None until then.
        """
        job = self._jobs[0]
        try:
            self._compute(job, self._open(), num_tokens)
        except DecodeFailed as failure:
            logger.error("an embedding failed: %s", failure)
            self._jobs.popleft()
            return breakdown(job.id)
        if job.num_computed < len(job.tokens):
            return None
        self._jobs.popleft()
        norm = float(np.linalg.norm(job.values)) or 1.0
        return Vector(job.id, (job.values / norm).tolist(), len(job.tokens))

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

    def _compute(self, job: Job, context: Context, num_tokens: int) -> None:
        """The next chunk: what llama.cpp pooled of it joins what was pooled before."""
        place = job.num_computed % self._window
        if place == 0:
            context.remove(0, 0)
        size = min(self._chunk, max(1, num_tokens)) if self._is_causal else self._chunk
        start = job.num_computed
        chunk = job.tokens[start : start + min(size, self._window - place)]
        self._batch.clear()
        self._batch.add(0, chunk, place, len(chunk))
        context.decode(self._batch)
        pooled = np.array(context.embedding(0), dtype=np.float64)
        if self._pooling == MEAN:
            job.values = job.values + pooled * len(chunk)
        elif start == 0 or self._pooling != FIRST:
            job.values = pooled
        job.num_computed += len(chunk)
