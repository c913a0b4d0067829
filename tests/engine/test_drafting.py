"""A draft model guesses what the real one would say, and changes no answer."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.engine.drafting import NUM_SLOTS, Draft, draft_options
from runner.engine.llama import LoadOptions, Model
from runner.engine.loop import Loop
from runner.engine.messages import FrameSplitter, Load, Outputs, Submit, decode_from_child
from runner.engine.speculation import Belief
from runner.engine.worker import Pipe, load
from runner.errors import EngineLoadError
from runner.types import PromptPiece, SamplingParams
from tests.fakes.random_gguf import write_random_gguf

from .asking import chat_prompt

CONTEXT = 512
QUESTIONS = ("Repeat: velm ordi tassu brak", "count from 1 to 20", "Who are you?")


def free(_num_tokens: int) -> float:
    """A machine on which a batch costs what one token costs."""
    return 1.0


@pytest.fixture(scope="module")
def model(tiny_weights: Path) -> Iterator[Model]:
    loaded = Model(LoadOptions((str(tiny_weights),), 64, 1, 1))
    yield loaded
    loaded.close()


@pytest.fixture
def draft(model: Model, tiny_weights: Path) -> Iterator[Draft]:
    options = LoadOptions((str(tiny_weights),), 64, 1, 1)
    made = Draft(draft_options(options, (str(tiny_weights),), CONTEXT), model, lambda: 0.0)
    yield made
    made.close()


def guesses(draft: Draft, sequence_id: int, tokens: list[int], limit: int = 8) -> list[int]:
    """What is guessed once the draft has read everything."""
    for _ in range(100):
        found = draft.propose(sequence_id, tokens, limit, Belief(), free)
        if found:
            return found
    raise AssertionError("the draft never caught up")


def test_guesses_of_the_same_weights_are_what_they_would_say(model: Model, draft: Draft) -> None:
    prompt = model.tokenize(chat_prompt("count from 1 to 20"), special=True)
    answer = list(prompt)
    while len(answer) < len(prompt) + 24:
        answer += guesses(draft, 1, answer)
    again = list(prompt)
    while len(again) < len(prompt) + 24:
        again += guesses(draft, 2, again, limit=1)
    assert answer[: len(again)] == again[: len(answer)]
    assert "1, 2, 3" in b"".join(map(model.piece, again[len(prompt) :])).decode()


def test_wrong_guess_is_taken_back_and_sequences_do_not_mix(model: Model, draft: Draft) -> None:
    prompts = [model.tokenize(chat_prompt(text), special=True) for text in QUESTIONS]
    first = [guesses(draft, number, prompt) for number, prompt in enumerate(prompts)]
    other = [*prompts[0], *first[0][:2], 7, 8]
    guesses(draft, 0, other)
    assert guesses(draft, 0, prompts[0]) == first[0]
    assert len(prompts) > NUM_SLOTS
    assert [guesses(draft, number, prompt) for number, prompt in enumerate(prompts)] == first


def test_nothing_is_drafted_where_it_does_not_pay(model: Model, draft: Draft) -> None:
    prompt = model.tokenize(chat_prompt("Hello"), special=True)
    assert draft.propose(1, prompt, 8, Belief(), lambda count: float(count)) == []


def test_draft_of_another_vocabulary_is_refused(model: Model, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.gguf"
    write_random_gguf(stranger)
    options = LoadOptions((str(stranger),), 64, 1, 1)
    with pytest.raises(EngineLoadError, match="vocabulary"):
        Draft(draft_options(options, (str(stranger),), CONTEXT), model, time.monotonic)


def answers(weights: Path, draft: list[str]) -> tuple[list[list[int]], int]:
    """Each question's tokens, and the steps that all took, where guessing always pays."""
    ours, theirs = socket.socketpair()
    order = Load([str(weights)], CONTEXT, 2, 2 * CONTEXT, 1, draft=draft)
    pipe = Pipe(ours)
    loop = load(order, pipe)
    loop._pace.cost_s = free  # type: ignore[method-assign,assignment] # a machine on which it pays
    found = [answer(loop, theirs, number, text) for number, text in enumerate(QUESTIONS)]
    steps = loop.status().step
    ours.close()
    theirs.close()
    return found, steps


def answer(loop: Loop, reader: socket.socket, number: int, text: str) -> list[int]:
    loop.handle(
        Submit(
            number, [PromptPiece(chat_prompt(text), True)], [], SamplingParams(temperature=0), 48
        )
    )
    while not loop.is_idle:
        loop.step()
    splitter, tokens = FrameSplitter(), []
    words = map(decode_from_child, splitter.feed(reader.recv(1 << 20)))
    for word in words:
        if isinstance(word, Outputs):
            tokens += [token for output in word.outputs for token in output.tokens]
    return tokens


def test_answers_are_the_same_with_a_draft_and_take_fewer_steps(tiny_weights: Path) -> None:
    plain, many = answers(tiny_weights, [])
    drafted, few = answers(tiny_weights, [str(tiny_weights)])
    assert drafted == plain
    assert few < 0.7 * many
