"""The only way out of the machine: builds every outgoing HTTP client, and refuses when offline.

Owns who may connect where, and that no key is ever seen in a log or an error. Invariant: while
offline no client is built and no name is looked up; a key is sent in a header to its own host
only, redirects are not followed, and proxies of the environment are not trusted.
"""

from __future__ import annotations

import re
import ssl

import httpx

from runner.errors import OfflineError

_SECRETS = re.compile(
    r"(?i)(bearer\s+)\S+|(sk-[\w-]{6})[\w-]*|(hf_\w{2})\w*|((?:[?&])[\w.-]*(?:key|token|sig\w*)=)[^&\s\"']+"
)


def redact(text: str) -> str:
    """The text with bearer tokens, API keys and signed query values blotted out."""
    return _SECRETS.sub(lambda match: next(filter(None, match.groups())) + "…", text)


class Egress:
    """Builds outgoing clients. One instance, owned by the services."""

    def __init__(self, *, offline: bool) -> None:
        self.offline = offline
        self._trust: ssl.SSLContext | None = None

    def check(self, purpose: str) -> None:
        """Raise `OfflineError` when nothing may leave this machine."""
        if self.offline:
            raise OfflineError(f"offline: {purpose} would need the network; run without --offline")

    def client(
        self, base_url: str, *, purpose: str, timeout: httpx.Timeout, num_connections: int = 600
    ) -> httpx.AsyncClient:
        """A client for one host: no redirects, no environment proxies, bodies uncompressed."""
        self.check(purpose)
        return httpx.AsyncClient(
            base_url=base_url,
            verify=self._verify(base_url),
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "hermes-runner"},
            limits=httpx.Limits(max_connections=num_connections, max_keepalive_connections=32),
        )

    def _verify(self, base_url: str) -> ssl.SSLContext | bool:
        """One set of trusted certificates for all clients: reading it takes some 80 ms."""
        if base_url.startswith("http://"):
            return False  # there is no certificate to look at, and redirects are not followed
        if self._trust is None:
            self._trust = httpx.create_ssl_context(trust_env=False)
        return self._trust

    def sync_client(
        self, *, purpose: str, timeout: httpx.Timeout, num_connections: int = 16
    ) -> httpx.Client:
        """As `client`, for threads and for whatever host a link leads to; send keys per request."""
        self.check(purpose)
        return httpx.Client(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "hermes-runner"},
            limits=httpx.Limits(
                max_connections=num_connections, max_keepalive_connections=num_connections
            ),
        )
