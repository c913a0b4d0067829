"""The process around the loop: waits for bytes, runs steps, beats its heart.

Owns the socket to the parent, a thread that reads it, and loading. Invariant: when the parent is
gone (end of file) the child exits at once.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import queue
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from runner.errors import EngineLoadError

from .cell import limit_memory
from .constraint import GrammarCompiler
from .drafting import Draft, draft_options
from .embedding import Embedder
from .llama import Context, LoadOptions, Model, version
from .loop import Loop, Tools
from .messages import (
    Cancel,
    FrameSplitter,
    FromChild,
    FromParent,
    Load,
    Loaded,
    LoadFailed,
    LoadProgress,
    Stop,
    decode_from_parent,
    encode,
)
from .persistence import Persistence
from .prefix_cache import PrefixCache
from .prefix_store import PrefixStore, fingerprint
from .scheduler import Scheduler
from .tuning import Trial, fastest
from .turn import Turn

HEARTBEAT_S = 0.25
QUIET_S = 0.2  # without a request, before prefixes are written to disk
MIN_CACHED = 4096  # cells of finished sequences that are always worth keeping
NUM_RETAINED = 32  # finished sequences whose cells may stay cached; each costs a row of logits
MAX_SEQUENCES = 256  # llama.cpp's LLAMA_MAX_SEQ
BATCH_SIZE = 2048
UBATCH_SIZE = 512
# llama.cpp attends to 64 queries or more in tiles, which rounds differently. Below that a small
# model's answers are the same to the bit, alone or batched, first computed or replayed.
EXACT_UBATCH_SIZE = 32
SMALL_WEIGHTS_BYTES = 64 * 2**20
_METADATA = ("general.name", "general.architecture", "general.file_type", "general.basename")


class Pipe:
    """The child's end of the socket to the parent."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.inbox: queue.SimpleQueue[FromParent] = queue.SimpleQueue()
        self.loop: Loop | None = None

    def send(self, message: FromChild) -> None:
        """Pass a word to the parent; exits when it is gone."""
        frame = encode(message)
        try:
            with self._lock:
                self._connection.sendall(frame)
        except OSError:
            os._exit(0)

    def read_forever(self) -> None:
        """Fill the inbox; a cancel during a prompt's computation aborts the step at once."""
        splitter = FrameSplitter()
        while True:
            try:
                data = self._connection.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                os._exit(0)
            for body in splitter.feed(data):
                message = decode_from_parent(body)
                self.inbox.put(message)
                if isinstance(message, Cancel) and self.loop is not None:
                    self.loop.abort_if_prefilling(message.id)

    def beat_forever(self) -> None:
        """Tell the parent several times a second how the engine is."""
        while True:
            time.sleep(HEARTBEAT_S)
            if self.loop is not None:
                self.send(self.loop.status())


def options_for(order: Load) -> LoadOptions:
    """How the ordered weights are to be loaded; a probe counts what this very choice takes."""
    size_bytes = sum(os.path.getsize(path) for path in order.weights if os.path.isfile(path))
    return LoadOptions(
        weights=tuple(order.weights),
        num_cells=order.num_cells,
        num_sequences=min(MAX_SEQUENCES, order.parallel + NUM_RETAINED),
        num_threads=order.threads,
        batch_size=min(BATCH_SIZE, order.num_cells),
        ubatch_size=UBATCH_SIZE if size_bytes > SMALL_WEIGHTS_BYTES else EXACT_UBATCH_SIZE,
        gpu_layers=order.gpu_layers,
        kv_type=order.kv_type,
        repack=order.repack,
    )


