"""Templates of unknown origin, rendered in a child process that can be killed.

Owns the child's life: started on first use, kept for the next, killed at the deadline. Jinja's
sandbox alone stops neither endless loops nor huge strings. Invariant: `render` returns or raises
within its deadline, whatever the template does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import IO, Any, NoReturn

from runner.errors import InvalidRequestError, WeightsError
from runner.types import JsonObject

from . import renderer

START_S = 20.0
DEADLINE_S = 2.0
ADVICE = "name one of our own formats as chat_format for this model in models.toml"


class ForeignTemplate:
    """One template source that came with weights, rendered at arm's length."""

    def __init__(self, source: str, *, deadline_s: float = DEADLINE_S) -> None:
        if len(source) > renderer.MAX_SOURCE_CHARS:
            raise WeightsError(f"the chat template of these weights is too long; {ADVICE}")
        self._source = source
        self._deadline_s = deadline_s
        self._child: _Child | None = None
        self._turn = threading.Lock()

    def render(self, context: JsonObject) -> str:
        """The rendered text.

        Raises:
            InvalidRequestError: the template refuses this conversation.
            WeightsError: the template is broken, or took too long or too much memory.
        """
        request = json.dumps({"source": self._source, "context": context})
        with self._turn:
            answer = self._ask(request)
        if "text" in answer:
            return str(answer["text"])
        _refuse(answer)

    def close(self) -> None:
        """End the child; the next `render` starts another."""
        with self._turn:
            self._drop_child()

    def _ask(self, request: str) -> dict[str, Any]:
        is_reused = self._child is not None
        child = self._child = self._child or _Child()
        line = child.ask(request, self._deadline_s)
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._drop_child()
        is_gone = line is not None  # it died since the last time: not this request's fault
        return self._ask(request) if is_gone and is_reused else {"fault": "limit"}

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    """The process, and a thread that waits for its lines."""

    def __init__(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-I", str(Path(renderer.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},
        )
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(
            target=_pass_lines, args=(process.stdout, self._lines), daemon=True
        )
        reader.start()
        self.close = weakref.finalize(self, _end, process, reader)
        if not self._wait(START_S):
            self.close()
            raise WeightsError(f"the process for chat templates did not start; {ADVICE}")

    def ask(self, request: str, deadline_s: float) -> str | None:
        """The answer's line, "" when the child is gone, None when none came in time."""
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(request + "\n")
                pipe.flush()
        except OSError:
            return ""
        return self._wait(deadline_s)

    def _wait(self, timeout_s: float) -> str | None:
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None


def _pass_lines(pipe: IO[str], lines: queue.SimpleQueue[str]) -> None:
    """Every line, and "" at the end."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put("")


def _end(process: subprocess.Popen[str], reader: threading.Thread) -> None:
    process.kill()
    process.wait()
    reader.join()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _refuse(answer: dict[str, Any]) -> NoReturn:
    detail = answer.get("detail", "")
    match answer.get("fault"):
        case "refused":
            message = f"the model's chat template refuses this conversation: {detail}"
            raise InvalidRequestError(message, param="messages")
        case "failed":
            message = f"the model's chat template cannot write this conversation ({detail})"
            raise InvalidRequestError(f"{message}; {ADVICE}", param="messages")
        case "syntax":
            message = f"the chat template of these weights cannot be read ({detail})"
        case _:
            message = "the chat template of these weights took too much time or memory"
    raise WeightsError(f"{message}; {ADVICE}")
