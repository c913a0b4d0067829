"""What was said before is guessed under a grammar too, and changes no answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.engine.loop import Loop
from runner.engine.messages import FrameSplitter, Load, Outputs, Submit, decode_from_child
from runner.engine.worker import Pipe, load
from runner.types import Constraint, PromptPiece, SamplingParams

from .asking import chat_prompt

CONTEXT = 1024
STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
SCHEMA = {
    "x-guidance": STYLE,
    "type": "object",
    "properties": {
        "kind": {"enum": ["order", "return", "question"]},
        "where": {"type": "string", "maxLength": 40},
        "count": {"type": "integer", "minimum": 0, "maximum": 999},
        "is_urgent": {"type": "boolean"},
    },
    "required": ["kind", "where", "count", "is_urgent"],
    "additionalProperties": False,
}
RECORD = {"kind": "return", "where": "the old harbour of Oslo", "count": 418, "is_urgent": True}
PROMPTS = [
    chat_prompt(f"Repeat: {json.dumps(RECORD)}"),
    chat_prompt(f"Repeat: {json.dumps({**RECORD, 'kind': 'order', 'where': 'velm ordi tassu'})}"),
    chat_prompt("Hello"),
]
# llguidance reads the vocabulary by names that llama.cpp has since renamed
pytestmark = pytest.mark.filterwarnings("ignore:llama_:DeprecationWarning")
Cost = Callable[[int], float]


def free(_num_tokens: int) -> float:
    """A machine on which a batch costs what one token costs."""
    return 1.0


def dear(num_tokens: int) -> float:
    """A machine on which guessing never pays."""
    return 10.0**num_tokens


def answers(weights: Path, cost_s: Cost, sampling: SamplingParams) -> tuple[list[list[int]], int]:
    """Each prompt's tokens under the schema, and the steps that all took."""
    ours, theirs = socket.socketpair()
    loop = load(Load([str(weights)], CONTEXT, 2, 2 * CONTEXT, 1), Pipe(ours))
    loop._pace.cost_s = cost_s  # type: ignore[method-assign,assignment] # what a machine is like
    found = [answer(loop, theirs, number, sampling) for number in range(len(PROMPTS))]
    steps = loop.status().step
    ours.close()
    theirs.close()
    return found, steps


def answer(loop: Loop, reader: socket.socket, number: int, sampling: SamplingParams) -> list[int]:
    constraint = Constraint("json_schema", json.dumps(SCHEMA), ends_answer=True)
    pieces = [PromptPiece(PROMPTS[number], True)]
    loop.handle(Submit(number, pieces, [], sampling, 120, constraint=constraint))
    while not loop.is_idle:
        loop.step()
    tokens, text = [], ""
    for word in map(decode_from_child, FrameSplitter().feed(reader.recv(1 << 20))):
        if isinstance(word, Outputs):
            tokens += [token for output in word.outputs for token in output.tokens]
            text += "".join(output.text for output in word.outputs)
    assert set(json.loads(text)) == set(RECORD)
    return tokens


@pytest.mark.parametrize(
    "sampling",
    [SamplingParams(temperature=0), SamplingParams(temperature=1.5, seed=7)],
    ids=["greedy", "hot"],
)
def test_guesses_under_a_grammar_change_no_answer(
    tiny_weights: Path, sampling: SamplingParams
) -> None:
    plain, _ = answers(tiny_weights, dear, sampling)
    guessed, _ = answers(tiny_weights, free, sampling)
    assert guessed == plain


def test_quoting_under_a_grammar_takes_fewer_steps(tiny_weights: Path) -> None:
    greedy = SamplingParams(temperature=0)
    _, many = answers(tiny_weights, dear, greedy)
    _, few = answers(tiny_weights, free, greedy)
    assert few < 0.7 * many
