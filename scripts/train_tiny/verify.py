"""Agreement between the trainer and llama.cpp: the same tokens and the same logits.

    python -m scripts.train_tiny.verify --work DIR

Exits with 1 when a text is tokenised differently, or when the F32 export gives other logits.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from random import Random

import numpy as np
import torch
from llama_cpp import Llama

from . import tokenizer as tokenizers_
from . import words
from .curriculum import conversation
from .export import export
from .held_out import held_out
from .model import Shape, TinyHermes

_SEED = 4242
_F32 = 0  # ggml type of an exact cache
_LARGEST_DIFFERENCE = 2e-3
_PIECES = (
    " ", "  ", "\n", "\n\n", " \n", "\t", "\r\n", "'s", "'LL", "don't", "12345", "3.14", "-7", "£5",
    "x²", "½", "…", "—", '{"a": [1, 2]}', '": "', "}}", "</", "<tool>", "<|im_start|>",
    "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>", "\u00a0", "\u200d",
    "e\u0301", "ﬁ", "Ⅷ", "٣",
)  # fmt: skip


def texts(count: int) -> list[str]:
    """Conversations, sentences, and heaps of characters that tokenisers disagree about."""
    rng = Random(_SEED)
    found = []
    for index in range(count):
        if index % 4 == 0:
            found.append("".join(segment.text for segment in conversation(rng)))
        elif index % 4 == 1:
            found.append(words.odd_sentence(rng) + rng.choice(_PIECES))
        elif index % 4 == 2:
            found.append("".join(_piece(rng) for _ in range(rng.randint(1, 25))))
        else:
            ranges = (
                (32, 126),
                (0xA1, 0x2FF),
                (0x370, 0x5FF),
                (0x3041, 0x30FF),
                (0x1F300, 0x1F6FF),
            )
            low, high = rng.choice(ranges)
            found.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 30))))
    return found


def _piece(rng: Random) -> str:
    return rng.choice(_PIECES) if rng.random() < 0.6 else words.word(rng)


def tokens_agree(tokenizer_file: Path, model: Llama, count: int) -> bool:
    """Whether both tokenisers give the same tokens, and the text back."""
    encode = tokenizers_.load(tokenizer_file)
    different = 0
    for text in texts(count):
        ours = encode.encode(text, add_special_tokens=False).ids
        theirs = model.tokenize(text.encode(), add_bos=False, special=True)
        back = model.detokenize(theirs, special=True).decode()
        if ours != theirs or back != text:
            different += 1
            if different <= 5:
                print(f"differs: {text[:120]!r}")
    print(f"tokens: {count - different} of {count} texts agree")
    return different == 0


def logits_agree(work: Path, prompts: list[str]) -> bool:
    """Whether the F32 export gives the trainer's logits."""
    saved = torch.load(work / "checkpoint.pt", weights_only=True)
    network = TinyHermes(Shape(**saved["shape"]))
    network.load_state_dict(saved["network"])
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.gguf"
        export(work, exact, exact=True)
        model = Llama(
            str(exact), n_ctx=2048, logits_all=True, verbose=False, type_k=_F32, type_v=_F32
        )
    worst = 0.0
    for prompt in prompts:
        tokens = model.tokenize(prompt.encode(), add_bos=False, special=True)
        model.reset()
        model.eval(tokens)
        theirs = model.scores[: len(tokens)]
        with torch.no_grad():
            ours = network(torch.tensor([tokens]))[0].numpy()
        worst = max(worst, float(np.abs(ours - theirs).max()))
    print(f"logits: largest difference {worst:.2e} over {len(prompts)} prompts")
    return worst < _LARGEST_DIFFERENCE


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=6000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / "model.gguf"
        export(options.work, quantised)
        model = Llama(str(quantised), n_ctx=2048, verbose=False)
    same = tokens_agree(options.work / "tokenizer.json", model, options.texts)
    prompts = [case.prompt() for case in held_out("tool_call", 8, 1) + held_out("repeat", 4, 1)]
    return 0 if logits_agree(options.work, prompts) and same else 1


if __name__ == "__main__":
    sys.exit(main())
