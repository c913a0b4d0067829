"""Fetches one file in parallel ranges, hashing it as the bytes arrive; survives any cut.

Owns connections, retries and the check of what servers answer; the bytes and the journal are the
partial's. Invariant: a file gets its final name only when its hash is the promised one.
"""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial

import httpcore
import httpx

from runner.egress import redact
from runner.errors import DownloadError, IntegrityError

from .digest import READ_BYTES, Digest
from .partial import Partial, Run
from .repository import TRANSIENT, Link, retry_after_s

NUM_CONNECTIONS = 3
RECEIVE_BYTES = 2**18  # a kill costs at most this much per connection
TICK_S = 0.1
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to bear with a bad line before giving up."""

    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 20.0
    min_bytes_per_s: float = 1024.0
    max_failures: int = 6
    first_pause_s: float = 0.5
    max_pause_s: float = 15.0

    @property
    def timeout(self) -> httpx.Timeout:
        """The same for the HTTP client."""
        return httpx.Timeout(self.stall_timeout_s, connect=self.connect_timeout_s)


class _RetryError(Exception):
    """This try failed; the next may not, with a fresh link."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class _RangesIgnoredError(Exception):
    """The server sends the whole file whatever is asked for."""


class _Pace:
    """Refuses a connection that drips: fewer bytes in a stall's time than anyone can wait for."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._began_s = time.monotonic()
        self._num_bytes = 0

    def check(self, num_bytes: int) -> None:
        """Count bytes; raise `_RetryError` when too few came for too long."""
        self._num_bytes += num_bytes
        elapsed_s = time.monotonic() - self._began_s
        if elapsed_s > self._patience.stall_timeout_s:
            if self._num_bytes < elapsed_s * self._patience.min_bytes_per_s:
                raise _RetryError("the bytes came too slowly")
            self._began_s, self._num_bytes = time.monotonic(), 0


class Links:
    """The current link to the file, renewed at most once per failure of any connection."""

    def __init__(self, find: Callable[[], Link]) -> None:
        self._find = find
        self._lock = threading.Lock()
        self._link: Link | None = None

    def current(self) -> Link:
        """The link; asks for the first one."""
        with self._lock:
            if self._link is None:
                self._link = self._find()
            return self._link

    def renew(self, stale: Link) -> None:
        """Drop a link that failed, unless another connection did already."""
        with self._lock:
            if self._link is stale:
                self._link = None


class Transfer:
    """One file's way here. `run` fetches and proves it; closing the iterator stops it."""

    def __init__(
        self,
        find_link: Callable[[], Link],
        file: Partial,
        client: httpx.Client,
        *,
        etag: str,
        patience: Patience | None = None,
    ) -> None:
        self._links = Links(find_link)
        self._file = file
        self._client = client
        self._etag = etag
        self._patience = patience or Patience()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._sockets: set[socket.socket] = set()
        self._digest = Digest(etag, file.size)
        self._is_ending = False
        self._fault: Exception | None = None
        self._cdn_etag: str | None = None
        self._has_ranges = True

    def run(self) -> Generator[int, None, Digest]:
        """Yield how many bytes are there, about ten times a second, until the file is in place.

        Raises:
            DownloadError: for good; what was fetched is kept for the next try.
            IntegrityError: the server holds other bytes than were promised; nothing is kept.
        """
        for _ in range(2):
            digest = yield from self._fetch()
            if digest.is_right:
                self._file.finish()
                return digest
            self._file.reset()
        self._file.discard()
        raise IntegrityError(
            f"the server sends {self._file.target.name} with wrong bytes (their hash is "
            f"{digest.value}); nothing was kept, pull again later or from another repository"
        )

    def _fetch(self) -> Generator[int, None, Digest]:
        """Fetch what is missing; return the digest of the whole."""
        hasher = threading.Thread(target=self._guard, args=(self._hash,), daemon=True)
        hasher.start()
        try:
            if self._has_ranges:
                self._runs = self._file.missing()[::-1]
                num_workers = min(NUM_CONNECTIONS, len(self._runs))
                yield from self._work_in_threads([self._work] * num_workers)
            if not self._has_ranges:
                yield from self._work_in_threads([self._fetch_whole])
            while hasher.is_alive():
                hasher.join(TICK_S)
                yield self._file.num_done
        finally:
            self._is_ending = True
            hasher.join()
            self._is_ending = False
        self._raise_fault()
        return self._digest

    def _work_in_threads(self, jobs: list[Callable[[], None]]) -> Iterator[int]:
        """Run the jobs, telling progress, until all are done or one failed for good."""
        self._stop.clear()
        threads = [threading.Thread(target=self._guard, args=(j,), daemon=True) for j in jobs]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(TICK_S)
                    yield self._file.num_done
        finally:
            self._halt()
            for thread in threads:
                thread.join()
        self._raise_fault()

    def _halt(self) -> None:
        """Stop the workers, even one that waits for a byte."""
        self._stop.set()
        with self._lock:
            for connection in self._sockets:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _raise_fault(self) -> None:
        if self._fault is not None:
            fault, self._fault = self._fault, None
            raise fault

    def _guard(self, job: Callable[[], None]) -> None:
        """Keep the first fault for the thread that asked, and stop the others."""
        try:
            job()
        except _RangesIgnoredError:
            self._has_ranges = False
        except Exception as error:
            self._fault = self._fault or self._translate(error)
        else:
            return
        self._halt()

    def _translate(self, error: Exception) -> Exception:
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL):
            return DownloadError(f"the server cannot be used: {redact(str(error))}")
        if not isinstance(error, OSError):
            return error
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            left = self._file.size - self._file.num_done
            return DownloadError(
                f"the disk is full: {left} more bytes are needed at {self._file.target.parent}; "
                "what was fetched is kept, make room and pull again"
            )
        where = self._file.path
        return DownloadError(f"{where} cannot be written: {error.strerror or error}")

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                if not self._runs:
                    return
                run = self._runs.pop()
            self._persist(partial(self._fetch_run, run), partial(self._is_done, run))
            self._file.flush()

    def _is_done(self, run: Run) -> bool:
        return self._file.next_missing(run) >= run.end

    def _fetch_whole(self) -> None:
        """From a server without ranges: one connection, from the start, each time anew."""

        def fetch() -> None:
            self._file.reset()
            self._stream(Run(0, self._file.size), has_range=False)

        self._persist(fetch, lambda: self._file.is_complete)

    def _persist(self, fetch: Callable[[], None], is_done: Callable[[], bool]) -> None:
        """Try until it is done; give up after many failures in a row without a byte."""
        failures = 0
        while not is_done() and not self._stop.is_set():
            before, link = self._file.num_done, self._links.current()
            try:
                fetch()
            except (_RetryError, httpx.TransportError) as error:
                failures = 1 if self._file.num_done > before else failures + 1
                if failures >= self._patience.max_failures:
                    raise DownloadError(
                        f"the download failed {failures} times in a row: {_describe(error)}; "
                        "what was fetched is kept, pull again to go on"
                    ) from None
                self._links.renew(link)
                self._stop.wait(self._pause_s(failures, error))

    def _pause_s(self, failures: int, error: Exception) -> float:
        asked = error.retry_after_s if isinstance(error, _RetryError) else None
        own = self._patience.first_pause_s * 2 ** (failures - 1)
        return min(asked if asked is not None else own, self._patience.max_pause_s)

    def _fetch_run(self, run: Run) -> None:
        start = self._file.next_missing(run)
        self._stream(Run(start, run.end), has_range=True)

    def _stream(self, run: Run, *, has_range: bool) -> None:
        link = self._links.current()
        headers = dict(link.headers)
        if has_range:
            headers["Range"] = f"bytes={run.start}-{run.end - 1}"
            if self._cdn_etag:
                headers["If-Range"] = self._cdn_etag
        with self._client.stream("GET", link.url, headers=headers) as response:
            connection = response.extensions["network_stream"].get_extra_info("socket")
            with self._lock:
                self._sockets.add(connection)
            try:
                self._check(response, run, has_range=has_range)
                self._store(response, run)
            finally:
                with self._lock:
                    self._sockets.discard(connection)

    def _check(self, response: httpx.Response, run: Run, *, has_range: bool) -> None:
        """Refuse every answer but the bytes asked for."""
        status = response.status_code
        if status in (200, 206) and "text/html" in response.headers.get("content-type", ""):
            raise _RetryError("a web page came instead of the file (a login page in between?)")
        if status == 206 and has_range:
            found = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
            wanted = (run.start, run.end - 1, self._file.size)
            if found is None or tuple(int(number) for number in found.groups()) != wanted:
                raise _RetryError("the server sent other bytes than were asked for")
            etag = response.headers.get("etag", "")
            self._cdn_etag = etag if etag.startswith('"') else None
        elif status == 200:
            length = response.headers.get("content-length")
            if length is not None and int(length) != self._file.size:
                raise _RetryError(f"the server's file has {length} bytes, {run.end} were promised")
            if has_range and self._cdn_etag:
                self._cdn_etag = None
                raise _RetryError("the file changed on the server")
            if has_range and run != Run(0, self._file.size):
                raise _RangesIgnoredError
        else:
            raise self._refusal(response)

    def _refusal(self, response: httpx.Response) -> Exception:
        status, message = response.status_code, f"the server answered {response.status_code}"
        if status == 416:
            return _RetryError(f"{message}: it holds fewer bytes than were promised")
        if status in TRANSIENT or status in (401, 403, 404, 410):
            return _RetryError(message, retry_after_s(response.headers.get("retry-after")))
        return DownloadError(f"{message} to a request for a file; pull again later")

    def _store(self, response: httpx.Response, run: Run) -> None:
        """Write the body where it belongs; too little progress is as bad as none."""
        at, pace = run.start, _Pace(self._patience)
        for data in self._body(response, run.end - run.start):
            if at + len(data) > run.end:
                raise _RetryError("the server sent more bytes than were asked for")
            self._file.write(at, data)
            at += len(data)
            if self._stop.is_set():
                return
            pace.check(len(data))
        if at < run.end:
            raise _RetryError("the connection ended too early")

    def _body(self, response: httpx.Response, size: int) -> Iterator[bytes]:
        """The body's bytes. After the first piece, which is all that was read along with the
        headers, they are taken from the connection itself: half the work of a parser's copies.
        """
        pieces = response.iter_raw()
        if "content-length" not in response.headers:
            yield from pieces
            return
        first = next(pieces, b"")
        yield first
        left, stream = size - len(first), response.extensions["network_stream"]
        while left > 0:
            try:
                data = stream.read(min(left, RECEIVE_BYTES), self._patience.stall_timeout_s)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                raise _RetryError(str(error) or type(error).__name__) from None
            if not data:
                return
            yield data
            left -= len(data)

    def _hash(self) -> None:
        """Follow the bytes that are there without a gap; begin anew when they are taken back."""
        file = self._file
        digest, generation = Digest(self._etag, file.size), file.generation
        while not self._is_ending:
            if generation != file.generation:
                digest, generation = Digest(self._etag, file.size), file.generation
            ready = file.contiguous(digest.num_hashed)
            if ready > digest.num_hashed:
                size = min(READ_BYTES, ready - digest.num_hashed)
                digest.update(file.read(digest.num_hashed, size))
            elif ready == file.size:
                break
            else:
                time.sleep(0.002)
        self._digest = digest


def _describe(error: Exception) -> str:
    return redact(str(error)) or type(error).__name__
