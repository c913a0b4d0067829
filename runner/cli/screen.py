"""How an answer appears: plain text for a pipe, streamed Markdown on a terminal.

Owns the drawing only. Both screens take the same events, so the loop does not know which it has.
Invariant: what stands on the screen after `finish` is the whole answer, and nothing in it can
steer the terminal.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from runner.types import Event, Finished, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta

from .conversation import Gathering
from .markdown import Blocks, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

REFRESH_PER_S = 10
NUM_THOUGHT_LINES = 8


class Screen(Protocol):
    """Where one answer after the other appears."""

    show_thinking: bool

    def begin(self, waiting_for: str) -> None:
        """An answer was asked for."""

    def show(self, event: Event) -> None:
        """One event of it."""

    def finish(self) -> None:
        """It is over, complete or not."""


class PlainScreen:
    """The answer's text as it comes; thinking, if wanted, on another stream."""

    def __init__(self, out: TextIO, aside: TextIO, *, show_thinking: bool) -> None:
        self.show_thinking = show_thinking
        self._out = out
        self._aside = aside
        self._end = "\n"
        self._gathering = Gathering()

    def begin(self, waiting_for: str) -> None:
        """Nothing is shown of the waiting."""
        self._end = "\n"
        self._gathering = Gathering()

    def show(self, event: Event) -> None:
        """Write it through at once."""
        self._gathering.add(event)
        match event:
            case TextDelta(text=text):
                self._write(text)
            case ReasoningDelta(text=text) if self.show_thinking:
                self._aside.write(text)
                self._aside.flush()
            case Finished():
                for call in self._gathering.tool_calls:
                    self._write(("" if self._end == "\n" else "\n") + call_text(call) + "\n")

    def finish(self) -> None:
        """Leave the line complete."""
        if self._end != "\n":
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._end = text[-1:] or self._end


def call_text(call: ToolCall) -> str:
    """A tool call on one line."""
    return f"{call.name}({call.arguments})"


class MarkdownScreen:
    """Finished blocks are printed for good; the one being written is redrawn as it grows."""

    def __init__(
        self,
        console: Console,
        *,
        show_thinking: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from rich.live import Live

        self.show_thinking = show_thinking
        self._console = console
        self._clock = clock
        self._blocks = Blocks()
        self._thought = ""
        self._thought_since_s = 0.0
        self._gathering = Gathering()
        self._waiting_for = ""
        self._has_printed = False
        self._live: Live | None = None

    def begin(self, waiting_for: str) -> None:
        """Show that something is coming."""
        from rich.live import Live

        self._waiting_for = waiting_for
        self._gathering = Gathering()
        self._has_printed = False
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=REFRESH_PER_S,
            transient=True,
        )
        self._live.start()

    def show(self, event: Event) -> None:
        """Take one event in; the drawing follows by itself."""
        self._waiting_for = ""
        self._gathering.add(event)
        match event:
            case ReasoningDelta(text=text):
                if not self._thought:
                    self._thought_since_s = self._clock()
                self._thought += printable(text)
            case TextDelta(text=text):
                self._fold()
                for block in self._blocks.feed(printable(text)):
                    self._print_block(block)
            case ToolCallDelta() | Finished():
                self._fold()

    def finish(self) -> None:
        """Print what is left, and stop redrawing."""
        self._fold()
        self._waiting_for = ""
        rest = self._blocks.close()
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._print_block(rest)
        if self._gathering.usage is not None:
            for call in self._gathering.tool_calls:
                self._print_dim(f"→ {call_text(call)}", "cyan")

    def _fold(self) -> None:
        """Thinking is over: one line stays of it, or all of it if that is wanted."""
        if not self._thought:
            return
        thought, self._thought = self._thought, ""
        took_s = self._clock() - self._thought_since_s
        if self.show_thinking:
            self._print_dim(thought.strip(), "dim italic")
        self._print_dim(f"▸ thought for {took_s:.1f} s, {len(thought.split())} words", "dim")

    def _print_dim(self, text: str, style: str) -> None:
        from rich.text import Text

        self._console.print(Text(printable(text), style=style))
        self._has_printed = True

    def _print_block(self, block: str) -> None:
        if not block.strip():
            return
        if self._has_printed:
            self._console.print()
        self._console.print(_markdown(block))
        self._has_printed = True

    def _draw(self) -> RenderableType:
        """The part that still changes."""
        from rich.spinner import Spinner
        from rich.text import Text

        if self._waiting_for:
            return Spinner("dots", Text(self._waiting_for, style="dim"), style="dim")
        if self._thought:
            return Tail(Text(self._thought.strip(), style="dim italic"), NUM_THOUGHT_LINES)
        pending = self._blocks.pending
        return Tail(_markdown(pending), self._console.height - 2) if pending.strip() else ""


class Tail:
    """The last lines of something long, so that redrawing never scrolls."""

    def __init__(self, whole: RenderableType, num_lines: int) -> None:
        self._whole = whole
        self._num_lines = max(1, num_lines)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw all of it, and keep the end."""
        from rich.segment import Segment

        lines = console.render_lines(self._whole, options.update(height=None), pad=False)
        for line in lines[-self._num_lines :]:
            yield from line
            yield Segment.line()


def _markdown(text: str) -> RenderableType:
    """Links are spelled out, since the text behind one could promise another address."""
    from rich.markdown import Markdown

    return Markdown(text, hyperlinks=False)


def open_screen(*, show_thinking: bool) -> Screen:
    """The screen that suits the standard output."""
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        if not console.is_dumb_terminal:
            return MarkdownScreen(console, show_thinking=show_thinking)
    return PlainScreen(sys.stdout, sys.stderr, show_thinking=show_thinking)
