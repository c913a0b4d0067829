"""Files that a user writes: runner.toml and models.toml, damaged at random.

Either they are read, or there is one clear error that names the file; never anything else.
`RUNNER_TEST_FILES` sets how many of each (150; the full run is 5000).
"""

from __future__ import annotations

import os
import random
import re
import sys
from collections import Counter
from pathlib import Path

from runner.catalog import load as load_catalog
from runner.config import load as load_settings
from runner.errors import CatalogError, ConfigError

NUM_CASES = int(os.environ.get("RUNNER_TEST_FILES", "150"))
ROOT = Path(__file__).parents[2]
SETTINGS = """
offline = true
[server]
port = 8123
allowed_hosts = ["a.example"]
[server.api_keys]
anna = "first"
[server.api_keys.ben]
key = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
requests_per_minute = 10
daily_usd = 0.5
[engine]
context = 4096
kv_type = "q8_0"
[models."hermes-tiny".engine]
threads = 2
[models."hermes-tiny".sampling]
temperature = 0.5
[fallback]
on = ["busy", "crashed"]
[budget]
daily_usd = 1.5
[providers.mine]
base_url = "http://127.0.0.1:1/v1"
models = { "hermes-tiny" = "x" }
"""
BITS = (
    "", '"', "'", "[", "]", "=", "\n", "\x00", "\ud800", "nan", "inf", "-1", "1e999", "9" * 400,
    "{}", "[[x]]", "true", '"""', "\ufeff", "#", ".", "a.b.c = 1\n", '"\\u0000"', "0x",
    "1979-05-27",     "[server]\n", "unknown = 1\n", "-0", "x = " + "[" * 3000, "\u202e",
)  # fmt: skip


def damaged(text: str, chance: random.Random) -> bytes:
    """The text with a few pieces cut out, put in or doubled, or a byte of it changed."""
    for _ in range(chance.randint(1, 2)):
        begin = chance.randrange(len(text) + 1)
        end = min(len(text), begin + chance.choice((0, 0, 1, 5, 40, 400)))
        middle = chance.choice((*BITS, text[begin:end] * 2))
        text = text[:begin] + middle + text[end:]
    data = bytearray(text.encode("utf-8", errors="surrogatepass"))
    if data and chance.random() < 0.2:
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def test_settings_are_read_or_refused_in_one_sentence(tmp_path: Path) -> None:
    path, outcomes = tmp_path / "runner.toml", Counter[str]()
    path.write_text(SETTINGS)
    assert load_settings(config_file=path, environ={}).settings.engine.context == 4096
    for seed in range(NUM_CASES):
        path.write_bytes(damaged(SETTINGS, random.Random(seed)))
        try:
            load_settings(config_file=path, environ={})
            outcomes["read"] += 1
        except ConfigError as error:
            outcomes["refused"] += 1
            assert "\n" not in str(error)[:-1] or "TOML" in str(error), (seed, str(error))
            assert "first" not in str(error)
    sys.stderr.write(f"runner.toml: {dict(outcomes)}\n")
    assert outcomes["read"] and outcomes["refused"]


def test_environment_of_any_kind_is_read_or_refused(tmp_path: Path) -> None:
    names = ("OFFLINE", "PORT", "CTX", "API_KEY", "ENGINE__KV_TYPE", "SERVER__API_KEYS__A",
             "SERVER__API_KEYS__A__KEY", "BUDGET__DAILY_USD", "MODELS", "SERVER", "A__B__C",
             "SERVER__", "__", "FALLBACK__ON", "HOME", "ENGINE")  # fmt: skip
    outcomes = Counter[str]()
    for seed in range(NUM_CASES):
        chance = random.Random(seed)
        environ = {
            f"RUNNER_{chance.choice(names)}": chance.choice((*BITS, "1", "auto", "busy,crashed"))
            for _ in range(chance.randint(1, 3))
        }
        try:
            load_settings(environ=environ, folder=tmp_path)
            outcomes["read"] += 1
        except ConfigError:
            outcomes["refused"] += 1
    sys.stderr.write(f"environment: {dict(outcomes)}\n")
    assert outcomes["read"] and outcomes["refused"]


def test_catalogues_are_read_or_refused_by_name(tmp_path: Path) -> None:
    shipped = (ROOT / "models.toml").read_text(encoding="utf-8")
    tables = re.split(r"\n(?=\[models\.[^.]+\]\n)", shipped)
    assert len(tables) > 5
    path, outcomes = tmp_path / "models.toml", Counter[str]()
    for seed in range(NUM_CASES):
        chance = random.Random(seed)
        path.write_bytes(damaged(chance.choice(tables[1:]), chance))
        try:
            load_catalog((path,))
            outcomes["read"] += 1
        except CatalogError as error:
            outcomes["refused"] += 1
            assert str(error)
    sys.stderr.write(f"models.toml: {dict(outcomes)}\n")
    assert outcomes["read"] and outcomes["refused"]
