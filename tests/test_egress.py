"""The only way out: closed when offline, and silent about keys."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.egress import Egress, redact
from runner.errors import OfflineError


def test_no_client_is_built_offline() -> None:
    with pytest.raises(OfflineError, match="offline"):
        Egress(offline=True).client(
            "https://example.invalid", purpose="a test", timeout=httpx.Timeout(1)
        )


async def test_client_follows_no_redirects_and_trusts_no_environment() -> None:
    client = Egress(offline=False).client(
        "http://127.0.0.1:9", purpose="a test", timeout=httpx.Timeout(1)
    )
    assert not client.follow_redirects
    assert not client.trust_env
    assert client.headers["accept-encoding"] == "identity"
    await client.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer canary-0123456789",
        "key sk-or-v1-canary0123456789abcdef leaked",
        "token hf_canary0123456789 leaked",
        "GET https://cdn.invalid/x?X-Amz-Signature=canary&y=1",
        "https://cdn.invalid/x?sig=canary0123",
    ],
)
def test_secrets_are_blotted_out(text: str) -> None:
    assert "canary" not in redact(text).replace("sk-or-v1", "")


@given(st.text(max_size=200))
def test_any_text_can_be_redacted(text: str) -> None:
    redact(text)
