"""What turns one sequence's logits into text: its sampler, its characters, its clock.

Owns the state that a sequence needs beside its tokens; freed with it. Knows nothing of the other
sequences. Invariant: a token is accepted exactly once, by the sampler, the text and the count.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from runner.types import SamplingParams, Timings, TokenLogprob

from .detokenizer import Detokenizer
from .llama import Context, Model, SamplerChain
from .messages import Output
from .sampler import build_chain, logprob_of
from .sequence import Sequence


@dataclass(slots=True)
class Clock:
    """When a sequence started, and when its first token came (seconds of a monotonic clock)."""

    started_s: float | None = None
    first_token_s: float | None = None

    def timings(self, sequence: Sequence, now_s: float) -> Timings:
        """Where the time went, in llama-server's terms."""
        started = self.started_s if self.started_s is not None else now_s
        first = self.first_token_s if self.first_token_s is not None else now_s
        return Timings(
            prompt_n=sequence.num_prompt - sequence.num_cached,
            prompt_ms=(first - started) * 1e3,
            cache_n=sequence.num_cached,
            predicted_n=sequence.num_new,
            predicted_ms=(now_s - first) * 1e3,
        )


@dataclass(slots=True)
class Generation:
    """The writing end of one sequence."""

    model: Model
    sequence: Sequence
    chain: SamplerChain
    detokenizer: Detokenizer
    num_logprobs: int | None
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def begin(
        cls, model: Model, sequence: Sequence, params: SamplingParams, seed: int
    ) -> Generation:
        """Build it, and let the penalties see the prompt. Raises InvalidRequestError."""
        chain = build_chain(model, params, seed)
        for token in sequence.tokens[-max(params.penalty_last_n, 0) :]:
            chain.accept(token)
        generation = cls(model, sequence, chain, Detokenizer(model), params.logprobs)
        for token in sequence.tokens[sequence.num_prompt :]:
            generation.detokenizer.feed(token)
        return generation

    def draw(self, context: Context, row: int) -> Output | None:
        """Sample from an output row and take the token in; None at the end of generation."""
        token = self.chain.sample(context, row)
        if self.model.is_end(token):
            return None
        logprobs: list[TokenLogprob] = []
        if self.num_logprobs is not None:
            logprobs = [logprob_of(self.model, context.logits(row), token, self.num_logprobs)]
        self.sequence.tokens.append(token)
        return Output(self.sequence.id, self.detokenizer.feed(token), [token], logprobs)

    def close(self) -> None:
        """Free the sampler."""
        self.chain.close()
