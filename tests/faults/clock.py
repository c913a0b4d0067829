"""A wall clock that can be moved under a running process, by a shim that is compiled on the spot.

Owns the shim and the file that says by how much. Moves nobody's clock but that of processes that
are started with its environment.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "clock.c"


@dataclass(frozen=True)
class MovableClock:
    """The shim, and the file with the seconds to move by."""

    library: Path
    shift: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a process has to be started with."""
        return {"LD_PRELOAD": str(self.library), "CLOCK_SHIFT": str(self.shift)}

    def move(self, seconds: int) -> None:
        """From now on the clock is so far from the real one."""
        with self.shift.open("r+b") as file:
            file.write(struct.pack("=q", seconds))


def movable_clock(folder: Path) -> MovableClock | None:
    """A clock at the real time; None where none can be made."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        return None
    clock = MovableClock(folder / "clock.so", folder / "clock.shift")
    clock.shift.write_bytes(struct.pack("=q", 0))
    words = [compiler, "-shared", "-fPIC", "-O1", "-o", str(clock.library), str(SOURCE)]
    made = subprocess.run(words, capture_output=True)
    return clock if made.returncode == 0 else None
