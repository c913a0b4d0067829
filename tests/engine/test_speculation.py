"""Guesses: found where text repeats, few or none where checking them does not pay."""

from __future__ import annotations

import random

from runner.engine.speculation import PromptLookup


def free(_num_tokens: int) -> float:
    """A machine on which a batch costs what one token costs."""
    return 1.0


def linear(num_tokens: int) -> float:
    """A machine on which every token costs the same."""
    return float(num_tokens)


def test_repeated_text_is_guessed_from_where_it_stood_before() -> None:
    tokens = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3]
    assert PromptLookup().propose(tokens, 4, free) == [4, 5, 6]
    assert PromptLookup().propose(tokens, 32, free) == [4, 5, 6, 7, 8, 9, 1]


def test_nothing_is_guessed_where_nothing_repeats() -> None:
    lookup = PromptLookup()
    tokens = list(range(100))
    for end in range(3, 100):
        assert lookup.propose(tokens[:end], 8, free) == []


def test_nothing_is_guessed_where_checking_never_pays() -> None:
    assert PromptLookup().propose([1, 2, 3] * 10, 8, linear) == []


def test_wrong_guesses_are_soon_given_up_and_right_ones_grow() -> None:
    half = lambda count: 1.0 + 0.3 * (count - 1)  # noqa: E731
    tokens = [*range(60), 1, 2, 3]
    pessimist, optimist = PromptLookup(), PromptLookup()
    sizes = []
    for _ in range(12):
        pessimist.learn(max(1, len(pessimist.propose(tokens, 32, half))), 0)
        guess = optimist.propose(tokens, 32, half)
        sizes.append(len(guess))
        optimist.learn(len(guess), len(guess))
    assert pessimist.propose(tokens, 32, half) == []
    assert sizes[-1] > sizes[0]


def test_a_guess_is_always_a_run_of_what_was_said() -> None:
    chance = random.Random(3)
    for _ in range(200):
        lookup, tokens = PromptLookup(), []
        for _ in range(40):
            tokens.append(chance.randint(0, 2))
            limit = chance.randint(0, 6)
            guess = lookup.propose(tokens, limit, free)
            assert len(guess) <= limit
            if guess:
                runs = [tokens[at : at + len(guess)] for at in range(3, len(tokens))]
                assert guess in runs
