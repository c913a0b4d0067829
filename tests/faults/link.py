"""The loopback link of a network namespace: raised, and made slow."""

from __future__ import annotations

import fcntl
import socket
import struct
import subprocess

SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFMTU = 0x8913, 0x8914, 0x8922
IFF_UP = 1
MTU = 1500  # packets of loopback are larger than a slow link's bucket


def raise_loopback() -> None:
    """A new namespace has its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        asked = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(link, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(link, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def slow_loopback(rate: str) -> None:
    """So much a second and no more, as `tc` writes it. Raises CalledProcessError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        fcntl.ioctl(link, SIOCSIFMTU, struct.pack("16si12x", b"lo", MTU))
    words = ["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", rate]
    subprocess.run([*words, "burst", "16kb", "latency", "200ms"], check=True, capture_output=True)
