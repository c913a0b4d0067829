"""`runner chat`: pipes, the conversation, its commands, and Ctrl-C, on the bundled model."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from runner.cli import app
from runner.cli.background import Background, Job
from runner.cli.conversation import Conversation
from runner.cli.entry import history, read_entry
from runner.cli.markdown import Blocks, printable
from runner.cli.screen import MarkdownScreen, PlainScreen, Screen
from runner.cli.talk import Talk
from runner.config import load
from runner.errors import EngineCrashedError, ModelNotFoundError
from runner.router import Router, Rules
from runner.services import Services, build
from runner.types import (
    Event,
    Finished,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from tests.router.scripted import TOO_LARGE, ScriptedBackend, ScriptedHosted, Step, says

DONE = Finished("stop", Usage(10, 3))
CALL: list[Step] = [ToolCallDelta(0, "c1", "get_weather", '{"city":"Rome"}'), DONE]


# -- pipes --------------------------------------------------------------------------------------


def chat(*words: str, piped: str = "", code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["chat", *words], input=piped)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout, result.stderr


def test_a_prompt_is_answered_and_the_answer_stands_alone_on_stdout() -> None:
    out, aside = chat("hermes-tiny", "Who are you?")
    assert "hermes-tiny" in out and out.endswith("\n")
    assert "this machine answers for hermes-tiny" in aside
    assert "free" in aside and "free" not in out


def test_piped_text_follows_the_prompt() -> None:
    out, _ = chat("-m", "tiny", "What is the capital of France?", "-q", piped="Answer briefly.\n")
    assert out.strip()


def test_quiet_says_nothing_aside() -> None:
    assert chat("-m", "tiny", "-q", piped="Hello")[1] == ""


def test_one_answer_as_json_carries_its_route() -> None:
    body = json.loads(chat("-m", "tiny", "--json", "--max-tokens", "4", "Hello")[0])
    assert body["message"]["role"] == "assistant"
    assert body["usage"]["completion_tokens"] <= 4
    assert body["x_route"]["served_by"] == "local"


@pytest.mark.parametrize("words", [("tiny",), ("-m", "tiny"), ("-m", "tiny", "a", "b")])
def test_wrong_usage_is_exit_code_two(words: Sequence[str]) -> None:
    chat(*words, code=2)


def test_an_unknown_model_is_one_sentence_with_near_names() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean"):
        chat("hermes-tinny", "Hello")


# -- conversations, on a script -----------------------------------------------------------------


class Typist:
    """Types what it was given, then ends the input."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


@pytest.fixture
def background() -> Iterator[Background]:
    with Background() as running:
        yield running


class Room:
    """A conversation over a scripted model, and all that was written."""

    def __init__(self, background: Background, local: ScriptedBackend, *hosted: ScriptedHosted):
        self.local = local
        self.out, self.aside = io.StringIO(), io.StringIO()
        self.screen: Screen = PlainScreen(self.out, self.aside, show_thinking=False)
        self.conversation = Conversation("hermes-tiny")
        self.said: list[str] = []
        self.background = background
        self.services = background.run(self._build(hosted))

    async def _build(self, hosted: Sequence[ScriptedHosted]) -> Services:
        services = build(load().settings)
        services.router = Router(self.local, hosted, Rules())
        return services

    def talk(self, *lines: str) -> Typist:
        typist = Typist(*lines)
        talk = Talk(
            self.services,
            self.conversation,
            self.background,
            self.screen,
            ask=typist,
            say=self.said.append,
        )
        try:
            talk.converse()
        finally:
            self.background.run(self.services.stop())
        return typist

    @property
    def heard(self) -> str:
        return "\n".join(self.said)


def roles(room: Room) -> list[str]:
    return [message.role for message in room.conversation.messages]


def test_who_answers_and_why_is_said_before_the_first_question(background: Background) -> None:
    room = Room(background, ScriptedBackend([says("Hi")]))
    room.talk()
    assert room.said[0].startswith("this machine answers for hermes-tiny: loaded here")


