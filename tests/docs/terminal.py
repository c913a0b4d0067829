"""A shell at a terminal of its own, that is given one command after the other.

Owns the pseudo-terminal and the shell's process. What programs write is kept as a reader would see
it: no colours, and of a line that was drawn over only what stands at the end. Linux and macOS only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NUM_LINES, NUM_COLUMNS = 50, 100
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()=>][0-9A-B]?|\x07")
BACKGROUND = re.compile(r"&\s*$")
READY = re.compile(rb"ready: [^\n]*\n")
ASKING = re.compile(rb"(?:> |: |\? )\Z")
CTRL_C = b"\x03"

# Commands come as names of files to be read, so that one may have several lines; each is followed
# by a mark with its exit code. `trap` lets Ctrl-C end the program and not the shell.
DRIVER = """
exec <"$TTY" >"$TTY" 2>&1
trap : INT
while IFS= read -r script <&3; do
    . "$script"
    printf '\\036%s:%d\\036\\n' "${script##*/}" "$?"
done
"""


@dataclass(frozen=True)
class Outcome:
    """What a command wrote, and its exit code; a server in the background has none yet."""

    output: str
    code: int


class Terminal:
    """Use as a context manager; whatever was started in it is gone afterwards."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = {**environment, "TERM": "dumb", "COLUMNS": str(NUM_COLUMNS)}
        self._seen = bytearray()
        self._count = 0

    def __enter__(self) -> Self:
        self._scripts = Path(tempfile.mkdtemp(prefix=".commands-", dir=self._folder))
        self._screen, slave = pty.openpty()
        size = struct.pack("HHHH", NUM_LINES, NUM_COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        asked, self._orders = os.pipe()
        shell = shutil.which("bash") or "/bin/sh"
        self._shell = subprocess.Popen(
            [shell, "-c", f"exec 3<&{asked} {asked}<&-\n{DRIVER}"],
            cwd=self._folder,
            env={**self._environment, "TTY": os.ttyname(slave)},
            pass_fds=[asked],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(asked)
        self._slave = slave  # kept open, so that the screen can be read when nobody writes
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._orders)
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._shell.pid, number)
            if self._is_gone(within_s=15):
                break
        self._shell.wait()
        os.close(self._screen)
        os.close(self._slave)

    def run(self, command: str, *, typed: Sequence[str] = (), timeout_s: float = 90) -> Outcome:
        """Give the command and wait for its end; for a server in the background, until it is ready.

        `typed` are the lines a person types, each when the program asks for it.
        """
        deadline_s = self._give(command, timeout_s)
        for line in typed:
            self._wait_for(ASKING, deadline_s, command)
            os.write(self._screen, f"{line}\n".encode())
            self._wait_for(re.compile(re.escape(line.encode()) + rb"\r?\n"), deadline_s, command)
        code = self._wait_for_end(deadline_s, command)
        if BACKGROUND.search(command):
            self._wait_for(READY, deadline_s, command)
        return Outcome(as_read(self._seen), code)

    def run_server(self, command: str, *, timeout_s: float = 90) -> Outcome:
        """Give a command that serves, wait until it is ready, and end it with Ctrl-C."""
        deadline_s = self._give(command, timeout_s)
        self._wait_for(READY, deadline_s, command)
        os.write(self._screen, CTRL_C)
        code = self._wait_for_end(deadline_s, command)
        return Outcome(as_read(self._seen), code)

    def _give(self, command: str, timeout_s: float) -> float:
        self._seen.clear()
        self._count += 1
        script = self._scripts / str(self._count)
        script.write_text(f"{command}\n", encoding="utf-8")
        os.write(self._orders, f"{script}\n".encode())
        return time.monotonic() + timeout_s

    def _wait_for_end(self, deadline_s: float, command: str) -> int:
        mark = re.compile(rb"\x1e%d:(\d+)\x1e\r?\n" % self._count)
        found = self._wait_for(mark, deadline_s, command)
        code = int(found[1])
        start, end = found.span()
        del found, self._seen[start:end]
        return code

    def _wait_for(
        self, pattern: re.Pattern[bytes], deadline_s: float, command: str
    ) -> re.Match[bytes]:
        while (found := pattern.search(bytes(self._seen))) is None:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self._screen], [], [], left_s)[0]:
                os.write(self._screen, CTRL_C)
                shown = as_read(self._seen[-2000:])
                raise AssertionError(f"{command}\ndid not come to an end in time; so far:\n{shown}")
            self._seen += os.read(self._screen, 65536)
        return found

    def _is_gone(self, within_s: float) -> bool:
        """Whether everything in the terminal ends in time; servers end in order."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            self._shell.poll()
            try:
                os.killpg(self._shell.pid, 0)
            except (ProcessLookupError, PermissionError):
                return True
            if select.select([self._screen], [], [], 0.05)[0]:
                os.read(self._screen, 65536)  # nobody is to wait for the screen
        return False


def as_read(written: bytes | bytearray) -> str:
    """The text as it stands on the screen in the end."""
    text = CONTROL.sub("", written.decode(errors="replace")).replace("\r\n", "\n")
    lines = [line.rstrip("\r").rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return "\n".join(lines).strip("\n")
