"""One generation of the fake: its chunks in order, its misbehaviour, and its bill.

Owns what happens after a request was admitted; the exchange lends it the socket.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from .brain import think
from .chunks import Chunk, Head, comment, cut, encode, endings, tokens_of, whole_body
from .gate import NUSD, Admitted
from .profile import CREATED
from .scenario import Scenario


class GoneError(Exception):
    """The client closed the connection."""


class HangupError(Exception):
    """The scenario ends the connection."""


class Generation:
    """One answer on its way out, and what is billed for it."""

    def __init__(
        self, exchange: Any, scenario: Scenario, admitted: Admitted, *, is_text: bool
    ) -> None:
        self._x = exchange
        self._scenario = scenario
        self._admitted = admitted
        self._profile = exchange.fake.profile
        self._num_out = 0
        body = exchange.entry.json
        self._is_stream = bool(body.get("stream"))
        self._said = think(body, self._profile, scenario)
        self._head = Head(
            exchange.entry.generation_id,
            CREATED,
            scenario.model or admitted.model.id,
            scenario.provider or admitted.endpoint.provider,
            is_text,
        )
        if self._knows("stop"):
            text = self._said.text
            ends = [text.find(stop) for stop in body.get("stop") or () if stop in text]
            self._said = replace(self._said, text=text[: min(ends)] if ends else text)
        self._deltas = tokens_of(self._said, self._profile, scenario, admitted.max_tokens)
        self._is_cut = len(cut(self._said.text)) + len(cut(self._said.reasoning)) > (
            admitted.max_tokens
        )

    def _knows(self, parameter: str) -> bool:
        return parameter in self._admitted.model.parameters

    async def run(self) -> None:
        try:
            if not self._is_stream:
                self._num_out = len(self._deltas)
                usage = self._usage()
                body = whole_body(self._head, self._said, self._finish(), usage)
                return await self._x.reply(200, json.dumps(body).encode())
            await self._x.begin_stream(dict(self._scenario.headers))
            await self._stream()
        except (GoneError, ConnectionError):
            self._x.note_gone()
            if not self._stops_billing():
                self._num_out = len(self._deltas)
            raise
        finally:
            self._bill()
        return None

    def _stops_billing(self) -> bool:
        return self._profile.stops_billing and self._admitted.endpoint.stops_billing

    async def _stream(self) -> None:
        wire, scenario = self._scenario.wire, self._scenario
        pending = comment(wire)
        if wire.has_debug:
            pending += encode({**self._head.bare([]), "debug": {"echo_upstream_body": {}}}, wire)
        for position in range(len(self._deltas) + 1):
            if self._is_due(position):
                await self._x.send(pending, wire)
                pending = b""
                await self._misbehave(position)
            if position == len(self._deltas):
                break
            pending += encode(self._head.chunk(self._deltas[position]), wire)
            self._num_out += 1
            if wire.split != "all":
                await self._x.send(pending, wire)
                pending = b""
        for chunk in endings(self._head, self._finish(), self._usage(), scenario):
            if wire.usage != "missing" or "usage" not in chunk:
                pending += encode(chunk, wire)
        if wire.has_done:
            pending += f"data: [DONE]{wire.newline}{wire.newline}".encode()
        await self._x.send(pending, wire)
        await self._x.end_stream()

    def _is_due(self, position: int) -> bool:
        s = self._scenario
        return position in (s.stall_after, s.cut_after, s.error_after, s.noise_after)

    async def _misbehave(self, position: int) -> None:
        s, wire = self._scenario, self._scenario.wire
        if position == s.noise_after:
            await self._x.send(s.noise, wire if len(s.noise) < 1000 else Scenario().wire)
        if position == s.stall_after:
            await self._x.stall(comment(Scenario().wire) if s.stall_comments else b"", wire)
        if position == s.error_after:
            await self._send_error()
        if position == s.cut_after:
            if s.cut_how == "clean":
                await self._x.end_stream()
            self._x.cut(is_reset=s.cut_how == "rst")

    async def _send_error(self) -> None:
        s = self._scenario
        choice: Chunk = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        if s.finish == "error":  # the form with the error inside the choice
            chunk = self._head.bare([{**choice, "error": s.error}])
        else:
            choices = [choice] if s.error_choices == "one" else []
            chunk = {**self._head.bare(choices), "error": s.error}
        await self._x.send(encode(chunk, s.wire), s.wire)
        await self._x.end_stream()
        self._num_out = 0  # answers that end in an error are not charged
        raise HangupError

    def _finish(self) -> str:
        if self._scenario.finish:
            return self._scenario.finish
        if self._said.calls:
            return "tool_calls"
        return "length" if self._is_cut else "stop"

    def _cost_nusd(self) -> int:
        if self._num_out == 0:
            return 0
        endpoint, scale = self._admitted.endpoint, self._x.fake.price_scale
        exact = self._admitted.num_prompt * endpoint.nusd_prompt
        exact += self._num_out * endpoint.nusd_completion
        return round(exact * scale)

    def _usage(self) -> Chunk:
        num_prompt, num_out = self._admitted.num_prompt, self._num_out
        usage: Chunk = {
            "prompt_tokens": num_prompt,
            "completion_tokens": num_out,
            "total_tokens": num_prompt + num_out,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": len(cut(self._said.reasoning))},
        }
        if self._profile.names_cost:
            usage["cost"] = self._cost_nusd() / NUSD
            usage["cost_details"] = {"upstream_inference_cost": None}
        return {**usage, **self._scenario.usage}

    def _bill(self) -> None:
        """Put on the ledger what was really charged, whatever the usage chunk said."""
        entry = self._x.entry
        entry.billed_nusd = self._cost_nusd()
        told = self._scenario.usage.get("cost")
        if told is not None and entry.billed_nusd:
            entry.billed_nusd = round(float(told) * NUSD)
        self._x.fake.generations[entry.generation_id] = {
            "id": entry.generation_id,
            "total_cost": entry.billed_nusd / NUSD,
            "native_tokens_prompt": self._admitted.num_prompt,
            "native_tokens_completion": self._num_out,
            "cancelled": entry.gone_at_s is not None,
        }
