"""The shipped model file: its size, its tokenizer, and the scores in its metadata."""

from pathlib import Path
from typing import Any

import gguf
import pytest

from scripts.train_tiny.scores import FLOORS, Row

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "runner/data/hermes-tiny.gguf"
LARGEST = 12_000_000
PROMPTS = 200  # for each skill and kind of wording


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    reader = gguf.GGUFReader(MODEL)
    return {name: field.contents() for name, field in reader.fields.items()}


def test_it_is_small_enough_to_ship() -> None:
    assert MODEL.stat().st_size <= LARGEST


def test_it_reads_long_prompts(fields: dict[str, Any]) -> None:
    assert fields["general.architecture"] == "llama"
    assert fields["llama.context_length"] >= 2048


def test_it_carries_the_template_of_the_runner(fields: dict[str, Any]) -> None:
    template = (ROOT / "runner/chat/templates/hermes_chatml.jinja").read_text(encoding="utf-8")
    assert fields["tokenizer.chat_template"] == template


def test_its_tags_are_single_tokens(fields: dict[str, Any]) -> None:
    kinds = dict(
        zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"], strict=True)
    )
    for tag in ("<|im_start|>", "<|im_end|>", "<|endoftext|>"):
        assert kinds[tag] == gguf.TokenType.CONTROL
    for name in ("tool_call", "tool_response", "think", "tools"):
        assert kinds[f"<{name}>"] == kinds[f"</{name}>"] == gguf.TokenType.USER_DEFINED
    end = fields["tokenizer.ggml.eos_token_id"]
    assert fields["tokenizer.ggml.tokens"][end] == "<|im_end|>"
    assert fields["tokenizer.ggml.add_bos_token"] is False


def test_it_says_how_it_was_made(fields: dict[str, Any]) -> None:
    assert fields["hermes_tiny.seed"] > 0
    assert fields["hermes_tiny.data_version"]


@pytest.mark.parametrize("skill", FLOORS)
@pytest.mark.parametrize("unseen", [False, True])
def test_the_card_tells_whether_a_floor_is_reached(
    fields: dict[str, Any], skill: str, unseen: bool
) -> None:
    score = fields[f"hermes_tiny.skill.{skill}" + ("_unseen" if unseen else "")]
    row = Row(skill, unseen, round(score * PROMPTS), PROMPTS)
    assert abs(row.score - score) < 1e-6
    assert row.line() in MODEL.with_suffix(".md").read_text(encoding="utf-8")
