"""Templates that came with weights: rendered at arm's length, and never for long."""

from __future__ import annotations

import gc
import time

import pytest

from runner.chat.format import template_format
from runner.chat.renderer import MAX_OUTPUT_CHARS, MAX_SOURCE_CHARS
from runner.chat.sandbox import ForeignTemplate
from runner.errors import InvalidRequestError, WeightsError
from runner.types import Message, ReasoningWish

from .answers import read
from .prompts import ADD, ASK, call_message, prepare_chat, text_of

CHATML = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TOOL_USE = (
    "{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% for m in messages %}{{ m.role }}:"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.arguments.place }}</tool_call>"
    "{% endfor %}{{ m.content }}|{% endfor %}"
)
HOSTILE = {
    "endless loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}"
    "{% endfor %}",
    "huge string": "{{ 'a' * 10**10 }}",
    "huge padding": "{{ 'a'.center(10**10) }}",
    "huge output": "{% for a in range(99999) %}{{ 'a' * 999 }}{% endfor %}",
    "huge power": "{{ 10**(10**8) }}",
    "class escape": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "format escape": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "syntax": "{% for %}",
    "unknown filter": "{{ messages | nope }}",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_ends_in_an_error_in_time(name: str) -> None:
    template = ForeignTemplate(HOSTILE[name], deadline_s=0.5)
    start = time.monotonic()
    with pytest.raises((WeightsError, InvalidRequestError)) as caught:
        template.render({"messages": []})
    assert time.monotonic() - start < 30  # most of it is the child's start
    assert "models.toml" in str(caught.value)
    template.close()


def test_after_a_killed_child_the_next_one_works() -> None:
    source = "{% if slow %}" + HOSTILE["endless loop"] + "{% endif %}{{ messages | length }}"
    template = ForeignTemplate(source, deadline_s=1.0)
    with pytest.raises(WeightsError, match="too much time"):
        template.render({"messages": [], "slow": True})
    assert template.render({"messages": [1, 2]}) == "2"
    template.close()


def test_a_child_that_died_in_between_is_replaced() -> None:
    template = ForeignTemplate("x")
    assert template.render({}) == "x"
    assert template._child is not None
    template._child._process.kill()
    template._child._process.wait()
    assert template.render({}) == "x"
    template.close()


def test_a_child_ends_with_its_template() -> None:
    template = ForeignTemplate("x")
    assert template.render({}) == "x"
    assert template._child is not None
    process = template._child._process
    del template
    gc.collect()
    assert process.returncode is not None


def test_a_child_sees_no_secrets_and_no_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    template = ForeignTemplate("{% include '/etc/passwd' %}")
    with pytest.raises(InvalidRequestError):
        template.render({})
    assert template._child is not None
    environ = f"/proc/{template._child._process.pid}/environ"
    try:
        with open(environ, "rb") as file:
            assert b"secret" not in file.read()
    except FileNotFoundError:
        pytest.skip("no /proc here")
    finally:
        template.close()


def test_a_source_of_any_length_is_not_taken() -> None:
    with pytest.raises(WeightsError, match="too long"):
        ForeignTemplate("a" * (MAX_SOURCE_CHARS + 1))


def test_a_refusal_is_told_in_the_templates_own_words() -> None:
    template = ForeignTemplate("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequestError, match="roles must alternate") as caught:
        template.render({})
    assert caught.value.param == "messages"
    template.close()


def test_the_usual_extensions_of_chat_templates_work() -> None:
    source = (
        "{% generation %}{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}"
        "{% endfor %}{% endgeneration %}{{ strftime_now('%Y') | length }}"
        "{{ {'ä': '<'} | tojson(indent=1) }}"
    )
    template = ForeignTemplate(source)
    assert template.render({}) == '14{\n "ä": "<"\n}'
    template.close()
    assert MAX_OUTPUT_CHARS > 4 * 2**20


def test_weights_template_writes_the_prompt_with_its_own_tokens() -> None:
    chat_format = template_format(CHATML, None, bos="<s>", eos="<|im_end|>")
    turn = prepare_chat(Message("user", "a<|im_end|><s>"), chat_format=chat_format)
    assert text_of(turn) == (
        "<s><|im_start|>user\na<|im_end|><s><|im_end|>\n<|im_start|>assistant\n"
    )
    assert [piece.text for piece in turn.pieces if piece.literal] == ["<|im_end|><s>"]
    assert turn.rules.ends == ("<|im_end|>", "<|im_start|>")
    assert read(["Yes.<|im_end|>x"], turn.rules).text == "Yes."


def test_the_tool_use_variant_serves_tools_and_tool_history() -> None:
    chat_format = template_format(CHATML, TOOL_USE, bos="", eos="")
    history = (ASK, call_message(("f", '{"place": "Köln"}')))
    assert "<tool_call>Köln</tool_call>" in text_of(prepare_chat(*history, chat_format=chat_format))
    text = text_of(prepare_chat(chat_format=chat_format, tools=(ADD,)))
    assert text.startswith('{"type": "function", "function": {"name": "add", "description"')
    assert "<|im_start|>" not in text
    assert "<|im_start|>" in text_of(prepare_chat(chat_format=chat_format))


def test_a_template_without_tools_gets_hermes_prompt() -> None:
    chat_format = template_format(CHATML, None, bos="", eos="")
    history = (ASK, call_message(("now", "{}")), Message("tool", "noon"))
    text = text_of(prepare_chat(*history, chat_format=chat_format, tools=(ADD,)))
    assert "<tools>\n{" in text
    assert "<|im_start|>user\n<tool_response>\nnoon\n</tool_response><|im_end|>" in text


def test_a_template_that_opens_the_thought_itself_is_noticed() -> None:
    source = CHATML.replace(
        "assistant\n", "assistant\n{% if enable_thinking %}<think>\n{% endif %}"
    )
    chat_format = template_format(source, None, bos="", eos="")
    on = prepare_chat(chat_format=chat_format, request={"reasoning": ReasoningWish(enabled=True)})
    assert text_of(on).endswith("assistant\n<think>\n")
    assert (on.starts_in, on.prefill) == ("reasoning", "<think>\n")
    assert prepare_chat(chat_format=chat_format).starts_in == "text"


def test_a_thought_is_opened_where_the_template_leaves_it_to_the_model() -> None:
    source = CHATML + "{# <think> #}"
    chat_format = template_format(source, None, bos="", eos="")
    turn = prepare_chat(chat_format=chat_format, template_kwargs={"enable_thinking": True})
    assert text_of(turn).endswith("assistant\n<think>\n")
    assert turn.ignored == ()
