"""The engine's loop: takes words in, runs steps, sends words out.

Owns the sequences of one loaded model. A step is: admit, plan, decode, sample, send. Everything
that waits for bytes is outside (`worker`). Invariant: every submitted sequence ends in exactly
one `Done` or `Failed`, unless it was cancelled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from runner.errors import ContextLengthError, InvalidRequestError
from runner.types import Overflow, PromptPiece

from .constraint import GrammarCompiler, GuideError
from .drafting import Draft
from .embedding import Embedder
from .generation import Generation
from .llama import Batch, Context, DecodeAborted, DecodeFailed, Model
from .messages import (
    Cancel,
    Detokenize,
    Done,
    Embed,
    FromChild,
    FromParent,
    Output,
    Outputs,
    Started,
    Status,
    Submit,
    Text,
    Tokenize,
    Tokens,
)
from .pace import Pace
from .persistence import Persistence
from .prompt import PromptReader, fit_prompt
from .refusal import breakdown, refusal
from .scheduler import Scheduler
from .sequence import Chunk, Sequence
from .turn import Turn

logger = logging.getLogger(__name__)

MAX_GUESSING = 2  # streams that may guess ahead at the same time
MAX_GUESSES = 32


@dataclass(frozen=True, slots=True)
class Tools:
    """What a loop uses beside model, context and scheduler."""

    embedder: Embedder
    compiler: GrammarCompiler
    turn: Turn
    persistence: Persistence
    draft: Draft | None = None


class Loop:
    """One model's sequences, from submission to the last word about them."""

    def __init__(
        self,
        model: Model,
        context: Context,
        scheduler: Scheduler,
        tools: Tools,
        send: Callable[[FromChild], None],
        clock: Callable[[], float],
    ) -> None:
        self._model = model
        self._prompts = PromptReader(model)
        self._context = context
        self._scheduler = scheduler
        self._embedder = tools.embedder
        self._compiler = tools.compiler
        self._turn = tools.turn
        self._persistence = tools.persistence
        self._draft = tools.draft
        self._send = send
        self._clock = clock
        self._batch = Batch(tools.embedder.batch_size)
        self._pace = Pace(batch_size=self._batch.capacity)
        self._generations: dict[int, Generation] = {}
        self._prefilling_now: frozenset[int] = frozenset()
        self._num_steps = 0
        self._num_generated = 0
        self._num_prompt = 0
        self._num_reused = 0
        self._tokens_per_s = 0.0

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return self._scheduler.is_idle and self._embedder.is_idle

    def handle(self, message: FromParent) -> None:
        """Take one word in. What fails is answered with `Failed`, never raised."""
        try:
            self._dispatch(message)
        except (ContextLengthError, InvalidRequestError, GuideError) as error:
            self._send(refusal(getattr(message, "id", -1), error))

    def step(self) -> None:
        """Compute one batch and pass on what came of it."""
        if not self._embedder.is_idle:
            self._embed()
        for sequence in self._scheduler.admit():
            self._start(sequence)
        budget = self._pace.budget(num_decoding=self._scheduler.num_decoding)
        whole = self._pace.whole_budget() if self._scheduler.may_begin_together else 0
        chunks, starved = self._scheduler.plan(budget, whole)
        for sequence in starved:
            self._end(sequence, "length")
        if chunks and self._decode(chunks):
            self._collect(chunks)
        self._num_steps += 1

    def rest(self) -> bool:
        """Do a piece of what can wait; False when nothing is left to do."""
        if self._persistence.has_work:
            self._persistence.save_one()
        return self._persistence.has_work

    def abort_if_prefilling(self, sequence_id: int) -> None:
        """Stop the step under way if it computes this sequence's prompt; for another thread."""
        if sequence_id in self._prefilling_now:
            self._context.abort.raise_()

    def status(self) -> Status:
        """How the engine is; safe to call from another thread."""
        cache, scheduler = self._scheduler.cache, self._scheduler
        return Status(
            step=self._num_steps,
            is_busy=not self.is_idle,
            num_running=len(scheduler.running),
            num_waiting=len(scheduler.waiting),
            num_cells=cache.num_cells,
            num_free=cache.num_free,
            num_cached=cache.num_cached,
            num_live=cache.num_live,
            num_shared=cache.num_shared,
            tokens_generated=self._num_generated,
            prompt_tokens=self._num_prompt,
            cached_tokens=self._num_reused,
            tokens_per_s=0.0 if scheduler.is_idle else self._tokens_per_s,
        )

    # -- words in ---------------------------------------------------------------------------

    def _dispatch(self, message: FromParent) -> None:
        match message:
            case Submit():
                self._submit(message)
            case Cancel(id=sequence_id):
                self._cancel(sequence_id)
            case Tokenize(id=request_id, pieces=pieces, add_begin=add_begin):
                self._send(Tokens(request_id, self._prompts.tokenize(pieces, add_begin=add_begin)))
            case Detokenize(id=request_id, tokens=tokens):
                self._send(Text(request_id, self._text_of(tokens)))
            case Embed(id=request_id, pieces=pieces, tokens=tokens):
                self._embedder.submit(request_id, self._tokens_of(pieces, tokens))
            case _:
                logger.error("unexpected word %s", type(message).__name__)

    def _submit(self, submit: Submit) -> None:
        tokens = self._tokens_of(submit.pieces, submit.tokens, submit.overflow)
        tokens = fit_prompt(tokens, self._scheduler.context, submit.overflow)
        room = self._scheduler.context - len(tokens)
        sequence = Sequence(
            id=submit.id,
            tokens=tokens + submit.resume,
            num_prompt=len(tokens),
            max_new=room if submit.max_tokens is None else min(submit.max_tokens, room),
            tenant=submit.tenant,
            use_cache=submit.cache_prompt,
        )
        self._generations[submit.id] = Generation.begin(self._compiler, sequence, submit)
        if sequence.num_new >= sequence.max_new:
            self._send(Started(sequence.id, sequence.num_prompt, 0))
            self._end(sequence, "length")
        else:
            self._persistence.warm(sequence)
            self._scheduler.add(sequence)

    def _cancel(self, sequence_id: int) -> None:
        sequence = self._scheduler.find(sequence_id)
        if sequence is not None:
            self._forget(sequence)
        self._embedder.cancel(sequence_id)

    def _tokens_of(
        self, pieces: list[PromptPiece], tokens: list[int], overflow: Overflow = "error"
    ) -> list[int]:
        """Token ids of a prompt; ids given as such are checked."""
        if not tokens:
            pieces = self._prompts.fit(pieces, self._scheduler.context, overflow)
            tokens = self._prompts.tokenize(pieces, add_begin=True)
        if not tokens:
            message = "the prompt is empty; send at least one token"
            raise InvalidRequestError(message, param="prompt")
        self._check_ids(tokens)
        return tokens

    def _check_ids(self, tokens: list[int]) -> None:
        for token in tokens:
            if not 0 <= token < self._model.num_vocab:
                raise InvalidRequestError(
                    f"token {token} is not one of this model's 0 to {self._model.num_vocab - 1}",
                    param="prompt",
                )

    def _text_of(self, tokens: list[int]) -> str:
        self._check_ids(tokens)
        return b"".join(map(self._model.piece, tokens)).decode("utf-8", errors="replace")

    def _start(self, sequence: Sequence) -> None:
        generation = self._generations[sequence.id]
        generation.clock.started_s = self._clock()
        self._send(Started(sequence.id, sequence.num_prompt, sequence.num_cached))
        self._num_reused += sequence.num_cached
        try:
            forced = generation.open()
        except GuideError as error:
            self._refuse(sequence, error)
            return
        if forced is not None:
            self._send(Outputs([forced]))
            self._num_generated += len(forced.tokens)
            if generation.is_over or sequence.num_new >= sequence.max_new:
                self._end(sequence, "stop" if generation.is_over else "length")

    # -- a step -----------------------------------------------------------------------------

    def _embed(self) -> None:
        """Compute a piece of a text that is to be a vector; beside streams a small one."""
        num_decoding = self._scheduler.num_decoding
        with self._turn:
            word = self._embedder.step(self._pace.budget(num_decoding=num_decoding) - num_decoding)
        if word is not None:
            self._send(word)

    def _decode(self, chunks: list[Chunk]) -> bool:
        """Run the batch; False when it was undone."""
        self._batch.clear()
        for chunk in chunks:
            assert chunk.sequence.lease is not None
            slot = chunk.sequence.lease.slot
            self._batch.add(slot, chunk.tokens, chunk.start, chunk.num_outputs)
        self._context.abort.lower()
        self._prefilling_now = frozenset(
            chunk.sequence.id for chunk in chunks if chunk.stop - chunk.start > 1
        )
        begun = self._clock()
        try:
            with self._turn:
                begun = self._clock()
                self._context.decode(self._batch)
        except DecodeAborted:
            self._scheduler.undo(chunks)
            return False
        except DecodeFailed as failure:
            self._scheduler.undo(chunks)
            self._give_up(chunks, failure)
            return False
        finally:
            self._prefilling_now = frozenset()
        self._record(chunks, self._clock() - begun)
        self._scheduler.complete(chunks)
        return True

    def _record(self, chunks: list[Chunk], duration_s: float) -> None:
        num_prompt = num_decoded = 0
        for chunk in chunks:
            if chunk.sequence.is_prefilling:
                num_prompt += chunk.stop - chunk.start
            else:
                num_decoded += chunk.stop - chunk.start
        self._num_prompt += num_prompt
        self._pace.record(num_decoded=num_decoded, num_prompt=num_prompt, duration_s=duration_s)
        if num_decoded:
            speed = num_decoded / max(duration_s, 1e-9)
            self._tokens_per_s += 0.1 * (speed - self._tokens_per_s)

    def _give_up(self, chunks: list[Chunk], failure: DecodeFailed) -> None:
        """A batch was refused although the cells were counted: fail who was in it."""
        logger.error("step failed: %s", failure)
        for chunk in chunks:
            self._forget(chunk.sequence)
            self._send(breakdown(chunk.sequence.id))

    def _collect(self, chunks: list[Chunk]) -> None:
        """Sample where logits came out, and send everything in one frame."""
        outputs: list[Output] = []
        ended: list[tuple[Sequence, str]] = []
        row = 0
        for chunk in chunks:
            row += chunk.stop - chunk.start
            if chunk.num_outputs:
                reason = self._advance(chunk, row - 1, outputs)
                if reason is not None:
                    ended.append((chunk.sequence, reason))
        if outputs:
            self._send(Outputs(outputs))
        for sequence, reason in ended:
            self._end(sequence, reason)

    def _advance(self, chunk: Chunk, last_row: int, outputs: list[Output]) -> str | None:
        """Draw from every output row of a chunk as long as the guesses were right.

        Returns why the sequence ends, None while it goes on.
        """
        sequence = chunk.sequence
        generation = self._generations[sequence.id]
        if generation.clock.first_token_s is None:
            generation.clock.first_token_s = self._clock()
        guesses = sequence.drop_guesses()
        num_right, reason = 0, None
        for row in range(last_row - len(guesses), last_row + 1):
            output, reason = self._draw(generation, row)
            if output is not None:
                outputs.append(output)
            if reason is not None or output is None or num_right == len(guesses):
                break
            if output.tokens != [guesses[num_right]]:
                break
            num_right += 1
        if guesses:
            self._scheduler.accept(sequence, num_right, len(guesses))
            generation.learn(len(guesses), num_right)
        if reason is None and sequence.lease is not None:
            self._guess(generation)
        return reason

    def _draw(self, generation: Generation, row: int) -> tuple[Output | None, str | None]:
        """One drawn token with what it forces, and why the sequence ends, if it does."""
        sequence = generation.sequence
        try:
            output = generation.draw(self._context, row)
        except GuideError as error:
            self._refuse(sequence, error)
            return None, None
        if output is None:
            return None, "stop"
        self._num_generated += len(output.tokens)
        if generation.is_over:
            return output, "stop"
        return output, "length" if sequence.num_new >= sequence.max_new else None

    def _guess(self, generation: Generation) -> None:
        """Let a lone stream guess ahead; beside others the batch is full enough as it is."""
        if len(self._scheduler.running) > MAX_GUESSING:
            return
        if self._draft is None:
            generation.guess(MAX_GUESSES, self._pace.cost_s)
        else:
            with self._turn:
                generation.guess(MAX_GUESSES, self._pace.cost_s, self._draft)

    def _end(self, sequence: Sequence, reason: str) -> None:
        generation = self._generations[sequence.id]
        rest = generation.detokenizer.finish()
        if rest:
            self._send(Outputs([Output(sequence.id, rest, [])]))
        timings = generation.clock.timings(sequence, self._clock())
        self._forget(sequence)
        self._send(
            Done(
                id=sequence.id,
                reason=reason,
                num_prompt=sequence.num_prompt,
                num_cached=sequence.num_cached,
                num_generated=sequence.num_new,
                timings=timings,
            )
        )

    def _refuse(self, sequence: Sequence, error: GuideError) -> None:
        self._forget(sequence)
        self._send(refusal(sequence.id, error))

    def _forget(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        generation = self._generations.pop(sequence.id, None)
        if generation is not None:
            generation.close()
        if self._draft is not None:
            self._draft.forget(sequence.id)
