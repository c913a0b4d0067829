"""What the Hub says: which commit, which files, how large, with which hash, and where to fetch.

Owns the only use of huggingface_hub, which is imported on first use and whose HTTP client is
built here under the egress's rules. Every answer is checked, every foreign exception becomes one
sentence. Invariant: while offline nothing is asked, not even a name server.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from runner.egress import Egress, redact
from runner.errors import DownloadError, OfflineError, RunnerError

from . import layout

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi

Result = TypeVar("Result")
HUB = "https://huggingface.co"
TIMEOUT_S = 20.0
MAX_TRIES = 5
MAX_WAIT_S = 30.0
TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
HUB_ENVIRON = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file of a commit; `etag` is its sha256 (64 digits) or git sha1 (40)."""

    name: str
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one commit of a repository."""

    repo: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Where the bytes of a file can be had right now, and with which headers."""

    url: str
    headers: tuple[tuple[str, str], ...]
    etag: str
    size_bytes: int


class Repositories:
    """Asks the Hub at `endpoint`; one instance, owned by the services."""

    def __init__(
        self,
        egress: Egress,
        *,
        endpoint: str = HUB,
        token: str | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.egress = egress
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._sleep = sleep
        self._api: HfApi | None = None

    @classmethod
    def of(cls, egress: Egress, environ: Mapping[str, str]) -> Repositories:
        """The Hub that `HF_ENDPOINT` names, else the public one, with the user's token."""
        endpoint, token = environ.get("HF_ENDPOINT") or HUB, environ.get("HF_TOKEN") or None
        return cls(egress, endpoint=endpoint, token=token)

    def snapshot(self, repo: str, revision: str = "main") -> Snapshot:
        """Resolve a branch, tag or commit and list its files.

        Raises:
            OfflineError: nothing may be asked.
            DownloadError: there is no such repository or revision, it is gated, or the Hub
                cannot be reached.
        """
        if not (layout.REPO.fullmatch(repo) and layout.REVISION.fullmatch(revision)):
            raise DownloadError(f"{repo}@{revision} is not the name of a repository and revision")
        self.egress.check(f"looking up {repo}")
        api = self._connect()
        commit = self._patiently(repo, lambda: api.model_info(repo, revision=revision).sha)
        if not isinstance(commit, str) or not layout.COMMIT.fullmatch(commit):
            raise DownloadError(f"{self.endpoint} named no commit of {repo}; is it the Hub?")
        files = self._patiently(repo, lambda: list(self._list_files(api, repo, commit)))
        return Snapshot(repo, revision, commit, tuple(files))

    def link(self, snapshot: Snapshot, file: RemoteFile) -> Link:
        """A fresh link to a file; signed links expire, so ask again on every retry.

        Raises `DownloadError` if the file is no longer the one that was listed.
        """
        self.egress.check(f"downloading {file.name}")
        self._connect()
        import huggingface_hub as hub

        url = hub.hf_hub_url(
            snapshot.repo, file.name, revision=snapshot.commit, endpoint=self.endpoint
        )
        found = self._patiently(
            snapshot.repo,
            lambda: hub.get_hf_file_metadata(
                url, token=self._token, timeout=TIMEOUT_S, endpoint=self.endpoint
            ),
        )
        if found.commit_hash != snapshot.commit or found.etag is None:
            raise DownloadError(
                f"{self.endpoint} did not answer as the Hub does; is a login page in between?"
            )
        layout.blob_path(Path(), snapshot.repo, found.etag)
        if found.etag != file.etag or found.size != file.size_bytes:
            raise DownloadError(
                f"{file.name} of {snapshot.repo} changed while it was looked up; pull again"
            )
        return Link(found.location, self._headers_for(found.location), found.etag, file.size_bytes)

    def _list_files(self, api: HfApi, repo: str, commit: str) -> Iterator[RemoteFile]:
        for row in api.list_repo_tree(repo, recursive=True, revision=commit):
            size = getattr(row, "size", None)
            if isinstance(size, int):
                lfs = getattr(row, "lfs", None)
                etag = lfs.sha256 if lfs else getattr(row, "blob_id", "")
                layout.blob_path(Path(), repo, etag)
                layout.snapshot_path(Path(), repo, commit, row.path)
                yield RemoteFile(row.path, size, etag)

    def _headers_for(self, url: str) -> tuple[tuple[str, str], ...]:
        """Keys go to the Hub itself only, never to where it sends us; nor is https left."""
        here, there = urlsplit(self.endpoint), urlsplit(url)
        if there.scheme != here.scheme and there.scheme != "https":
            raise DownloadError("the Hub sent us to an address without encryption; not followed")
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            return ()
        from huggingface_hub.utils._headers import build_hf_headers

        headers = build_hf_headers(token=self._token)
        return tuple((k, v) for k, v in headers.items() if k.lower() == "authorization")

    def _connect(self) -> HfApi:
        """Import the library with telemetry, Xet and its own progress bars switched off."""
        if self._api is None:
            os.environ.update(HUB_ENVIRON)
            import huggingface_hub as hub

            hub.set_client_factory(_build_client)
            self._api = hub.HfApi(endpoint=self.endpoint, token=self._token)
        return self._api

    def _patiently(self, repo: str, ask: Callable[[], Result]) -> Result:
        """Ask until there is an answer or a final no."""
        for trial in range(1, MAX_TRIES + 1):
            try:
                with _translated(repo, self.endpoint):
                    return ask()
            except _TransientError as error:
                if trial == MAX_TRIES:
                    raise DownloadError(f"{error}; try again later") from None
                pause = error.retry_after_s or 0.25 * 2**trial
                self._sleep(min(pause, MAX_WAIT_S))
        raise AssertionError("unreachable")


class _TransientError(RunnerError):
    """The Hub may answer next time."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def _build_client() -> httpx2.Client:
    import httpx2
    from huggingface_hub.utils._http import hf_request_event_hook

    return httpx2.Client(
        event_hooks={"request": [hf_request_event_hook]},
        follow_redirects=True,
        trust_env=False,
        timeout=TIMEOUT_S,
    )


@contextlib.contextmanager
def _translated(repo: str, endpoint: str) -> Iterator[None]:
    """Turn what huggingface_hub and its HTTP client raise into one sentence each."""
    import httpx2
    from huggingface_hub import errors as hub

    try:
        yield
    except RunnerError:
        raise
    except hub.OfflineModeIsEnabled:
        raise OfflineError(
            f"offline: HF_HUB_OFFLINE is set, so {repo} cannot be looked up; unset it"
        ) from None
    except hub.GatedRepoError:
        raise DownloadError(
            f"{repo} is gated: accept its terms at {endpoint}/{repo} and set HF_TOKEN"
        ) from None
    except hub.RevisionNotFoundError:
        raise DownloadError(f"{repo} has no such revision") from None
    except hub.RepositoryNotFoundError:
        raise DownloadError(
            f"there is no repository {repo} on {endpoint}, or it is private and needs HF_TOKEN"
        ) from None
    except hub.EntryNotFoundError:
        raise DownloadError(f"{repo} no longer has that file; pull again") from None
    except hub.HfHubHTTPError as error:
        raise _from_status(repo, error.response) from None
    except httpx2.HTTPError as error:
        reason = redact(str(error)) or type(error).__name__
        raise _TransientError(f"{endpoint} cannot be reached: {reason}") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        raise DownloadError(
            f"{endpoint} did not answer as the Hub does; is a login page in between?"
        ) from None


def _from_status(repo: str, response: httpx2.Response) -> RunnerError:
    status = response.status_code
    message = f"the Hub answered {status} for {repo}"
    if status in TRANSIENT:
        return _TransientError(message, retry_after_s(response.headers.get("retry-after")))
    if status in (401, 403):
        return DownloadError(f"{message}; set HF_TOKEN to a token that may read it")
    return DownloadError(f"{message}; check the name and try again later")


def retry_after_s(text: str | None) -> float | None:
    """The seconds a `Retry-After` header asks for, None for a date or nonsense."""
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 3600 else None