def load(order: Load, pipe: Pipe) -> Loop:
    """Weights, context and loop as ordered. Raises EngineLoadError."""
    options = options_for(order)
    model = Model(options, on_progress=lambda share: pipe.send(LoadProgress(share)))
    context = Context(model, options)
    num_context = min(order.context, context.num_cells)
    cache = PrefixCache(
        num_cells=context.num_cells,
        num_slots=options.num_sequences,
        effects=context,
        max_cached=max(MIN_CACHED, num_context // 2),
    )
    scheduler = Scheduler(cache, num_running=order.parallel, context=num_context)
    compiler = GrammarCompiler(model)
    embedder = Embedder(model, options, context=num_context)
    persistence = Persistence(open_store(order), cache, context)
    turn = Turn(order.turns)
    trial = Trial(order.threads, 0.0)
    if order.thread_choices:
        with turn:
            trial = fastest(context, order.thread_choices, time.monotonic)
    draft = open_draft(order, replace(options, num_threads=trial.num_threads), model, num_context)
    tools = Tools(embedder, compiler, turn, persistence, draft)
    loop = Loop(model, context, scheduler, tools, pipe.send, time.monotonic)
    pipe.send(
        msgspec.structs.replace(
            _describe(model, num_context),
            num_threads=trial.num_threads,
            tokens_per_s=trial.tokens_per_s,
            has_draft=draft is not None,
        )
    )
    return loop


def open_draft(order: Load, options: LoadOptions, model: Model, num_context: int) -> Draft | None:
    """The model that guesses ahead; None where there is none, or where it cannot be used."""
    if not order.draft:
        return None
    try:
        wanted = draft_options(options, tuple(order.draft), num_context)
        return Draft(wanted, model, time.monotonic)
    except EngineLoadError as error:
        logging.warning("no draft model guesses ahead: %s", error)
        return None


def open_store(order: Load) -> PrefixStore | None:
    """The prefixes on disk for these weights; None where there are to be none, or no place."""
    if not order.prefix_folder or order.prefix_bytes <= 0:
        return None
    try:
        owner = fingerprint(order.weights, order.kv_type, version(), str(order.repack))
        return PrefixStore(Path(order.prefix_folder), owner, max_bytes=order.prefix_bytes)
    except OSError as error:
        logging.warning("prefixes are not kept on disk: %s", error)
        return None


def _describe(model: Model, num_context: int) -> Loaded:
    end = model.end_token()
    found = {key: model.metadata(key) for key in _METADATA}
    return Loaded(
        num_context=num_context,
        num_train_context=model.context_length,
        num_vocab=model.num_vocab,
        embedding_size=model.embedding_size,
        size_bytes=model.size_bytes,
        bos=model.begin_text() if model.adds_begin else "",
        eos=model.piece(end).decode("utf-8", errors="replace") if end >= 0 else "",
        chat_template=model.metadata("tokenizer.chat_template"),
        tool_template=model.metadata("tokenizer.chat_template.tool_use"),
        metadata={key: value for key, value in found.items() if value is not None},
    )


def serve(pipe: Pipe, loop: Loop) -> None:
    """Handle words and run steps until told to stop; sleeps only when nothing is to be done."""
    while True:
        message = _next_message(pipe, loop)
        while message is not None:
            if isinstance(message, Stop):
                while loop.rest():
                    pass
                return
            loop.handle(message)
            message = _next_message(pipe, loop)
        loop.step()


def _next_message(pipe: Pipe, loop: Loop) -> FromParent | None:
    """The next word; None where there is none and steps are to be run.

    With nothing to run it waits, and after a quiet moment does what can wait until then.
    """
    with contextlib.suppress(queue.Empty):
        return pipe.inbox.get_nowait()
    if not loop.is_idle:
        return None
    has_chores = True
    while has_chores:
        try:
            return pipe.inbox.get(timeout=QUIET_S)
        except queue.Empty:
            has_chores = loop.rest()
    return pipe.inbox.get()


class LastWords(logging.Handler):
    """Keeps the last error that llama.cpp logged: what it returns never says why."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take the line."""
        self.text = record.getMessage()


def main() -> None:
    """Run until the parent says so or is gone; exit code 1 when the weights cannot be loaded."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    last_words = LastWords(logging.ERROR)
    logging.getLogger().addHandler(last_words)
    pipe = Pipe(socket.socket(fileno=int(sys.argv[1])))
    threading.Thread(target=pipe.read_forever, daemon=True).start()
    order = pipe.inbox.get()
    if not isinstance(order, Load):
        sys.exit(2)
    limit_memory(order.memory_limit_bytes)
    try:
        pipe.loop = load(order, pipe)
    except EngineLoadError as error:
        pipe.send(LoadFailed(": ".join(filter(None, (str(error), last_words.text)))))
        sys.exit(1)
    threading.Thread(target=pipe.beat_forever, daemon=True).start()
    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    serve(pipe, pipe.loop)
    os._exit(0)
