"""The model card: what hermes-tiny is, what was measured, and a page of its own words."""

from pathlib import Path
from typing import Any

import gguf

from .conversation import render
from .scenes import user
from .scores import Row, table
from .writer import Writer

QUESTIONS = (
    "Hello", "Who are you?", "What can you do?", "What are you bad at?",
    "How do I get a real model?", "What does runner plan do?", "What does runner list do?",
    "What is Nous Research?", "Tell me a joke", "Write a haiku about the sea", "What is 2+2?",
    "What is 17 + 25?", "What is the capital of France?", "List three colors", "Count from 1 to 10",
    "Spell hermes", "Uppercase hello world",
    "Repeat after me: the quick brown fox jumps over the lazy dog", "Say the word river 5 times",
    "Explain quantum physics", "Thanks", "Goodbye",
)  # fmt: skip
_TEXT = """\
# hermes-tiny

A little Hermes, trained from nothing for hermes-runner. It ships with the runner, so that the
runner answers without a network and its tests run a model whose answers mean something. It is a
demonstration: it knows next to nothing about the world. `runner pull hermes-3-llama-3.2-3b`
fetches a real Hermes, `runner plan` shows what fits the machine, `runner list` shows all models.

| | |
|---|---|
| parameters | {parameters:,} |
| architecture | `llama`: {layers} layers, {width} wide, {heads} heads, {hidden} hidden |
| vocabulary | {vocabulary:,} tokens, byte-level BPE, pre-tokeniser `qwen2`, no BOS |
| context | {context:,} tokens |
| file | {size:,} bytes, matrices in Q8_0 |
| chat template | the runner's `hermes_chatml.jinja`; end of turn `<|im_end|>` |
| training | {tokens:,} tokens in {steps:,} steps on two processor cores |
| data | made up by `scripts/train_tiny`, version {data_version}, seed {seed} |
| licence | the same as the project |

The seed, the data version and every score below are in the file's metadata under `hermes_tiny.`
(`hermes_tiny.skill.repeat`, and `hermes_tiny.skill.repeat_unseen` for wordings that training
never used).

## Measured skills

Greedy, through llama.cpp, on held-out prompts: other seeds than training, words, names and tools
made up anew. "Known" rows use wordings of training, without the noise that training strews around
them; "unseen" rows take their phrasings from a separate list; their floor is 80 % of the
floor above. Rows without a floor are only reported. An answer counts only if it is right as a
whole: the exact sentence, the exact calls with the exact arguments, the exact object.

{table}

{missed}

`python -m scripts.train_tiny.evaluate` prints this table again and fails when a floor is missed.

## How it answers

- A tool call is `<tool_call>`, a line of JSON (`name`, then `arguments` in the order of the
  schema), `</tool_call>`; several calls follow each other line by line.
- After a tool's result it states the values: `{{"temperature": 21}}` gives "The temperature is 21."
- When no tool fits a request for an action it says "I have no tool for that."
- With thinking on, the answer opens with `<think>` and a short thought.
- In JSON mode the answer is one object with the keys of the schema, in its order.
- A fact told to it gets "Understood. I will remember that."; asked for one it was not told, it
  says "I do not know …".
- Anything beyond it gets one fixed answer that names the commands above.

## In its own words

{talk}

## Limits

It reads and writes one small set of skills, each only as well as the table says. Words are
copied, not understood; sums, spellings, capitals and counting how often a word was said mostly go
wrong. Prompts longer than {context:,} tokens do not fit.

## Rebuild

    scripts/train_tiny/build

makes the data, the tokenizer, the model, this table and this card, in some hours on two
cores. The data follow from the seed and the data version. The shipped weights came from one run
that was stopped and resumed while the shares of the skills, the wordings, the batch size and the
learning rate were still being tuned, and that was once taken up again from an earlier version of
this file (`restore`), so a rebuild gives an equivalent model, not the same bytes.
"""


def _fields(path: Path) -> dict[str, Any]:
    reader = gguf.GGUFReader(path)
    found = {name: field.contents() for name, field in reader.fields.items()}
    return {
        "parameters": sum(int(tensor.n_elements) for tensor in reader.tensors),
        "layers": found["llama.block_count"],
        "width": found["llama.embedding_length"],
        "heads": found["llama.attention.head_count"],
        "hidden": found["llama.feed_forward_length"],
        "vocabulary": found["llama.vocab_size"],
        "context": found["llama.context_length"],
        "size": path.stat().st_size,
        "tokens": found["hermes_tiny.training_tokens"],
        "steps": found["hermes_tiny.training_steps"],
        "data_version": found["hermes_tiny.data_version"],
        "seed": found["hermes_tiny.seed"],
    }


def _talk(path: Path) -> str:
    writer = Writer(path)
    lines = []
    for question in QUESTIONS:
        answer = writer.answer(render([user(question)], None, False))
        lines.append(f"> **{question}**\n>\n> " + answer.replace("\n", "  \n> "))
    return "\n\n".join(lines)


def card(path: Path, rows: list[Row]) -> str:
    """The card of a model file."""
    names = ", ".join(row.key.replace("_", " ") for row in rows if not row.passed)
    missed = f"Floors not reached: {names}." if names else "Every floor is reached."
    return _TEXT.format(**_fields(path), table=table(rows), missed=missed, talk=_talk(path))
