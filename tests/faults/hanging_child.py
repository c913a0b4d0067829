"""An engine that hangs inside a C call, once: `python hanging_child.py FD SWITCH`.

The call gives up Python's lock, as llama.cpp's calls do, so that the heartbeat goes on. It hangs
when the file SWITCH is there, and takes that away first.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from runner.engine.cell import enter

HANG_S = 600


def hang_at(switch: Path) -> None:
    """Let the next decode after the file appears never come back."""
    from runner.engine.llama import Context

    decode = Context.decode

    def hang_or_decode(self: Context, batch: Any) -> None:
        if switch.exists():
            switch.unlink()
            ctypes.CDLL(None).sleep(HANG_S)
        decode(self, batch)

    Context.decode = hang_or_decode  # type: ignore[method-assign]


if __name__ == "__main__":
    enter()
    from runner.engine.worker import main

    hang_at(Path(sys.argv[2]))
    main()