def test_each_question_carries_what_was_said_before(background: Background) -> None:
    room = Room(background, ScriptedBackend([says("One."), says("Two.")]))
    room.talk("first", "second", "/exit", "never reached")
    first, second = room.local.requests
    assert [m.content for m in first.prompt.messages] == ["first"]  # type: ignore[union-attr]
    said = [m.content for m in second.prompt.messages]  # type: ignore[union-attr]
    assert said == ["first", "One.", "second"]
    assert second.overflow == "truncate_oldest"
    assert room.out.getvalue() == "One.\nTwo.\n"


def test_a_model_that_does_not_fit_says_who_answers_instead_and_why(
    background: Background,
) -> None:
    hosted = ScriptedHosted([says("Far away.")])
    room = Room(background, ScriptedBackend([], state=TOO_LARGE), hosted)
    room.talk("hello", "/cost")
    assert "openrouter answers for hermes-tiny" in room.said[0]
    assert "needs 231 GB, has 16 GB" in room.said[0]
    assert "1 answers, 10 + 3 tokens" in room.said[-1]


def test_commands_change_the_next_request(background: Background) -> None:
    room = Room(background, ScriptedBackend([says("ok")]))
    room.talk("/system Be brief.", "/think on", "/route local", "hello")
    [request] = room.local.requests
    assert request.prompt.messages[0].content == "Be brief."  # type: ignore[union-attr]
    assert request.reasoning.enabled is True
    assert request.route == "local"


def test_an_unknown_or_wrong_command_says_what_would_be_right(background: Background) -> None:
    room = Room(background, ScriptedBackend([says("ok")]))
    room.talk("/modle", "/route moon", "/model hermes-tinny", "/help")
    assert "did you mean /model?" in room.heard
    assert "/route takes one of auto, local, hosted" in room.heard
    assert "did you mean hermes-tiny" in room.heard
    assert "/save [FILE]" in room.heard
    assert room.conversation.model == "hermes-tiny" and room.conversation.route == "auto"


def test_a_conversation_is_saved_as_markdown_or_json_and_nothing_is_overwritten(
    background: Background, tmp_path: Path
) -> None:
    room = Room(background, ScriptedBackend([says("An answer.")]))
    page, data = tmp_path / "page.md", tmp_path / "data.json"
    other = tmp_path / "mine.txt"
    other.write_text("mine")
    room.talk("A question?", f"/save {page}", "/save", f"/save {data}", f"/save {other}")
    assert "A question?" in page.read_text() and "An answer." in page.read_text()
    assert json.loads(data.read_text())["messages"][1]["content"] == "An answer."
    assert other.read_text() == "mine" and "exists; choose another name" in room.said[-1]
    assert page.stat().st_mode & 0o077 == 0


def test_tool_calls_are_shown_and_the_user_gives_the_result(background: Background) -> None:
    room = Room(background, ScriptedBackend([CALL, says("Sunny.")]))
    typist = room.talk("weather?", '{"sky": "clear"}')
    assert "get_weather returns> " in typist.prompts
    assert 'get_weather({"city":"Rome"})' in room.out.getvalue()
    assert roles(room) == ["user", "assistant", "tool", "assistant"]
    assert room.conversation.messages[2].tool_call_id == "c1"


def test_leaving_a_tool_without_a_result_takes_the_question_back(background: Background) -> None:
    room = Room(background, ScriptedBackend([CALL]))
    room.talk("weather?")
    assert roles(room) == []


