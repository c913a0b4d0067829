"""A model that takes its time: whoever asks it for a long answer finds it still writing.

hermes-tiny writes a thousand tokens a second and more, so an answer of it that is to be struck,
stopped or left may be over before.
"""

from __future__ import annotations

from pathlib import Path

from tests.fakes.random_gguf import write_random_gguf

SLOW = "slow"
ONE_THREAD = ("--threads", "1")  # what a server that is to be slow is started with
CONTEXT = 8192


def install_slow_model(home: Path) -> None:
    """Puts it into the catalogue of the server that `tests.serving.serve` starts in that home."""
    [weights] = write_random_gguf(
        home / "slow.gguf",
        num_layers=12,
        hidden_size=512,
        num_heads=8,
        num_kv_heads=8,
        ffn_size=2048,
        vocab_size=512,
        context=CONTEXT,
        weight_type="Q8_0",
    )
    runner_home = home / "runner-home"
    runner_home.mkdir(exist_ok=True)
    (runner_home / "models.toml").write_text(
        f'[models.{SLOW}]\ntitle = "{SLOW}"\nbundled = "{weights}"\n'
        f'chat_format = "hermes_chatml"\ncontext = {CONTEXT}\n'
    )
