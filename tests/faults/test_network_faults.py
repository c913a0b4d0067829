"""There is no network, or a slow one, or one with a liar on it.

Rows N5, N6 and the part of U2 about certificates. All of the tests can be run without a network,
too: `unshare -n sh -c 'ip link set lo up && ./scripts/test'`.
"""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runner.egress import Egress
from tests.integration.hosting import HOSTED, KEY, stage, wire

from .cells import without_network

ROOT = Path(__file__).parents[2]


def apart(program: str, home: Path) -> str:
    """What a program of ours says where there is no network but its own."""
    if not (words := without_network()):
        pytest.skip("this system lends no network namespaces")
    command = [*words, sys.executable, "-m", f"tests.faults.{program}", str(home)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr[-3000:]
    return ran.stdout


@pytest.mark.timeout(240)
def test_without_any_network_everything_that_runs_here_works(tmp_path: Path) -> None:
    """N5."""
    said = apart("cut_off", tmp_path)
    sys.stderr.write(f"N5: {said}")
    assert "everything answered" in said


def test_a_pull_over_a_slow_link_tells_how_far_it_is_and_can_be_given_up(tmp_path: Path) -> None:
    """N6: 1 Mbit a second."""
    if shutil.which("tc") is None:
        pytest.skip("tc is not installed")
    figures = json.loads(apart("slow_link", tmp_path))
    sys.stderr.write(f"N6: {figures}\n")
    assert figures["is_pulled"]
    assert figures["num_progress"] >= 3
    assert figures["given_up_s"] <= 3.0  # one is promised; the machine may be busy


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[tuple[int, list[bytes]]]:
    """A server with a certificate that nobody vouches for, and what it was sent in the clear."""
    certificate = tmp_path / "impostor.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    paths = ["-keyout", str(certificate), "-out", str(tmp_path / "public.pem")]
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    subprocess.run([*words, *paths, "-subj", "/CN=localhost"], check=True, capture_output=True)
    with certificate.open("ab") as file:
        file.write((tmp_path / "public.pem").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from listen(context)


def listen(context: ssl.SSLContext) -> Iterator[tuple[int, list[bytes]]]:
    import socket

    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(plain, server_side=True) as secure:
                        heard.append(secure.recv(65536))
                except OSError:
                    plain.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], heard
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def test_an_impostor_with_a_certificate_of_its_own_is_told_nothing(
    impostor: tuple[int, list[bytes]], tmp_path: Path
) -> None:
    """U2: the key is not sent, and the error is the provider's failure."""
    port, heard = impostor
    address = f"https://localhost:{port}/api/v1"
    with stage(tmp_path, OPENROUTER_BASE_URL=address) as place:
        begun_s = time.monotonic()
        refused = place.post("/v1/chat/completions", wire(HOSTED))
        assert time.monotonic() - begun_s < 30
    assert refused.status_code in (502, 503)
    assert "certificate" in refused.text.lower()
    assert KEY not in refused.text
    assert not any(heard)


async def test_no_client_of_ours_accepts_it(impostor: tuple[int, list[bytes]]) -> None:
    port, heard = impostor
    egress = Egress(offline=False)
    address = f"https://localhost:{port}"
    async with egress.client(address, purpose="a test", timeout=httpx.Timeout(5)) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE"):
            await client.get("/", headers={"Authorization": f"Bearer {KEY}"})
    with (
        egress.sync_client(purpose="a test", timeout=httpx.Timeout(5)) as plain,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE"),
    ):
        plain.get(address)
    assert not any(heard)