def test_a_failed_answer_is_reported_and_the_question_taken_back(
    background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    script: list[Step] = [TextDelta("Half"), EngineCrashedError("the engine process died")]
    room = Room(background, ScriptedBackend([script, says("Whole.")]))
    room.talk("hello", "again")
    assert "the engine process died" in capsys.readouterr().err
    assert roles(room) == ["user", "assistant"]
    assert room.local.num_open == 0


def test_ctrl_c_stops_the_answer_and_not_the_program(background: Background) -> None:
    never = asyncio.Event()
    room = Room(background, ScriptedBackend([[TextDelta("Half"), never], says("Whole.")]))

    class Interrupting(PlainScreen):
        def show(self, event: Event) -> None:
            super().show(event)
            if event == TextDelta("Half"):
                os.kill(os.getpid(), signal.SIGINT)

    room.screen = Interrupting(room.out, room.aside, show_thinking=False)
    room.talk("hello", "again")
    assert room.out.getvalue() == "Half\nWhole.\n"
    assert [m.content for m in room.conversation.messages] == ["hello", "Half", "again", "Whole."]
    assert room.local.num_open == 0
    assert "stopped after" in room.heard


def test_ctrl_c_while_typing_goes_on(background: Background) -> None:
    room = Room(background, ScriptedBackend([says("ok")]))
    typist = Typist("hello")
    interrupts = [KeyboardInterrupt()]

    def ask(prompt: str) -> str:
        if interrupts:
            raise interrupts.pop()
        return typist(prompt)

    talk = Talk(
        room.services, room.conversation, background, room.screen, ask=ask, say=room.said.append
    )
    talk.converse()
    background.run(room.services.stop())
    assert room.out.getvalue() == "ok\n"


def test_work_that_is_cancelled_has_cleaned_up_before_control_returns(
    background: Background,
) -> None:
    steps: list[str] = []

    async def work() -> None:
        try:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            steps.append("closed")

    with pytest.raises(KeyboardInterrupt):
        background.run(work())
    assert steps == ["closed"]


@pytest.mark.parametrize("has_begun", [True, False])
def test_ctrl_c_before_the_work_has_begun_leaves_nothing_waiting(has_begun: bool) -> None:
    """Python may interrupt between any two steps, so both orders have to end well."""

    async def work() -> None:
        raise AssertionError("this work was stopped before its first step")

    async def interrupt() -> Job[None]:
        job = Job(work())
        if has_begun:
            job.begin()
        job.stop()
        if not has_begun:
            job.begin()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return job

    assert asyncio.run(interrupt()).outcome.cancelled()


# -- entries ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "text", "is_quoted"),
    [
        (["hello"], "hello", False),
        (["one\\", "two\\", "three"], "one\ntwo\nthree", False),
        (["open\\"], "open\n".strip(), False),
        (['"""', "a", "", "  b", '"""'], "a\n\n  b", True),
        (['"""all on one"""'], "all on one", True),
        (['"""first', 'last""" rest'], "first\nlast", True),
        (['"""', "never closed"], "never closed", True),
        (["/help"], "/help", False),
    ],
)
def test_an_entry_has_one_line_or_many(lines: list[str], text: str, is_quoted: bool) -> None:
    entry = read_entry(Typist(*lines))
    assert entry is not None
    assert (entry.text, entry.is_quoted) == (text, is_quoted)


def test_the_end_of_the_input_is_no_entry() -> None:
    assert read_entry(Typist()) is None


def test_the_history_is_its_owners_only(tmp_path: Path) -> None:
    pytest.importorskip("readline")
    path = tmp_path / "state" / "chat_history"
    with history(path, ()):
        pass
    assert path.stat().st_mode & 0o077 == 0


# -- Markdown -----------------------------------------------------------------------------------

MARKDOWN = "# Title\n\nA *word*.\n\n```py\nx = 1\n\ny = 2\n```\n\n- one\n\n  more\n- two\n\nEnd.\n"


def cut(text: str, places: Sequence[int]) -> list[str]:
    marks = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in zip(marks, marks[1:], strict=False)]


def blocks_of(pieces: Sequence[str]) -> list[str]:
    blocks = Blocks()
    found = [block for piece in pieces for block in blocks.feed(piece)]
    return [*found, blocks.close()]


@given(st.lists(st.integers(0, 500)))
def test_any_chunking_gives_the_same_blocks(places: list[int]) -> None:
    assert blocks_of(cut(MARKDOWN, places)) == blocks_of([MARKDOWN])


