"""A fake Hugging Face Hub on real sockets, faithful enough for the real client, with faults.

Two origins, as in life: the Hub (metadata, small files) and a CDN (signed links, ranges). Owns
the wire only; knows nothing of the runner. Invariant: what is sent is counted before it is sent.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, unquote

from tests.fakes.wire import Request, Server, Wire

Place = Literal["api", "head", "cdn"]
PIECE_BYTES = 256 * 2**10


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong, for `times` requests (None: for ever) at one place.

    `kind`: status, cut, reset, stall, drip, corrupt, length, ignore_range, unsatisfiable, html,
    etag, commit, foreign_range. `at` is the byte of the file where a body fault strikes.
    """

    kind: str
    at: int = 0
    times: int | None = 1
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    value: str = ""


@dataclass(slots=True)
class Blob:
    """One file's bytes and their sha256."""

    data: memoryview
    sha256: str
    git_sha1: str
    is_lfs: bool


def _blob(content: Path | bytes, is_lfs: bool) -> Blob:
    data = content.read_bytes() if isinstance(content, Path) else content
    git_sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return Blob(memoryview(data), hashlib.sha256(data).hexdigest(), git_sha1, is_lfs)


class FakeHub:
    """Serves repositories; use as a context manager."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, Blob]] = {}
        self.commits: dict[str, str] = {}
        self.requests: list[Request] = []
        self.faults: dict[Place, list[Fault]] = {"api": [], "head": [], "cdn": []}
        self.num_body_bytes = 0
        self.bytes_per_s: float | None = None
        self.link_uses: int | None = None
        self.token: str | None = None
        self.page_length = 1000
        self._links: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._servers = [Server(self._serve_hub), Server(self._serve_cdn)]

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for server in self._servers:
            server.stop()

    @property
    def endpoint(self) -> str:
        """What goes into `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self._servers[0].port}"

    def publish(self, repo: str, files: dict[str, Path | bytes], *, is_lfs: bool = True) -> None:
        """Make these the files of the repository, in a new commit."""
        self.repos[repo] = {name: _blob(content, is_lfs) for name, content in files.items()}
        oids = "".join(blob.sha256 for blob in self.repos[repo].values())
        self.commits[repo] = hashlib.sha1((repo + oids).encode()).hexdigest()

    def inject(self, place: Place, kind: str, **details: object) -> Fault:
        """Add a fault; it strikes as soon as a request comes to that place."""
        fault = Fault(kind, **details)  # type: ignore[arg-type]
        self.faults[place].append(fault)
        return fault

    def asked(self, method: str, part: str) -> list[Request]:
        """The requests of that method whose path holds `part`."""
        return [one for one in self.requests if one.method == method and part in one.path]

    def _take(self, place: Place) -> Fault | None:
        with self._lock:
            for fault in self.faults[place]:
                if fault.times is None:
                    return fault
                if fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def _serve_hub(self, request: Request, wire: Wire) -> None:
        self.requests.append(request)
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        if parts[:2] == ["api", "models"] and len(parts) >= 4:
            self._serve_api(request, wire, f"{parts[2]}/{parts[3]}", parts[4:])
        elif len(parts) >= 5 and parts[2] == "resolve":
            self._serve_file(request, wire, f"{parts[0]}/{parts[1]}", "/".join(parts[4:]))
        else:
            wire.error(404, "EntryNotFound", "no such page")

    def _refuse(self, fault: Fault | None, request: Request, wire: Wire, repo: str) -> bool:
        """Answer with a fault or a refusal; False where all is well."""
        if fault and fault.kind == "html":
            wire.html()
        elif fault and fault.kind == "status":
            wire.error(fault.status, fault.value, "a fault", fault.headers)
        elif self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            wire.error(401, "GatedRepo", "access to this model is restricted")
        elif repo not in self.repos:
            wire.error(401, "RepoNotFound", "no such repository")
        else:
            return False
        return True

    def _serve_api(self, request: Request, wire: Wire, repo: str, rest: list[str]) -> None:
        if self._refuse(self._take("api"), request, wire, repo):
            return
        commit, files = self.commits[repo], self.repos[repo]
        if rest[:1] == ["tree"]:
            start = int(parse_qs(request.query).get("cursor", ["0"])[0])
            rows = [_tree_row(name, blob) for name, blob in sorted(files.items())]
            page = rows[start : start + self.page_length]
            more = start + self.page_length
            link = f'<{self.endpoint}{request.path}?recursive=true&cursor={more}>; rel="next"'
            wire.json(page, {"Link": link} if more < len(rows) else {})
        elif rest[:1] == ["revision"] and rest[1] not in ("main", commit):
            wire.error(404, "RevisionNotFound", "no such revision")
        else:
            siblings = [{"rfilename": name} for name in files]
            wire.json(
                {"id": repo, "modelId": repo, "sha": commit, "siblings": siblings}
                | {"private": False, "gated": False, "tags": []}
            )

    def _serve_file(self, request: Request, wire: Wire, repo: str, name: str) -> None:
        fault = self._take("head") if request.method == "HEAD" else None
        if self._refuse(fault, request, wire, repo):
            return
        blob = self.repos.get(repo, {}).get(name)
        if blob is None:
            wire.error(404, "EntryNotFound", "no such file")
            return
        headers = {"X-Repo-Commit": self.commits[repo]}
        if not blob.is_lfs:
            headers["ETag"] = f'"{blob.git_sha1}"'
            wire.head(200, headers, len(blob.data))
            if request.method == "GET":
                self._send(wire, blob.data, 0, None)
            return
        headers["X-Linked-Etag"] = f'"{blob.sha256}"'
        headers["X-Linked-Size"] = str(len(blob.data))
        headers["Location"] = self._sign(blob)
        if fault and fault.kind == "etag":
            headers["X-Linked-Etag"] = f'"{fault.value}"'
        if fault and fault.kind == "commit":
            del headers["X-Repo-Commit"]
        wire.head(302, headers, 0)

    def _sign(self, blob: Blob) -> str:
        with self._lock:
            signature = str(len(self._links))
            self._links[signature] = 0
        port = self._servers[1].port
        return f"http://127.0.0.1:{port}/cdn/{blob.sha256}?X-Sig={signature}"

    def _is_expired(self, request: Request) -> bool:
        signature = parse_qs(request.query).get("X-Sig", [""])[0]
        with self._lock:
            self._links[signature] = self._links.get(signature, 10**9) + 1
            return self._links[signature] > (self.link_uses or 10**8)

    def _serve_cdn(self, request: Request, wire: Wire) -> None:
        self.requests.append(request)
        sha256 = request.path.rpartition("/")[2]
        blobs = (blob for files in self.repos.values() for blob in files.values())
        blob = next((blob for blob in blobs if blob.sha256 == sha256), None)
        if self._is_expired(request):
            wire.error(403, "", "Request has expired")
        elif blob is None:
            wire.error(404, "", "no such object")
        else:
            self._serve_body(request, wire, blob, self._take("cdn"))

    def _serve_body(self, request: Request, wire: Wire, blob: Blob, fault: Fault | None) -> None:
        kind, total = fault.kind if fault else "", len(blob.data)
        asked = None if kind == "ignore_range" else request.range()
        if kind == "html":
            wire.html()
        elif fault and kind == "status":
            wire.error(fault.status, "", "a fault", fault.headers)
        elif kind == "unsatisfiable" or (asked and asked[0] >= total):
            wire.head(416, {"Content-Range": f"bytes */{total}"}, 0)
        else:
            first, last = asked or (0, None)
            end = min(total, total if last is None else last + 1)
            claimed = total + 7 if kind == "length" else total
            headers = {"ETag": f'"{blob.sha256[:32]}"', "Accept-Ranges": "bytes"}
            if asked:
                shift = 5 if kind == "foreign_range" else 0
                headers["Content-Range"] = f"bytes {first + shift}-{end - 1 + shift}/{claimed}"
            wire.head(206 if asked else 200, headers, end - first + claimed - total)
            self._send(wire, blob.data[first:end], first, fault)

    def _send(self, wire: Wire, body: memoryview, first: int, fault: Fault | None) -> None:
        started, sent = time.monotonic(), 0
        for piece in _pieces(body, PIECE_BYTES if self.bytes_per_s is None else 2**14):
            place = first + sent
            if fault and place <= fault.at < place + len(piece):
                if fault.kind == "corrupt":
                    flipped = bytearray(piece)
                    flipped[fault.at - place] ^= 0xFF
                    piece = memoryview(flipped)
                elif fault.kind in ("cut", "reset", "stall", "drip"):
                    self._count(wire, piece[: fault.at - place])
                    self._strike(wire, fault, piece[fault.at - place :])
                    return
            self._count(wire, piece)
            sent += len(piece)
            if self.bytes_per_s is not None:
                ahead = sent / self.bytes_per_s - (time.monotonic() - started)
                self._closing.wait(max(0.0, ahead))

    def _count(self, wire: Wire, piece: memoryview) -> None:
        with self._lock:
            self.num_body_bytes += len(piece)
        wire.send(piece)

    def _strike(self, wire: Wire, fault: Fault, rest: memoryview) -> None:
        match fault.kind:
            case "cut":
                wire.close()
            case "reset":
                wire.reset()
            case "stall":
                self._closing.wait(60)
            case _:
                for piece in _pieces(rest, 1):
                    self._count(wire, piece)
                    if self._closing.wait(0.05):
                        return


def _pieces(body: memoryview, size: int) -> Iterator[memoryview]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _tree_row(name: str, blob: Blob) -> dict[str, object]:
    size = len(blob.data)
    row: dict[str, object] = {"type": "file", "oid": blob.git_sha1, "size": size, "path": name}
    if blob.is_lfs:
        row["lfs"] = {"oid": blob.sha256, "size": size, "pointerSize": 134}
    return row
