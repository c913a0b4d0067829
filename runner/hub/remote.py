"""A remote file as bytes at any place, so that a header can be read without fetching the file.

Owns range requests for a few megabytes; verifies no hash, so nothing of it is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx

from runner.errors import DownloadError

from .repository import Link


class RemoteSource:
    """One file of the Hub as a `ByteSource`."""

    def __init__(self, find_link: Callable[[], Link], size: int, client: httpx.Client) -> None:
        self.size = size
        self._find_link = find_link
        self._client = client
        self._link: Link | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Those bytes; another link is asked for when the one at hand has expired."""
        for _ in range(2):
            link = self._link or self._find_link()
            self._link = None
            headers = dict(link.headers) | {"Range": f"bytes={offset}-{offset + size - 1}"}
            try:
                response = self._client.get(link.url, headers=headers)
            except httpx.HTTPError:
                continue
            if response.status_code == 206 and len(response.content) == size:
                self._link = link
                return response.content
        raise DownloadError("the file's header could not be read from the Hub; try again later")
