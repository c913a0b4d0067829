"""What was once proved about files on this disk, so that it need not be proved at every start.

Owns the folder `verified/` of the state; reads no weights. Invariant: a record speaks for a file
only while its size and time of change are those of the proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from .digest import Digest


class Record(BaseModel):
    """One proof: the hash of a file, and the checksum of each `span_bytes` of it."""

    model_config = ConfigDict(frozen=True)

    path: str
    size_bytes: int
    mtime_ns: int
    etag: str
    sums: tuple[int, ...]


class Records:
    """The proofs of one state folder."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir / "verified"

    def find(self, path: Path) -> Record | None:
        """The proof of this very file as it is now."""
        record = self.last(path)
        with contextlib.suppress(OSError):
            found = path.stat()
            if record and (found.st_size, found.st_mtime_ns) == (
                record.size_bytes,
                record.mtime_ns,
            ):
                return record
        return None

    def last(self, path: Path) -> Record | None:
        """The last proof of a file at that place, whatever became of it."""
        try:
            return Record.model_validate_json(self._place(path).read_bytes())
        except (OSError, ValidationError):
            return None

    def save(self, path: Path, digest: Digest) -> None:
        """Remember that the file has this hash; a state folder that cannot be written forgets."""
        found = path.stat()
        record = Record(
            path=str(path.resolve()),
            size_bytes=found.st_size,
            mtime_ns=found.st_mtime_ns,
            etag=digest.value,
            sums=tuple(digest.all_sums()),
        )
        self._write(path, record)

    def doubt(self, path: Path) -> None:
        """Keep the proof for its checksums only: the file was found to differ from it."""
        record = self.last(path)
        if record is not None:
            self._write(path, record.model_copy(update={"mtime_ns": -1}))

    def forget(self, path: Path) -> None:
        """Drop the proof."""
        with contextlib.suppress(OSError):
            self._place(path).unlink(missing_ok=True)

    def _write(self, path: Path, record: Record) -> None:
        place = self._place(path)
        fresh = place.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(record.model_dump_json(), encoding="utf-8")
            fresh.replace(place)

    def _place(self, path: Path) -> Path:
        key = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
        return self._folder / f"{key}.json"
