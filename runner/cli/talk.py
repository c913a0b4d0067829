"""Talking: one answer after the other, or only one.

Owns the loop between the user's entries and the model's answers. Takes the terminal as arguments:
how to read a line, where answers appear. Invariant: every answer is closed, whether it is complete,
stopped by Ctrl-C or failed, and the conversation can go on after each of these.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict

import typer

from runner.egress import redact
from runner.errors import RunnerError
from runner.router import Decision
from runner.services import Services
from runner.types import GenerateRequest

from .background import Background
from .conversation import Conversation, Gathering, Reply, message_json
from .entry import Ask, history, read_entry
from .markdown import printable
from .route_words import announcement, figures, surprises
from .screen import Screen
from .slash import COMMANDS, Desk, obey

HISTORY_FILE = "chat_history"


def say(text: str) -> None:
    """A word of ours: beside the answer, never in it."""
    typer.secho(printable(text), dim=True, err=True)


def complain(error: RunnerError) -> None:
    """What went wrong; the conversation goes on."""
    typer.secho(f"runner: {redact(printable(str(error)))}", fg="red", err=True)


class Talk:
    """One conversation at the terminal."""

    def __init__(
        self,
        services: Services,
        conversation: Conversation,
        background: Background,
        screen: Screen,
        *,
        ask: Ask = input,
        say: Callable[[str], None] = say,
    ) -> None:
        self._services = services
        self._conversation = conversation
        self._background = background
        self._screen = screen
        self._ask = ask
        self._say = say
        self._announced: tuple[str, str] | None = None

    def answer_once(self, text: str) -> None:
        """One answer. Raises RunnerError, and Exit with code 1 if it was stopped."""
        self._conversation.ask(text)
        if self._answer().usage is None:
            raise typer.Exit(1)

    def print_json(self, text: str) -> None:
        """One answer as JSON. Raises RunnerError."""
        self._conversation.ask(text)
        request = self._request()
        reply = self._background.run(self._fetch(request, show=False))
        if reply.usage is None:
            raise typer.Exit(1)
        self._conversation.take(reply)
        body = {"message": message_json(self._conversation.messages[-1])}
        more = {"model": reply.model, "usage": asdict(reply.usage), "x_route": asdict(reply.route)}
        typer.echo(json.dumps({**body, **more}))

    def converse(self) -> None:
        """Until the user ends it."""
        self._say(f"{self._announce()}\n/help lists the commands, Ctrl-D ends")
        words = [*COMMANDS, "/exit", *(entry.id for entry in self._services.catalog)]
        with history(self._services.settings.state_dir / HISTORY_FILE, words):
            while self._take_turn():
                pass

    def _take_turn(self) -> bool:
        """One entry and what follows from it; False to end."""
        try:
            entry = read_entry(self._ask)
        except KeyboardInterrupt:
            self._say("\nCtrl-D or /exit ends")
            return True
        if entry is None:
            return False
        if entry.text.startswith("/") and not entry.is_quoted:
            heard = obey(entry.text, self._desk())
            self._say(heard or "")
            return heard is not None
        if entry.text:
            self._conversation.ask(entry.text)
            with contextlib.suppress(KeyboardInterrupt):
                self._answer_with_tools()
        return True

    def _answer_with_tools(self) -> None:
        """Answer; while the model calls tools, the user gives their results."""
        try:
            reply = self._answer()
            while reply.tool_calls:
                for call in reply.tool_calls:
                    self._conversation.give(call, self._ask(f"{call.name} returns> "))
                reply = self._answer()
        except RunnerError as error:
            complain(error)
            self._conversation.take_back()
        except (KeyboardInterrupt, EOFError):
            self._conversation.take_back()
            self._say("\nthat question is taken back")

    def _answer(self) -> Reply:
        request = self._request()
        decision = self._decide(request)
        self._tell(decision)
        reply = self._background.run(self._fetch(request, show=True))
        self._conversation.take(reply)
        for line in surprises(reply, decision):
            self._say(line)
        self._say(figures(reply))
        return reply

    async def _fetch(self, request: GenerateRequest, *, show: bool) -> Reply:
        """The answer, shown as it comes; cancelling it gives what there is by then."""
        begun_s = time.monotonic()
        gathering = Gathering()
        if show:
            self._screen.begin(f"waiting for {request.model}")
        answer = None
        try:
            answer = await self._services.router.answer(request, headers_after_s=0.0)
            with contextlib.suppress(asyncio.CancelledError):
                async for event in answer.events:
                    gathering.add(event)
                    if show:
                        self._screen.show(event)
        finally:
            if answer is not None:
                await answer.aclose()
            if show:
                self._screen.finish()
        return gathering.reply(request.model, answer.route.snapshot(), time.monotonic() - begun_s)

    def _request(self) -> GenerateRequest:
        conversation = self._conversation
        sampling = self._services.sampling_defaults(conversation.model)
        return conversation.request(f"chat-{uuid.uuid4().hex}", sampling)

    def _decide(self, request: GenerateRequest) -> Decision:
        async def explain() -> Decision:
            return self._services.router.explain(request)

        return self._background.run(explain())

    def _tell(self, decision: Decision) -> None:
        """Say who answers, when that has changed."""
        who = (decision.model, decision.choices[0].backend if decision.choices else "")
        if who != self._announced and decision.choices:
            self._say(announcement(decision))
        self._announced = who

    def _announce(self) -> str:
        """Who would answer the next question."""
        decision = self._decide(self._request())
        self._announced = (
            decision.model,
            decision.choices[0].backend if decision.choices else "",
        )
        return announcement(decision) or f"nothing may answer for {decision.model} as it stands"

    def _desk(self) -> Desk:
        shelf = self._services.shelf
        return Desk(
            conversation=self._conversation,
            screen=self._screen,
            resolve=shelf.model_id,
            installed=lambda: [one.model_id for one in shelf.installed()],
            announce=self._announce,
        )
