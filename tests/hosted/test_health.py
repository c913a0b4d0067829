"""The breaker: five failures open it, one probe may pass, refusals of the key open it at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.hosted.health import FAILURES_TO_OPEN, FIRST_PAUSE_S, LONGEST_PAUSE_S, Health


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def failed(times: int = FAILURES_TO_OPEN) -> tuple[Health, Clock]:
    clock = Clock()
    health = Health(clock)
    for _ in range(times):
        health.fail("502")
    return health, clock


def test_it_opens_after_five_failures_and_says_what_the_last_was() -> None:
    assert failed(4)[0].trouble is None
    trouble = failed()[0].trouble
    assert trouble and "502" in trouble


def test_after_the_pause_exactly_one_probe_passes() -> None:
    health, clock = failed()
    clock.now_s += FIRST_PAUSE_S
    assert health.trouble is None
    health.admit()
    assert health.trouble == "a probe is under way"
    health.succeed(0.1, 30.0)
    assert health.trouble is None


def test_failed_probes_double_the_pause_up_to_a_limit() -> None:
    health, clock = failed()
    pauses = []
    for _ in range(6):
        before = clock.now_s
        while health.trouble is not None:
            clock.now_s += 1
        pauses.append(clock.now_s - before)
        health.admit()
        health.fail("again")
    assert pauses == [30, 60, 120, 240, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_a_probe_that_was_cancelled_may_be_tried_again() -> None:
    health, clock = failed()
    clock.now_s += FIRST_PAUSE_S
    health.admit()
    health.forgive()
    assert health.trouble is None


def test_a_refused_key_keeps_the_provider_out_with_its_words() -> None:
    health = Health(Clock())
    health.refuse("the key is disabled")
    assert "the key is disabled" in (health.trouble or "")


def test_a_cooldown_ends_by_itself() -> None:
    clock = Clock()
    health = Health(clock)
    health.cool_down(7)
    health.cool_down(3)
    assert health.cooldown_s == 7
    clock.now_s = 7
    assert health.cooldown_s is None


def test_rates_and_medians_need_samples() -> None:
    health = Health(Clock())
    assert (health.success_rate, health.first_token_s, health.is_degraded) == (None, None, False)
    for number in range(10):
        health.remember(is_ok=number % 2 == 0, first_token_s=float(number), tokens_per_s=20.0)
    assert (health.success_rate, health.is_degraded) == (0.5, True)
    assert (health.first_token_s, health.tokens_per_s) == (4.5, 20.0)


@given(st.lists(st.sampled_from(["ok", "fail", "refuse", "wait", "admit", "forgive"])))
def test_it_is_never_shut_for_ever(steps: list[str]) -> None:
    clock = Clock()
    health = Health(clock)
    for step in steps:
        match step:
            case "ok":
                health.succeed(0.1, None)
            case "fail":
                health.fail("x")
            case "refuse":
                health.refuse("x")
            case "admit":
                health.admit()
            case "forgive":
                health.forgive()
            case "wait":
                clock.now_s += 17
    clock.now_s += LONGEST_PAUSE_S
    health.forgive()
    assert health.trouble is None
