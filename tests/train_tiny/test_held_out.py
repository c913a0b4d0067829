"""The held-out prompts: deterministic, apart from training, and judged by checks that can fail."""

import json

import pytest

from scripts.train_tiny.answers import message_of
from scripts.train_tiny.conversation import render
from scripts.train_tiny.curriculum import pool
from scripts.train_tiny.held_out import THINKING, Case, held_out, skills
from scripts.train_tiny.scenes import Call, calls, json_object, says, states
from scripts.train_tiny.skills.tool_use import state
from scripts.train_tiny.wordings import Bank
from scripts.train_tiny.wordings.train import KNOWN, TRAIN
from scripts.train_tiny.wordings.unseen import UNSEEN

BARE_CLAUSE = "{act}{args}"  # what the tool itself says; no wording of ours


@pytest.mark.parametrize("skill", skills())
def test_the_same_arguments_give_the_same_cases(skill: str) -> None:
    first = [case.prompt() for case in held_out(skill, 20, 3)]
    again = [case.prompt() for case in held_out(skill, 20, 3)]
    other = [case.prompt() for case in held_out(skill, 20, 4)]
    assert first == again
    assert first != other


@pytest.mark.parametrize("skill", skills())
@pytest.mark.parametrize("unseen", [False, True])
def test_every_case_ends_where_the_assistant_answers(skill: str, unseen: bool) -> None:
    for case in held_out(skill, 20, 5, unseen):
        assert case.messages[-1]["role"] in ("user", "tool")
        assert case.prompt().endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("skill", skills())
def test_no_check_accepts_an_empty_answer(skill: str) -> None:
    nothing = {"role": "assistant", "content": "", "reasoning": "", "tool_calls": []}
    assert not any(case.check(nothing) for case in held_out(skill, 20, 6))


def test_unseen_wordings_are_not_those_of_training() -> None:
    for intent, texts in UNSEEN.texts.items():
        learnt = [*TRAIN.texts[intent], *KNOWN.texts[intent]]
        known = {_bare(text) for text in learnt} - {BARE_CLAUSE}
        assert not known & {_bare(text) for text in texts}, intent
    assert set(UNSEEN.texts) == set(TRAIN.texts)
    assert not set(UNSEEN.wrappers) & set(TRAIN.wrappers)


def test_every_skill_has_many_wordings() -> None:
    for intent in ("repeat", "ask_of", "ask", "ask_my", "act", "both", "chain", "json_ask"):
        assert len(_distinct(TRAIN, intent)) >= 26, intent
        assert len(_distinct(UNSEEN, intent)) >= 8, intent


def test_an_agent_case_goes_on_after_the_right_call() -> None:
    case: Case | None = held_out("agent_loop", 1, 7)[0]
    roles = []
    while case:
        roles.append([message["role"] for message in case.messages][-2:])
        case = case.then
    assert len(roles) == 3
    assert roles[1] == roles[2] == ["assistant", "tool"]


def test_thinking_cases_are_half_on_and_the_prompt_says_so() -> None:
    cases = held_out(THINKING, 60, 8)
    switched_on = [case for case in cases if case.thinking]
    assert 15 < len(switched_on) < 45
    assert all("<think> </think>" in case.prompt() for case in switched_on)


def test_json_cases_show_their_schema_in_the_system_text() -> None:
    cases = [case for case in held_out("json_mode", 40, 9) if case.schema]
    assert cases
    for case in cases:
        assert json.dumps(case.schema, ensure_ascii=False) in case.prompt()
        assert "<schema>" not in "".join(message["content"] for message in case.messages)


def test_training_text_is_what_the_template_renders() -> None:
    for conversation in pool(200)[:30]:
        text = "".join(segment.text for segment in conversation)
        assert text.startswith("<|im_start|>")
        assert any(segment.taught for segment in conversation)
        for segment in conversation:
            assert not segment.taught or segment.text.endswith("<|im_end|>")


def test_an_answer_is_taken_apart() -> None:
    call = Call("get_x", {"a": 1})
    text = f"<think>\nI call it.\n</think>\n{call.text()}\n{call.text()}"
    message = message_of(text)
    assert message["reasoning"] == "I call it."
    assert message["content"] == ""
    assert calls([call, call])(message)
    assert not calls([call])(message)


def test_a_broken_call_stays_in_the_content() -> None:
    message = message_of('<tool_call>\n{"name": }\n</tool_call>')
    assert "tool_calls" not in message
    assert "<tool_call>" in message["content"]


def test_checks_tell_near_misses_apart() -> None:
    assert says("a b")({"content": "a b"})
    assert not says("a b")({"content": "a  b"})
    assert states(["12"])({"content": "It is 12."})
    assert not states(["12"])({"content": "It is 123."})
    assert not states(["12"], ["13"])({"content": "It is 12 or 13."})
    assert not json_object({"a": 1})({"content": '{"a": true}'})
    assert not json_object({"a": 1})({"content": '{"a": 1'})
    one = Call("f", {"a": 1})
    wrong = message_of(Call("f", {"a": "1"}).text())
    assert not calls([one])(wrong)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"temperature": 21}', "The temperature is 21."),
        (
            '{"name": "get_x", "content": {"a_b": true, "c": "d e"}}',
            "The a b is true and the c is d e.",
        ),
        ("17", "The result is 17."),
        ("krell", "The result is krell."),
        ("The door is open.", "The door is open."),
    ],
)
def test_a_result_is_stated_from_its_text_alone(content: str, said: str) -> None:
    assert state(content) == said


def test_the_template_keeps_its_form() -> None:
    text = render([{"role": "user", "content": "Hi"}], None, False)
    assert text == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def _bare(text: str) -> str:
    return text.lstrip("~").rstrip(".?! ").lower()


def _distinct(bank: Bank, intent: str) -> set[str]:
    return {_bare(text) for text in bank.texts[intent]}
