"""One engine child as the parent sees it: a state machine around a process and a socket.

    starting ──► ready ──► stopping ──► dead
        └────────┴──────────────────────┘   (a load that fails, a crash, a kill)

Owns the process and the streams of its sequences. Decides nothing about what is loaded. Knows
which system it runs on; nothing above does. Invariant: when the child is gone, every open stream
learns so exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Literal, cast

from runner.engine.messages import (
    Cancel,
    Detokenize,
    Done,
    Embed,
    Failed,
    FrameSplitter,
    FromChild,
    FromParent,
    Load,
    Loaded,
    LoadFailed,
    LoadProgress,
    Output,
    Outputs,
    Started,
    Status,
    Stop,
    Submit,
    Text,
    Tokenize,
    Tokens,
    Vector,
    decode_from_child,
    encode,
)
from runner.errors import EngineCrashedError, EngineError, EngineLoadError
from runner.types import PromptPiece

logger = logging.getLogger(__name__)

State = Literal["starting", "ready", "stopping", "dead"]
Word = Started | Output | Done | Failed | Tokens | Text | Vector
KEPT_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "SYSTEMROOT",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "GOMP_CPU_AFFINITY",
)
# Short spinning: OpenMP's default burns a core while it waits and collapses beside other work.
SPIN_COUNT = "1000"
STOP_GRACE_S = 3.0


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the child may see: no keys, no tokens, no proxies."""
    kept = {name: environ[name] for name in KEPT_ENVIRONMENT if name in environ}
    package_root = str(Path(__file__).resolve().parents[2])
    return {
        "GOMP_SPINCOUNT": SPIN_COUNT,
        **kept,
        "GGML_NO_BACKTRACE": "1",
        "PYTHONPATH": package_root,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


class EngineProcess(asyncio.Protocol):
    """A child that is loading, serving or gone. Made by `start`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process = process
        self._ids = itertools.count(1)
        self._streams: dict[int, asyncio.Queue[Word | None]] = {}
        self._loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        self._stderr_tail: deque[str] = deque(maxlen=20)
        self._transport: asyncio.Transport | None = None
        self._splitter = FrameSplitter()
        self.state: State = "starting"
        self.status: Status | None = None
        self.load_share = 0.0
        self.failure: str | None = None
        self._was_killed = self.was_killed_by_system = False
        self.met_illegal_instruction = False
        self.has_worked = False
        self._heard_s = self._progress_s = clock()
        self._clock = clock
        self.on_death: Callable[[], None] | None = None
        self._listening = asyncio.create_task(self._read_stderr())
        self._burying: asyncio.Task[None] | None = None
        self._is_gone = asyncio.Event()

    @classmethod
    async def start(cls, order: Load, clock: Callable[[], float] = time.monotonic) -> EngineProcess:
        """Spawn a child and give it the order; it is `starting` until `wait_ready` returns."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "runner.engine.child",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=child_environment(os.environ),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise EngineLoadError(f"the engine process cannot be started: {error}") from error
        finally:
            theirs.close()
        engine = cls(process, clock)
        await asyncio.get_running_loop().create_connection(lambda: engine, sock=ours)
        engine._send(order)
        return engine

    async def wait_ready(self) -> Loaded:
        """What the child says of the weights once they are loaded. Raises EngineLoadError."""
        return await asyncio.shield(self._loaded)

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def facts(self) -> Loaded:
        """What the child said of the weights; only once it is ready."""
        return self._loaded.result()

    @property
    def num_streams(self) -> int:
        """Requests that the child has not finished."""
        return len(self._streams)

    def trouble(self, now_s: float, lost_after_s: float, stuck_after_s: float) -> str | None:
        """Why a ready child should be killed: no heartbeat, or no progress; None if it is well.

        A heartbeat alone proves little: it goes on while llama.cpp hangs in one call.
        """
        if now_s - self._heard_s > lost_after_s:
            return f"no sign of life for {now_s - self._heard_s:.1f} s"
        is_busy = self.status is not None and self.status.is_busy
        if is_busy and now_s - self._progress_s > stuck_after_s:
            return f"no progress for {now_s - self._progress_s:.0f} s"
        return None

    # -- requests ---------------------------------------------------------------------------

    async def generate(
        self, make: Callable[[int], Submit]
    ) -> AsyncGenerator[Started | Output | Done]:
        """Submit and yield the sequence's words, `Done` last; closing the iterator cancels.

        Raises:
            EngineCrashedError: the child is gone.
            EngineRefusalError: the child could not serve this request.
        """
        stream_id, stream = self._open()
        finished = False
        try:
            self._send(make(stream_id))
            while True:
                word = await self._next(stream)
                if isinstance(word, Started | Output):
                    yield word
                elif isinstance(word, Done):
                    finished = True
                    yield word
                    return
        except EngineError:
            finished = True
            raise
        finally:
            del self._streams[stream_id]
            if not finished:
                self._send(Cancel(stream_id))

    async def tokenize(self, pieces: list[PromptPiece], *, add_begin: bool = False) -> list[int]:
        """The token ids of a text."""
        word = await self._ask(lambda ask_id: Tokenize(ask_id, pieces, add_begin))
        assert isinstance(word, Tokens)
        return word.tokens

    async def detokenize(self, tokens: list[int]) -> str:
        """The text of token ids."""
        word = await self._ask(lambda ask_id: Detokenize(ask_id, tokens))
        assert isinstance(word, Text)
        return word.text

    async def embed(self, text: str, tokens: list[int]) -> Vector:
        """One vector for a text, or for token ids if there are any."""
        pieces = [PromptPiece(text)]
        word = await self._ask(lambda ask_id: Embed(ask_id, pieces, tokens))
        assert isinstance(word, Vector)
        return word

    async def _ask(self, make: Callable[[int], FromParent]) -> Word:
        stream_id, stream = self._open()
        try:
            self._send(make(stream_id))
            return await self._next(stream)
        except asyncio.CancelledError:
            self._send(Cancel(stream_id))
            raise
        finally:
            del self._streams[stream_id]

    def _open(self) -> tuple[int, asyncio.Queue[Word | None]]:
        if self.state != "ready":
            raise self._crash()
        stream_id = next(self._ids)
        stream: asyncio.Queue[Word | None] = asyncio.Queue()
        self._streams[stream_id] = stream
        return stream_id, stream

    async def _next(self, stream: asyncio.Queue[Word | None]) -> Word:
        word = await stream.get()
        if word is None:
            raise self._crash()
        if isinstance(word, Failed):
            raise EngineRefusalError(word)
        return word

    def _crash(self) -> EngineCrashedError:
        return EngineCrashedError(self.failure or "the engine process is not running")

    # -- the process ------------------------------------------------------------------------

    async def stop(self) -> None:
        """End the child: asked, then told, then killed. Returns when it is gone."""
        if self.state != "dead":
            self.state = "stopping"
            self._send(Stop())
        for signum in (None, signal.SIGTERM, signal.SIGKILL):
            if signum is not None:
                self.kill(signum)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), STOP_GRACE_S)
                break
        await self._is_gone.wait()

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Send the child a signal; nothing happens if it is gone."""
        self._was_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signum)

    def _send(self, message: FromParent) -> None:
        if self.state != "dead" and self._transport is not None:
            self._transport.write(encode(message))

    # -- the socket, as asyncio calls a protocol ----------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand out what the child says; straight from the event loop, for it is said often."""
        self._heard_s = self._clock()
        for body in self._splitter.feed(data):
            self._receive(decode_from_child(body))

    def connection_lost(self, error: Exception | None) -> None:
        """The child closed its end."""
        self._burying = asyncio.get_running_loop().create_task(self._bury())

    async def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            text = line.decode("utf-8", errors="replace").rstrip()
            self._stderr_tail.append(text)
            logger.debug("engine %d: %s", self.pid, text)

    def _receive(self, message: FromChild) -> None:
        match message:
            case Outputs(outputs=outputs):
                self.has_worked = True
                self._progress_s = self._heard_s
                for output in outputs:
                    self._deliver(output.id, output)
            case Status():
                if self.status is None or message.step != self.status.step or not message.is_busy:
                    self._progress_s = self._heard_s
                self.status = message
            case LoadProgress(share=share):
                self.load_share = share
            case Loaded():
                self.state = "ready"
                self._loaded.set_result(message)
            case LoadFailed(message=reason):
                self.failure = reason
            case _:
                self._deliver(message.id, message)

    def _deliver(self, stream_id: int, word: Word) -> None:
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.put_nowait(word)

    async def _bury(self) -> None:
        """The child closed its end: wait for the exit, and tell everyone who waits."""
        code = await self._process.wait()
        await asyncio.wait({self._listening}, timeout=1.0)
        self._listening.cancel()
        was_asked = self.state == "stopping"
        self.state = "dead"
        self.was_killed_by_system = code == -signal.SIGKILL and not self._was_killed
        self.met_illegal_instruction = code == -signal.SIGILL
        if self.failure is None:
            self.failure = "the engine was stopped" if was_asked else self._last_words(code)
        if not self._loaded.done():
            self._loaded.set_exception(EngineLoadError(self.failure))
            self._loaded.exception()
        for stream in self._streams.values():
            stream.put_nowait(None)
        self._is_gone.set()
        if self.on_death is not None:
            self.on_death()

    def _last_words(self, code: int) -> str:
        how = f"exit code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"signal {-code} ({signal.Signals(-code).name})"
        if self.was_killed_by_system:
            how += ", which is how the system ends a process when memory runs out"
        said = next((line for line in reversed(self._stderr_tail) if line.strip()), "")
        return f"the engine process died: {how}" + (f"; it said: {said[:300]}" if said else "")


class EngineRefusalError(EngineError):
    """The child answered `Failed`; the backend turns it into the error it names."""

    def __init__(self, word: Failed) -> None:
        super().__init__(word.message)
        self.kind = word.kind
        self.numbers = word.numbers
