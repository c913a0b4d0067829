"""Greedy answers of a GGUF file through llama.cpp."""

from pathlib import Path

from llama_cpp import Llama

_CONTEXT = 2048
_END = b"<|im_end|>"


class Writer:
    """One loaded model that continues prompts greedily."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.model = Llama(
            str(path), n_ctx=_CONTEXT, n_threads=threads, n_threads_batch=threads, verbose=False
        )
        self.end = self.tokens(_END.decode())[0]

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, special tags parsed."""
        return self.model.tokenize(text.encode(), add_bos=False, special=True)

    def answer(self, prompt: str, most: int = 700) -> str:
        """What the model writes after the prompt, up to the end of its turn."""
        tokens = self.tokens(prompt)
        room = min(most, _CONTEXT - len(tokens) - 1)
        if room <= 0:
            raise ValueError(f"a prompt of {len(tokens)} tokens leaves no room for an answer")
        written: list[int] = []
        for token in self.model.generate(tokens, temp=0.0):
            if token == self.end or len(written) >= room:
                break
            written.append(token)
        return self.model.detokenize(written, special=True).decode(errors="replace")
