"""Fetching a model: resolve, choose, make sure there is room, fetch, prove, put in place.

Composes the other parts and tells what happens as typed events; owns no bytes itself, and leaves
to the caller which quantisation suits the machine. Invariant: pulling what is here already changes
nothing and asks nobody.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path

from runner.catalog import Entry, Reference
from runner.errors import DownloadError, IntegrityError, WeightsError
from runner.gguf import GgufFacts, read_header

from . import layout
from .digest import Digest, digest_file
from .event import InPlace, Progress, Pulled, PullEvent, Resolved, Waiting
from .library import Installed, Library
from .lock import TransferLock
from .partial import Partial
from .remote import RemoteSource
from .repository import RemoteFile, Repositories, Snapshot
from .selection import Candidate, Chooser, Offer, Pick, Selection, select, take_best
from .transfer import Patience, Transfer
from .verification import Verdict, seed

RESERVE_BYTES = 64 * 2**20


class Puller:
    """Fetches models into a library. One pull at a time; several processes may pull at once."""

    def __init__(
        self,
        library: Library,
        repositories: Repositories,
        *,
        patience: Patience | None = None,
        free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._library = library
        self._repositories = repositories
        self._patience = patience or Patience()
        self._free_bytes = free_bytes
        self._clock = clock
        self._sleep = sleep

    def pull(
        self,
        name: str,
        *,
        choose: Chooser = take_best,
        trust_hub: bool = False,
    ) -> Iterator[PullEvent]:
        """Fetch the model of that name; the last event is `Pulled`.

        `choose` picks the quantisation that suits this machine; it is asked only where none was
        named. `trust_hub` accepts a hash that is not the catalogue's.

        Raises:
            ModelNotFoundError, OfflineError, DownloadError, IntegrityError, DoesNotFitError.
        """
        reference, installed = self._library.resolve(name)
        if installed is not None and installed.verified:
            yield Pulled(installed, 0)
            return
        snapshot, selection = self._choose(reference, choose)
        files = (*selection.candidate.files, *selection.sidecars)
        if not trust_hub:
            _check_against(reference.entry, snapshot, files)
        missing = sum(self._missing_bytes(snapshot.repo, file) for file in files)
        yield Resolved(
            model_id=reference.entry.id,
            repo=snapshot.repo,
            revision=snapshot.commit,
            quantization=selection.candidate.quantization,
            reason=selection.reason,
            names=tuple(file.name for file in files),
            size_bytes=sum(file.size_bytes for file in files),
            missing_bytes=missing,
        )
        self._check_room(missing)
        num_fetched = yield from self._fetch_all(snapshot, files)
        yield self._finish(reference, snapshot, files, num_fetched)

    def repair(self, installed: Installed, verdicts: list[Verdict]) -> Iterator[PullEvent]:
        """Fetch what is damaged again: only the bad places where they are known, else the file.

        Raises as `pull`; weights that are not from the Hub cannot be repaired.
        """
        if installed.source != "cache" or installed.repo is None or installed.revision is None:
            raise WeightsError(
                f"{installed.model_id} did not come from the Hub and cannot be repaired; "
                "import a good copy"
            )
        snapshot = self._repositories.snapshot(installed.repo, installed.revision)
        damage = {one.path.name: one.damage for one in verdicts if one.state != "right"}
        files = [file for file in snapshot.files if file.etag in damage]
        tally = _Tally(sum(file.size_bytes for file in files), self._clock)
        self._check_room(tally.size_bytes)
        for file in files:
            yield from self._fetch_under_lock(snapshot, file, tally, damage[file.etag])
        if len({file.etag for file in files}) < len(damage):
            raise DownloadError(f"{installed.repo} no longer has every damaged file; pull it again")
        yield Pulled(dataclasses.replace(installed, verified=True), tally.num_fetched)

    def _choose(self, reference: Reference, choose: Chooser) -> tuple[Snapshot, Selection]:
        """The first repository that has what was asked for."""
        entry = reference.entry
        repos = [reference.repo] if reference.repo else _by_preference(entry, reference)
        if not repos:
            note = f" ({entry.note})" if entry.note else ""
            raise DownloadError(f"no GGUF of {entry.id} is known{note}; import one of your own")
        fault: DownloadError | None = None
        for repo in repos:
            snapshot = self._repositories.snapshot(repo)
            try:
                return snapshot, self._select(reference, snapshot, choose)
            except DownloadError as error:
                fault = fault or DownloadError(f"{repo}: {error}")
        raise fault or DownloadError(f"no repository of {entry.id} could be used")

    def _select(self, reference: Reference, snapshot: Snapshot, choose: Chooser) -> Selection:
        """What to take of one repository."""
        entry = reference.entry

        def choose_of(found: tuple[Candidate, ...]) -> Pick:
            return choose(entry, Offer(snapshot.repo, found, partial(self._read_facts, snapshot)))

        return select(
            snapshot.files,
            quantization=reference.quantization,
            choose=choose_of,
            preferred=[file.name for file in entry.files],
        )

    def _read_facts(self, snapshot: Snapshot, candidate: Candidate) -> GgufFacts:
        """What the first file of a candidate says of itself, without fetching it."""
        file, egress = candidate.files[0], self._repositories.egress
        with egress.sync_client(
            purpose=f"reading the header of {file.name}", timeout=self._patience.timeout
        ) as client:
            find_link = partial(self._repositories.link, snapshot, file)
            return read_header(RemoteSource(find_link, file.size_bytes, client), file.name)

    def _fetch_all(
        self, snapshot: Snapshot, files: tuple[RemoteFile, ...]
    ) -> Generator[PullEvent, None, int]:
        tally = _Tally(sum(file.size_bytes for file in files), self._clock)
        for file in files:
            yield from self._fetch_under_lock(snapshot, file, tally)
            yield InPlace(file.name, file.etag)
        return tally.num_fetched

    def _fetch_under_lock(
        self,
        snapshot: Snapshot,
        file: RemoteFile,
        tally: _Tally,
        damage: tuple[range, ...] | None = None,
    ) -> Iterator[PullEvent]:
        """Fetch one file unless it is here already, or came while waiting for the lock."""
        cache_dir = self._library.cache_dir
        blob = layout.blob_path(cache_dir, snapshot.repo, file.etag)
        lock = layout.lock_path(cache_dir, snapshot.repo, file.etag)
        try:
            with TransferLock(lock, file.name) as taken:
                for holder in taken.wait(self._sleep):
                    yield Waiting(file.name, holder.pid)
                if damage is not None or not self._is_here(blob, file):
                    yield from self._fetch(snapshot, file, blob, tally, damage)
                tally.add_file(file.size_bytes)
                pointer = layout.snapshot_path(cache_dir, snapshot.repo, snapshot.commit, file.name)
                layout.link(pointer, blob)
        except OSError as error:
            raise DownloadError(
                f"{error.filename or cache_dir} cannot be written: {error.strerror or error}; "
                "check the permissions of the cache folder"
            ) from None

    def _fetch(
        self,
        snapshot: Snapshot,
        file: RemoteFile,
        blob: Path,
        tally: _Tally,
        damage: tuple[range, ...] | None,
    ) -> Iterator[PullEvent]:
        partial = Partial(blob, file.size_bytes)
        try:
            if damage:
                seed(partial, blob, damage)
            tally.begin(partial.num_done)
            egress = self._repositories.egress
            with egress.sync_client(
                purpose=f"downloading {file.name}", timeout=self._patience.timeout
            ) as client:
                transfer = Transfer(
                    lambda: self._repositories.link(snapshot, file),
                    partial,
                    client,
                    etag=file.etag,
                    patience=self._patience,
                )
                digest = yield from _told(transfer.run(), file, tally)
            self._library.records.save(blob, digest)
        finally:
            partial.close()

    def _is_here(self, blob: Path, file: RemoteFile) -> bool:
        """Whether the right bytes are in place; what another tool left there is hashed first."""
        if not blob.is_file() or blob.stat().st_size != file.size_bytes:
            return False
        record = self._library.records.find(blob)
        if record is None:
            digest = digest_file(blob, file.etag)
            if digest.is_right:
                self._library.records.save(blob, digest)
            return digest.is_right
        return record.etag == file.etag

    def _missing_bytes(self, repo: str, file: RemoteFile) -> int:
        blob = layout.blob_path(self._library.cache_dir, repo, file.etag)
        if blob.is_file() and blob.stat().st_size == file.size_bytes:
            return 0
        partial = blob.with_name(blob.name + ".partial")
        there = partial.stat().st_blocks * 512 if partial.is_file() else 0
        return max(0, file.size_bytes - there)

    def _check_room(self, missing_bytes: int) -> None:
        """Refuse before the first byte what cannot fit on the disk."""
        folder = self._library.cache_dir
        while not folder.exists():
            folder = folder.parent
        free = self._free_bytes(folder)
        if missing_bytes + RESERVE_BYTES > free:
            raise DownloadError(
                f"{missing_bytes / 1e9:.2f} GB are to be fetched but only {free / 1e9:.2f} GB are "
                f"free at {folder}; make room, or set HF_HOME to another disk"
            )

    def _finish(
        self,
        reference: Reference,
        snapshot: Snapshot,
        files: tuple[RemoteFile, ...],
        num_fetched: int,
    ) -> Pulled:
        layout.set_ref(self._library.cache_dir, snapshot.repo, snapshot.revision, snapshot.commit)
        pointers = {
            layout.snapshot_path(self._library.cache_dir, snapshot.repo, snapshot.commit, file.name)
            for file in files
        }
        for one in self._library.installed():
            if pointers.issuperset(one.paths):
                return Pulled(one, num_fetched)
        raise WeightsError(f"{reference.entry.id} vanished from the cache while it was put there")


class _Tally:
    """Counts all files of one pull together."""

    def __init__(self, size_bytes: int, clock: Callable[[], float]) -> None:
        self.size_bytes = size_bytes
        self.num_fetched = 0
        self._finished = 0
        self._resumed = 0
        self._clock = clock
        self._began_s = clock()

    def begin(self, num_resumed: int) -> None:
        """A file starts with some bytes from before."""
        self._resumed = num_resumed

    def add_file(self, size_bytes: int) -> None:
        """A file is complete."""
        self._finished += size_bytes
        self._resumed = 0

    def progress(self, file: RemoteFile, there: int) -> Progress:
        """Where we are, from the bytes of the current file that are there."""
        fresh = max(0, there - self._resumed)
        self.num_fetched += fresh
        self._resumed = max(self._resumed, there)
        elapsed_s = self._clock() - self._began_s
        rate = self.num_fetched / elapsed_s if elapsed_s > 0 and self.num_fetched else None
        total = self._finished + there
        left_s = (self.size_bytes - total) / rate if rate else None
        return Progress(file.name, there, file.size_bytes, total, self.size_bytes, rate, left_s)


def _told(
    bytes_there: Generator[int, None, Digest], file: RemoteFile, tally: _Tally
) -> Generator[PullEvent, None, Digest]:
    """The transfer's counts as progress events; a last one says that all is there."""
    while True:
        try:
            there = next(bytes_there)
        except StopIteration as stop:
            yield tally.progress(file, file.size_bytes)
            digest: Digest = stop.value
            return digest
        except GeneratorExit:
            bytes_there.close()
            raise
        yield tally.progress(file, there)


def _by_preference(entry: Entry, reference: Reference) -> list[str]:
    """The repositories of an entry, those first that the catalogue says have the quantisation."""
    wanted = (reference.quantization or "").lower()
    having = {file.repo for file in entry.files if file.quantization.lower() == wanted}
    return sorted(entry.all_repositories(), key=lambda repo: bool(wanted) and repo not in having)


def _check_against(entry: Entry, snapshot: Snapshot, files: tuple[RemoteFile, ...]) -> None:
    """Refuse files whose hash is not the one the catalogue holds."""
    known = {(file.repo, file.name): file.sha256 for file in entry.files if file.sha256}
    for file in files:
        expected = known.get((snapshot.repo, file.name))
        if expected is not None and expected != file.etag:
            raise IntegrityError(
                f"the Hub offers {file.name} with the hash {file.etag}, the catalogue has "
                f"{expected}; if {snapshot.repo} replaced it, pull again with --trust-hub"
            )