@given(st.text(alphabet="a`~- \n#", max_size=60))
def test_the_blocks_are_the_text(text: str) -> None:
    assert "".join(blocks_of([text])) == text


def test_a_fence_and_a_list_item_are_not_torn_apart() -> None:
    assert blocks_of([MARKDOWN]) == [
        "# Title\n\n",
        "A *word*.\n\n",
        "```py\nx = 1\n\ny = 2\n```\n\n",
        "- one\n\n  more\n- two\n\n",
        "End.\n",
    ]


def test_nothing_in_an_answer_can_steer_the_terminal() -> None:
    hostile = "a\x1b]0;title\x07b\x1b[2Jc\x9b31md\u202ee\rf\tg\n"
    assert printable(hostile) == "a]0;titleb[2Jc31mdef\tg\n"


def drawn(events: Sequence[Event], *, show_thinking: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=60, height=12, color_system=None)
    screen = MarkdownScreen(console, show_thinking=show_thinking, clock=lambda: 5.0)
    screen.begin("waiting")
    for event in events:
        screen.show(event)
    screen.finish()
    return out.getvalue()


def lasting(drawing: str) -> str:
    """What stays on a terminal after all redrawing, by a small emulation of one."""
    rows, row, column = [""], 0, 0
    text = drawing.replace("\x1b[?25l", "").replace("\x1b[?25h", "")
    while text:
        if text.startswith("\x1b["):
            head, letter = text[2:], ""
            digits = ""
            while head and not (letter := head[0]).isalpha():
                digits, head = digits + letter, head[1:]
            text = head[1:]
            if letter == "A":
                row = max(0, row - int(digits or 1))
            elif letter == "K":
                rows[row] = ""
            continue
        letter, text = text[0], text[1:]
        if letter == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif letter == "\r":
            column = 0
        else:
            rows[row] = rows[row][:column].ljust(column) + letter + rows[row][column + 1 :]
            column += 1
    return "\n".join(line.rstrip() for line in rows).strip("\n")


def test_markdown_is_rendered_and_thinking_folded_to_one_line() -> None:
    events: list[Event] = [
        ReasoningDelta("Let me "),
        ReasoningDelta("see."),
        *(TextDelta(letter) for letter in "# Title\n\nA **bold** word.\n\n1. one\n2. two\n"),
        DONE,
    ]
    shown = lasting(drawn(events))
    assert "▸ thought for 0.0 s, 3 words" in shown and "Let me see." not in shown
    assert "A bold word." in shown and "**" not in shown
    assert shown.count("Title") == 1 and " 2 two" in shown


def test_thinking_stays_where_that_is_wanted() -> None:
    shown = lasting(drawn([ReasoningDelta("Hm."), TextDelta("Yes."), DONE], show_thinking=True))
    assert "Hm." in shown and "Yes." in shown


def test_an_answer_longer_than_the_screen_is_whole_in_the_end() -> None:
    lines = [f"line {number}" for number in range(40)]
    shown = lasting(drawn([TextDelta("```\n" + "\n".join(lines) + "\n```"), DONE]))
    assert [line.strip() for line in shown.splitlines() if line.strip()] == lines


def test_a_link_shows_where_it_leads() -> None:
    shown = lasting(drawn([TextDelta("[bank](https://evil.example)"), DONE]))
    assert "https://evil.example" in shown


# -- a real terminal ----------------------------------------------------------------------------


def test_a_conversation_in_a_real_terminal(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-m", "runner", "chat", "hermes-tiny"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = _read_until(ours, b"/help lists")
        os.write(ours, b"Who are you?\n")
        seen += _read_until(ours, b"free")
        os.write(ours, b"/exit\n")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    text = seen.decode(errors="replace")
    assert "this machine answers for hermes-tiny" in text
    assert "hermes-tiny Q8_0" in text


def _read_until(descriptor: int, mark: bytes) -> bytes:
    seen = b""
    with contextlib.suppress(OSError):
        while mark not in seen:
            seen += os.read(descriptor, 4096)
    return seen
