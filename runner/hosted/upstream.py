"""One upstream request: sent, timed, and read to its end.

Owns the connection of one attempt and every timer on it. Knows no prompt format and no money.
Invariant: only content counts as progress, so neither comments nor dripping bytes keep a dead
stream alive; whatever happens, the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx

from runner.config import HostedSettings
from runner.errors import RunnerError
from runner.types import JsonObject

from .chunk import Chunk, chunk_of, read_chunk
from .failure import HostedError, Phase, Scrubber, cut_off, from_status, in_band, not_sent
from .wire import DONE, Inflater, OversizeError, SseReader

MAX_BODY_BYTES = 64 * 2**10
MAX_WHOLE_BYTES = 8 * 2**20
MAX_FILLER_BYTES = 2 * 2**20  # of a stream without any content; one event may have half of it
AFTER_FINISH_S = 5.0  # how long usage may still follow the finish
AFTER_USAGE_S = 0.5  # nothing more is needed then
AFTER_DONE_S = 0.2  # for the end of the body, so that the connection can be used again


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request goes, and with what."""

    provider: str
    path: str
    body: JsonObject
    headers: dict[str, str]


class Exchange:
    """One request and its reply. Iterate `chunks`, then look at what was seen."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        address: Address,
        settings: HostedSettings,
        scrubber: Scrubber,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._address = address
        self._settings = settings
        self._scrubber = scrubber
        self._clock = clock
        self._started_s = clock()
        self._progress_s = self._started_s
        self._generation_id: str | None = None
        self._has_usage = False
        self._is_done = False
        self._num_filler_bytes = 0
        self.phase: Phase = "before_dispatch"
        self.first_token_s: float | None = None
        self.has_finished = False
        self.num_skipped = 0

    @property
    def generation_id(self) -> str | None:
        """The provider's name for this generation, once it was told."""
        return self._generation_id

    @property
    def elapsed_s(self) -> float:
        """Seconds since the request was begun."""
        return self._clock() - self._started_s

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """Every chunk that says anything; raises the classified failure."""
        response = await self._send()
        try:
            self._generation_id = response.headers.get("x-generation-id")
            if response.status_code != 200:
                raise await self._refusal(response)
            stream = self._read(response)
            try:
                async for chunk in stream:
                    self._note(chunk)
                    yield chunk
            finally:
                await stream.aclose()
        finally:
            await response.aclose()
        if not self.has_finished:
            raise cut_off(self._address.provider, "ended the answer too early", self.phase)

    async def _send(self) -> httpx.Response:
        provider = self._address.provider
        request = self._client.build_request(
            "POST",
            self._address.path.lstrip("/"),
            content=json.dumps(self._address.body).encode("utf-8", errors="replace"),
            headers={"Content-Type": "application/json", **self._address.headers},
        )
        try:
            async with asyncio.timeout(self._left_s()):
                response = await self._client.send(request, stream=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise not_sent(provider, self._scrubber.clean(str(error) or "no connection")) from None
        except httpx.UnsupportedProtocol as error:
            raise not_sent(provider, self._scrubber.clean(str(error))) from None
        except TimeoutError:
            raise self._too_slow() from None
        except httpx.HTTPError as error:
            words = "broke the connection before it answered"
            self.phase = "sent"
            raise cut_off(provider, f"{words} ({type(error).__name__})", "sent") from None
        self.phase = "sent"
        return response

    async def _read(self, response: httpx.Response) -> AsyncGenerator[Chunk]:
        kind = response.headers.get("content-type", "")
        if "event-stream" in kind:
            async for chunk in self._read_events(response):
                yield chunk
            return
        data = await self._start_of(response, MAX_WHOLE_BYTES)
        if len(data) == MAX_WHOLE_BYTES:
            raise self._failed("sent an answer larger than any honest one")
        body = read_body(data)
        if not isinstance(body, dict):
            raise self._failed(f"sent something that is no answer ({kind or 'no content type'})")
        yield chunk_of(body)

    async def _read_events(self, response: httpx.Response) -> AsyncGenerator[Chunk]:
        reader = SseReader()
        pieces = self._unpacked(response)
        try:
            async for data in pieces:
                self._num_filler_bytes += len(data)
                if self._num_filler_bytes > MAX_FILLER_BYTES:
                    raise self._failed("sent a lot and no content")
                for text in reader.feed(data):
                    if text == DONE:
                        await self._drain(pieces)
                        return
                    for chunk in self._understand(text):
                        yield chunk
            for text in reader.finish():
                for chunk in self._understand(text):
                    yield chunk
        except OversizeError:
            raise self._failed("sent an event larger than any honest one") from None
        finally:
            await pieces.aclose()

    async def _drain(self, pieces: AsyncIterator[bytes]) -> None:
        """Let the body come to its end, if it does so at once."""
        self._is_done = True
        with contextlib.suppress(RunnerError):
            async for _ in pieces:
                return  # more after the end: not a connection to keep

    async def _unpacked(self, response: httpx.Response) -> AsyncGenerator[bytes]:
        """The body as it was before anybody compressed it, piece by bounded piece."""
        encoding = response.headers.get("content-encoding", "identity").lower()
        inflater = Inflater() if encoding in ("gzip", "deflate") else None
        if inflater is None and encoding != "identity":
            raise self._failed(f"compressed its answer ({encoding[:20]}) though asked not to")
        raw = response.aiter_raw()
        while (data := await self._next(raw)) is not None:
            try:
                for piece in inflater.feed(data) if inflater else (data,):
                    yield piece
                    if inflater:  # little can unpack to much: others have their turn
                        await asyncio.sleep(0)
            except zlib.error:
                raise self._failed("sent a body that cannot be unpacked") from None

    async def _next(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        """More bytes; None at the end, however it came, once the answer has finished."""
        try:
            async with asyncio.timeout(self._left_s()):
                return await anext(pieces, None)
        except TimeoutError:
            if self.has_finished:
                return None
            raise self._too_slow() from None
        except (httpx.HTTPError, httpx.StreamError) as error:
            if self.has_finished:
                return None
            raise self._failed(f"broke the connection ({type(error).__name__})") from None

    def _understand(self, text: str) -> list[Chunk]:
        """The chunks of one event; one that is no JSON is skipped, and counted."""
        if text == DONE:
            return []
        chunk = read_chunk(text)
        if chunk is not None:
            return [chunk]
        parts = [read_chunk(line) for line in text.split("\n")] if "\n" in text else []
        if not any(parts) and text.strip() not in ("", "null", "[]"):
            self.num_skipped += 1
        return [part for part in parts if part is not None]

    def _note(self, chunk: Chunk) -> None:
        if chunk.generation_id and self._generation_id is None:
            self._generation_id = chunk.generation_id
        if chunk.error is not None or chunk.finish == "error":
            error = chunk.error if chunk.error is not None else "no reason given"
            raise in_band(self._address.provider, error, self.phase, self._scrubber)
        self._has_usage = self._has_usage or chunk.usage is not None
        if not chunk.is_progress:
            return
        self._progress_s = self._clock()
        self._num_filler_bytes = 0
        if self.first_token_s is None:
            self.first_token_s = self.elapsed_s
        if chunk.tools:
            self.phase = "tool_call_seen"
        elif self.phase == "sent" and (chunk.text or chunk.reasoning):
            self.phase = "bytes_seen"
        self.has_finished = self.has_finished or chunk.finish is not None

    def _left_s(self) -> float:
        """Seconds until the nearest timer runs out."""
        now_s, settings = self._clock(), self._settings
        if self._is_done:
            return AFTER_DONE_S
        if self.has_finished:
            patience_s = AFTER_USAGE_S if self._has_usage else AFTER_FINISH_S
            wait_s = min(patience_s, settings.idle_timeout_s)
        elif self.first_token_s is None:
            wait_s = settings.first_token_timeout_s
        else:
            wait_s = settings.idle_timeout_s
        until_s = min(self._progress_s + wait_s, self._started_s + settings.total_timeout_s)
        return max(0.0, until_s - now_s)

    def _too_slow(self) -> HostedError:
        settings = self._settings
        self.phase = "sent" if self.phase == "before_dispatch" else self.phase
        if self.elapsed_s >= settings.total_timeout_s:
            return self._failed(f"did not finish within {settings.total_timeout_s:g} s")
        if self.first_token_s is None:
            return self._failed(f"sent no content within {settings.first_token_timeout_s:g} s")
        return self._failed(f"sent no content for {settings.idle_timeout_s:g} s")

    def _failed(self, words: str) -> HostedError:
        return cut_off(self._address.provider, words, self.phase)

    async def _refusal(self, response: httpx.Response) -> RunnerError:
        body = read_body(await self._start_of(response, MAX_BODY_BYTES))
        return from_status(
            self._address.provider, response.status_code, body, response.headers, self._scrubber
        )

    async def _start_of(self, response: httpx.Response, max_bytes: int) -> bytearray:
        """The body, no more than `max_bytes` of it."""
        data = bytearray()
        pieces = self._unpacked(response)
        try:
            async for piece in pieces:
                data += piece[: max_bytes - len(data)]
                if len(data) == max_bytes:
                    break
        finally:
            await pieces.aclose()
        return data


def read_body(data: bytearray) -> Any:
    """What a body says, as JSON or text."""
    text = data.decode("utf-8", errors="replace")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
