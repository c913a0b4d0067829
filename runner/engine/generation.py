"""What turns one sequence's logits into text: its sampler, its characters, its guide, its clock.

Owns the state that a sequence needs beside its tokens; freed with it. Knows nothing of the other
sequences. Invariant: a token is accepted exactly once, by the sampler, the text and the guide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from runner.types import Interjection, Timings, TokenLogprob

from .constraint import GrammarCompiler, Guide
from .detokenizer import Detokenizer, visible_piece
from .drafting import Draft
from .llama import Context, Model
from .messages import Output, Submit
from .sampler import Sampler, logprob_of
from .sequence import Sequence
from .speculation import Belief, PromptLookup


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
    sampler: Sampler
    detokenizer: Detokenizer
    num_logprobs: int | None
    guide: Guide | None
    interjection: Interjection | None
    lookup: PromptLookup
    belief: Belief = field(default_factory=Belief)  # in the draft's guesses
    clock: Clock = field(default_factory=Clock)
    _tail: str = ""
    _is_drafted: bool = False

    @classmethod
    def begin(cls, compiler: GrammarCompiler, sequence: Sequence, submit: Submit) -> Generation:
        """Build it, and let it see what was generated before. Raises InvalidRequestError."""
        model, params = compiler.model, submit.sampling
        guide = Guide(compiler, submit.constraint) if submit.constraint is not None else None
        sampler = Sampler(model, params)
        sees_all = params.dry_multiplier > 0 or params.penalty_last_n < 0
        num_seen = len(sequence.tokens) if sees_all else params.penalty_last_n
        for token in sequence.tokens[max(0, len(sequence.tokens) - num_seen) :]:
            sampler.accept(token)
        generation = cls(
            model,
            sequence,
            sampler,
            Detokenizer(model),
            params.logprobs,
            guide,
            submit.interjection,
            PromptLookup(),
        )
        generation._recall(submit.resume)
        return generation

    def open(self) -> Output | None:
        """What is forced before the first token is drawn; None where nothing is."""
        if self.guide is None or self.sequence.num_new:
            return None
        forced = self.guide.begin()
        return self._write([], deque(forced)) if forced else None

    def draw(self, context: Context, row: int) -> Output | None:
        """Sample from an output row, and take the token and what must follow it in.

        None at the end of generation. Raises GuideError.
        """
        logits = context.logits(row)
        if self.guide is not None and self.guide.is_ruling:
            self.guide.mask(logits)
        token = self.sampler.draw(logits, self.sequence.num_new)
        if self.model.is_end(token):
            forced = self.guide.take_end() if self.guide is not None else None
            return self._write([], deque(forced)) if forced else None
        logprobs: list[TokenLogprob] = []
        if self.num_logprobs is not None:
            logprobs = [logprob_of(self.model, logits, token, self.num_logprobs)]
        return self._write(logprobs, deque([token]), num_drawn=1)

    @property
    def is_over(self) -> bool:
        """Whether the constraint says that the answer is complete."""
        return self.guide is not None and self.guide.is_over

    def guess(
        self, limit: int, cost_s: Callable[[int], float | None], draft: Draft | None = None
    ) -> None:
        """Append tokens that likely come next, for the next step to check, where that pays."""
        sequence = self.sequence
        room = min(limit, sequence.max_new - sequence.num_new - 1)
        if self.guide is not None and self.guide.is_ruling:
            return
        if sequence.num_pending != 1:
            return
        guesses = self.lookup.propose(sequence.tokens, room, cost_s)
        self._is_drafted = not guesses and draft is not None
        if not guesses and draft is not None:
            guesses = draft.propose(sequence.id, sequence.tokens, room, self.belief, cost_s)
        sequence.guess(guesses)

    def learn(self, num_guessed: int, num_right: int) -> None:
        """So many of the last guesses were right."""
        guesser = self.belief if self._is_drafted else self.lookup
        guesser.learn(num_guessed, num_right)

    def close(self) -> None:
        """Free the sampler."""
        self.sampler.close()

    def _write(self, logprobs: list[TokenLogprob], queue: deque[int], num_drawn: int = 0) -> Output:
        """Append the queued tokens and all that they force, as far as the sequence may grow."""
        sequence = self.sequence
        texts: list[str] = []
        written: list[int] = []
        while queue and sequence.num_new < sequence.max_new:
            token = queue.popleft()
            is_drawn = len(written) < num_drawn
            sequence.tokens.append(token)
            written.append(token)
            if not is_drawn:
                self.sampler.accept(token)
                if self.num_logprobs is not None:
                    logprobs.append(self._certain(token))
            text = self.detokenizer.feed(token)
            texts.append(text)
            if is_drawn and self.guide is not None:
                queue.extend(self.guide.take(token, text))
            if not queue:
                queue.extend(self._interject(text))
        return Output(sequence.id, "".join(texts), written, logprobs)

    def _interject(self, text: str) -> list[int]:
        """The tokens of the interjection, if its time has come."""
        rule = self.interjection
        if rule is None:
            return []
        self._tail = (self._tail + text)[-2 * len(rule.unless) :]
        if rule.unless in self._tail:
            self.interjection = None
            return []
        if self.sequence.num_new < rule.after_tokens:
            return []
        self.interjection = None
        tokens = self.model.tokenize(rule.text, special=True)
        follow: list[int] = []
        if self.guide is not None:
            follow = self.guide.take(tokens[-1], rule.text)
        return tokens + follow

    def _recall(self, tokens: list[int]) -> None:
        """Bring detokenizer and guide to where an earlier run of this answer had come."""
        queue = deque(tokens)
        skip = len(self.guide.begin()) if self.guide is not None and tokens else 0
        while queue:
            token = queue.popleft()
            text = self.detokenizer.feed(token)
            if skip:
                skip -= 1
            elif self.guide is not None:
                skip = len(self.guide.take(token, text))
            if self.interjection is not None:
                self._tail = (self._tail + text)[-2 * len(self.interjection.unless) :]
                if self.interjection.unless in self._tail:
                    self.interjection = None

    def _certain(self, token: int) -> TokenLogprob:
        """A forced token: nothing else was possible."""
        data = visible_piece(self.model, token)
        return TokenLogprob(data.decode("utf-8", errors="replace"), data, 0.0)
