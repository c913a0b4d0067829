"""The seam: what was shown is never shown twice, however the second half is cut up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.router.continuation import MIN_OVERLAP, OverlapFilter, Spoken, continued, seam_fault
from runner.types import Event, TextDelta, TextPrompt, TokenPrompt
from tests.router.scripted import DONE, chat

SAID = "The quick brown fox jumps over the lazy dog. The quick brown fox sleeps"


def filtered(said: str, rest: str, cuts: list[int]) -> str:
    overlap = OverlapFilter(said)
    places = sorted({0, len(rest), *(cut % (len(rest) + 1) for cut in cuts)})
    pieces = [rest[a:b] for a, b in zip(places, places[1:], strict=False)]
    out: list[Event] = []
    for event in (*(TextDelta(piece) for piece in pieces), DONE):
        out.extend(overlap.feed(event))
    assert out[-1] is DONE
    return "".join(event.text for event in out if isinstance(event, TextDelta))


@given(
    st.sampled_from([12, 20, 35, len(SAID)]),
    st.text("abc !", max_size=20),
    st.lists(st.integers(0, 200), max_size=12),
)
def test_a_repeated_end_or_a_fresh_start_is_dropped_in_any_chunking(
    num_repeated: int, new: str, cuts: list[int]
) -> None:
    new = "!" + new
    assert filtered(SAID, SAID[-num_repeated:] + new, cuts) == new


@given(st.text("abc", max_size=MIN_OVERLAP - 1), st.lists(st.integers(0, 40), max_size=5))
def test_short_repetitions_are_kept_because_they_may_be_meant(rest: str, cuts: list[int]) -> None:
    assert filtered("abcabcabcabc", rest, cuts) == rest


@given(st.text(max_size=60), st.text("xyz ", max_size=60), st.lists(st.integers(0, 80)))
def test_any_chunking_gives_the_same_text(said: str, rest: str, cuts: list[int]) -> None:
    assert filtered(said, rest, cuts) == filtered(said, rest, [])


def test_raw_text_goes_on_from_its_end_and_token_ids_do_not() -> None:
    spoken = Spoken()
    spoken.add(TextDelta("bc"))
    request = chat(prompt=TextPrompt("a", echo=True))
    assert continued(request, spoken).prompt == TextPrompt("abc")
    assert seam_fault(request, spoken) is None
    assert seam_fault(chat(prompt=TokenPrompt((1, 2))), spoken)
