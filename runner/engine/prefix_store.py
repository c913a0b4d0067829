"""Computed prefixes on disk, so that a restart does not cost them.

Owns a folder of its own files, each holding the token ids of a prefix and llama.cpp's state of
it. Knows no llama.cpp. Invariants: a file is whole or not there; the folder never holds more than
its bytes; nothing is read that was not written by this installation for these weights (a keyed
digest proves it, since llama.cpp trusts the states it loads).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .prefix_cache import common_prefix

MAGIC = b"HRPFX001"
HEADER = struct.Struct("<8sII32s32s")  # magic, tokens, state bytes (0 past 4 GiB), tenant, digest
MIN_TOKENS = 256
WORTH_SAVING = 128  # tokens more than what is stored already
KEY_FILE = "key"


@dataclass(frozen=True, slots=True)
class Stored:
    """One prefix on disk."""

    path: Path
    tenant: bytes
    tokens: list[int]


def fingerprint(weights: list[str], *facts: str) -> str:
    """What a state belongs to: the files (size, time, both ends) and whatever else decides it."""
    digest = hashlib.sha256("\0".join(facts).encode())
    for name in weights:
        with open(name, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest.update(f"{size} {os.fstat(file.fileno()).st_mtime_ns}".encode())
            digest.update(file.read(1 << 20))
            file.seek(max(0, size - (1 << 20)))
            digest.update(file.read(1 << 20))
    return digest.hexdigest()[:32]


class PrefixStore:
    """The prefixes of one model, within one folder shared with other models'."""

    def __init__(self, folder: Path, owner: str, *, max_bytes: int) -> None:
        self._folder = folder
        self._owner = owner
        self._max_bytes = max_bytes
        self._key = _installation_key(folder)
        self._stored = list(self._scan())

    def find(self, tenant: str, tokens: list[int], *, beyond: int) -> Stored | None:
        """The stored prefix that shares most with the tokens, if clearly more than `beyond`."""
        mark = _mark(tenant)
        best, best_length = None, beyond + WORTH_SAVING
        for one in self._stored:
            length = common_prefix(one.tokens, tokens, 0) if one.tenant == mark else 0
            if length >= best_length:
                best, best_length = one, length
        return best

    def is_news(self, tenant: str, tokens: list[int]) -> bool:
        """Whether the tokens are worth storing beside what is there."""
        if len(tokens) < MIN_TOKENS:
            return False
        known = self.find(tenant, tokens, beyond=0)
        if known is None:
            return True
        return common_prefix(known.tokens, tokens, 0) + WORTH_SAVING < len(tokens)

    def save(self, tenant: str, tokens: list[int], state: bytes) -> None:
        """Write a prefix; what it replaces or pushes out is deleted. Raises OSError."""
        if len(state) > self._max_bytes:
            return
        body = array("i", tokens).tobytes()
        mark = _mark(tenant)
        name = hashlib.sha256(mark + body).hexdigest()[:32]
        path = self._folder / f"{self._owner}-{name}.prefix"
        size = len(state) if len(state) < 1 << 32 else 0
        header = HEADER.pack(MAGIC, len(tokens), size, mark, self._digest(mark, body, state))
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(temporary, "wb", opener=_private) as file:
                for part in (header, body, state):
                    file.write(part)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self._drop_covered(mark, tokens)
        self._stored.append(Stored(path, mark, tokens))
        self._trim()

    def load(self, one: Stored) -> bytes | None:
        """The state of a stored prefix; None, and the file is gone, if it is not what we wrote."""
        try:
            with open(one.path, "rb") as file:
                magic, count, _, mark, digest = HEADER.unpack(file.read(HEADER.size))
                body = file.read(count * 4)
                state = file.read()
            os.utime(one.path)
        except (OSError, struct.error):
            self._forget(one)
            return None
        is_ours = hmac.compare_digest(digest, self._digest(mark, body, state))
        if magic != MAGIC or not is_ours or array("i", body).tolist() != one.tokens:
            self._forget(one)
            return None
        return state

    def _digest(self, mark: bytes, body: bytes, state: bytes) -> bytes:
        """Proves who wrote it and for what."""
        digest = hmac.new(self._key, self._owner.encode() + mark + body, hashlib.sha256)
        digest.update(state)
        return digest.digest()

    def _scan(self) -> Iterator[Stored]:
        for path in sorted(self._folder.glob(f"{self._owner}-*.prefix")):
            with contextlib.suppress(OSError, struct.error), open(path, "rb") as file:
                magic, count, _, mark, _ = HEADER.unpack(file.read(HEADER.size))
                if magic == MAGIC and count * 4 <= os.fstat(file.fileno()).st_size:
                    yield Stored(path, mark, array("i", file.read(count * 4)).tolist())

    def _drop_covered(self, mark: bytes, tokens: list[int]) -> None:
        """Prefixes of the new one say nothing more."""
        for one in list(self._stored):
            if one.tenant == mark and tokens[: len(one.tokens)] == one.tokens:
                if one.path.exists() and len(one.tokens) < len(tokens):
                    self._forget(one)
                elif one in self._stored:
                    self._stored.remove(one)

    def _trim(self) -> None:
        """Delete the least recently used files of any model until the folder fits."""
        files = [(path.stat().st_mtime, path) for path in self._folder.glob("*.prefix")]
        total = sum(path.stat().st_size for _, path in files)
        for _, path in sorted(files):
            if total <= self._max_bytes:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)
            self._stored = [one for one in self._stored if one.path != path]

    def _forget(self, one: Stored) -> None:
        with contextlib.suppress(OSError):
            one.path.unlink(missing_ok=True)
        if one in self._stored:
            self._stored.remove(one)


def _mark(tenant: str) -> bytes:
    return hashlib.sha256(tenant.encode()).digest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _installation_key(folder: Path) -> bytes:
    """A secret of this installation, made on first use. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / KEY_FILE
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
    return path.read_bytes()
