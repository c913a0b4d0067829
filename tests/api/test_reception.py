"""Whoever comes is served, in order and at a pace; a question for health overtakes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator
from random import Random

import pytest

from runner.api import reception
from runner.api.reception import MAX_BEGUN, Reception

NUM_CLIENTS = 300
HEALTH = b"GET /health HTTP/1.1\r\n"
OTHER = b"GET /v1/models HTTP/1.1\r\n"


class House:
    """A reception with protocols that note what came in, and in which turn of the loop."""

    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.served: list[bytes] = []
        self.turns: list[int] = []
        self.turn = 0
        self.reception = Reception(listening, lambda: Note(self))
        self._clock = asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        self.turn += 1
        self._clock = asyncio.get_running_loop().call_soon(self._tick)

    def client(self, word: bytes = b"") -> socket.socket:
        """Somebody who has connected, and said this."""
        connected = socket.create_connection(self.listening.getsockname())
        connected.sendall(word)
        return connected

    async def until_served(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.served) < number:
                await asyncio.sleep(0)

    def close(self) -> None:
        self._clock.cancel()
        self.reception.close()
        self.listening.close()


class Note(asyncio.Protocol):
    """Notes what was said, and hangs up."""

    def __init__(self, house: House) -> None:
        self._house = house

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._house.served.append(data)
        self._house.turns.append(self._house.turn)
        self._transport.write(b"served")
        self._transport.close()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House(socket.create_server(("127.0.0.1", 0), backlog=NUM_CLIENTS + 10))
    yield made
    made.close()


async def test_all_are_served_in_order_and_a_few_in_a_turn(house: House) -> None:
    words = [b"%d %s" % (number, OTHER) for number in range(NUM_CLIENTS)]
    clients = [house.client(word) for word in words]
    await house.until_served(NUM_CLIENTS)
    assert house.served == words
    busiest = max(house.turns.count(turn) for turn in set(house.turns))
    assert busiest <= 2 * MAX_BEGUN
    for client in clients:
        assert client.recv(100) == b"served"
        client.close()


async def test_health_overtakes_who_came_before(house: House) -> None:
    clients = [house.client(OTHER) for _ in range(NUM_CLIENTS)] + [house.client(HEALTH)]
    await house.until_served(NUM_CLIENTS + 1)
    assert house.served.index(HEALTH) < NUM_CLIENTS / 2
    for client in clients:
        client.close()


async def test_requests_that_come_later_than_their_connections_are_paced_too(house: House) -> None:
    clients = [house.client() for _ in range(NUM_CLIENTS)]
    await asyncio.sleep(0.05)
    spoken = list(range(NUM_CLIENTS))
    Random(7).shuffle(spoken)
    for number in spoken:
        clients[number].sendall(OTHER)
    late = house.client(HEALTH)
    await house.until_served(NUM_CLIENTS + 1)
    assert house.served.index(HEALTH) < NUM_CLIENTS / 2
    assert max(house.turns.count(turn) for turn in set(house.turns)) <= 2 * MAX_BEGUN
    for client in [*clients, late]:
        client.close()


async def test_who_says_nothing_is_left_to_the_patience_of_the_protocol(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "SILENT_S", 0.01)
    made: list[Note] = []
    monkeypatch.setattr(Note, "connection_made", lambda note, _transport: made.append(note))
    with house.client():
        async with asyncio.timeout(10):
            while not made:
                await asyncio.sleep(0.005)


async def test_who_hangs_up_before_a_word_leaves_nothing_behind(house: House) -> None:
    for _ in range(20):
        house.client().close()
    client = house.client(OTHER)
    await house.until_served(1)
    assert client.recv(100) == b"served"
    client.close()
    assert house.served == [OTHER]


async def test_without_descriptors_connections_wait_and_are_served_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reception, "NO_ROOM_S", 0.01)
    accept, refusals = socket.socket.accept, iter([errno.EMFILE, errno.ENFILE])

    def sometimes(listening: socket.socket) -> tuple[socket.socket, object]:
        for number in refusals:
            raise OSError(number, "no descriptor")
        return accept(listening)

    monkeypatch.setattr(socket.socket, "accept", sometimes)
    with house.client(OTHER) as client:
        await house.until_served(1)
        assert client.recv(100) == b"served"


async def test_closing_sends_away_who_still_waits(house: House) -> None:
    clients = [house.client(OTHER) for _ in range(50)] + [house.client() for _ in range(50)]
    await asyncio.sleep(0)
    house.close()
    for client in clients:
        client.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) in (b"", b"served")
        client.close()
