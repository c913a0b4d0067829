"""`runner plan`, run as a user would: offline, from the catalogue and from files on this disk."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from runner.cli import plan
from runner.errors import ModelNotFoundError, RunnerError
from tests.fakes.hollow_gguf import HollowShape, write_hollow_gguf

GIB = 2**30

app = typer.Typer()
app.command("plan")(plan.command)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if isinstance(result.exception, RunnerError):
        raise result.exception
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.fixture(autouse=True)
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose bandwidth has been measured; all else is this one."""
    import psutil

    home = tmp_path / "runner-home"
    home.mkdir()
    cores = psutil.cpu_count(logical=False) or 1
    kept = {
        "num_threads": cores,
        "memory_bandwidth_bytes_per_s": 40e9,
        "core_bytes_per_s": {"Q8_0": 20e9},
        "was_busy": False,
    }
    (home / "hardware.json").write_text(json.dumps(kept))
    monkeypatch.setenv("RUNNER_HOME", str(home))


def test_a_cold_start_is_light_and_imports_nothing_that_computes() -> None:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-X", "importtime", "-m", "runner", "plan"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    total = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = total.ru_utime + total.ru_stime - spent.ru_utime - spent.ru_stime
    imported = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "hermes-4-405b" in answer.stdout
    assert not imported & {"numpy", "llama_cpp", "huggingface_hub", "fastapi", "jinja2"}
    assert seconds < 2  # half a second of an idle processor; other tests share it


def test_the_whole_family_is_one_table_in_under_a_second() -> None:
    run()  # imports
    start = time.process_time()
    table = run()
    assert time.process_time() - start < 1
    for name in ("hermes-tiny", "hermes-4-70b", "hermes-3-llama-3.1-8b"):
        assert re.search(rf"^{re.escape(name)} +(yes|no)", table, re.MULTILINE)
    assert re.search(r"^hermes-4-405b +no .* GiB .*per million tokens \(20\d\d-", table, re.M)


def test_the_family_as_json_has_one_row_a_model() -> None:
    rows = json.loads(run("--json"))
    assert len(rows) >= 20
    [tiny] = [row for row in rows if row["model"] == "hermes-tiny"]
    assert tiny["fits"] and tiny["source"] == "file"
    for row in rows:
        assert row["fits"] == ("plan" in row)


def test_an_impossible_model_shows_the_gap_and_who_hosts_it() -> None:
    text = run("hermes-4-405b")
    assert "hermes-4-405b: no" in text
    assert re.search(r"\d+\.\d GiB are missing", text)
    assert "GPUs with 80 GiB each" in text
    assert re.search(r"\$[\d.]+ in, \$[\d.]+ out per million tokens \(20\d\d-\d\d-\d\d\)", text)
    [row] = json.loads(run("hermes-4-405b", "--json"))
    assert row["missing_bytes"] == row["needed_bytes"] - row["available_bytes"] > 100 * GIB


def test_one_model_shows_the_bar_the_sums_and_what_one_request_holds() -> None:
    text = run("hermes-tiny", "--ctx", "1024")
    assert "from its header" in text
    for part in ("weights", "KV cache, 8192 cells", "compute buffers", "needed"):
        assert part in text
    assert "can be used" in text and "tok/s" in text
    assert "one request holds 1024 tokens, 768 words, 2 pages" in text
    assert "0.75 words a token, 500 words a page" in text


def test_bars_are_as_long_as_the_memory() -> None:
    [bar] = [line for line in run("hermes-tiny").splitlines() if line.startswith("  memory")]
    drawn = re.findall("[█▓▒░·]", bar)
    assert len(drawn) == 56


def test_two_models_stand_side_by_side() -> None:
    lines = run("hermes-3-llama-3.1-8b", "hermes-4-405b").splitlines()
    assert lines[0].split() == ["hermes-3-llama-3.1-8b", "hermes-4-405b"]
    facts = {line[:14].strip(): line[14:] for line in lines[1:]}
    assert set(facts) >= {"memory", "context", "speed here", "hosted", "capabilities"}
    assert "no" in facts["fits here"]


def test_any_file_can_be_planned(tmp_path: Path) -> None:
    shape = HollowShape(4, 512, 8, 2, 1536, 2048, context=4096, head_dim=64)
    path = write_hollow_gguf(tmp_path / "mine.gguf", shape, "Q4_K_M")
    [row] = json.loads(run(str(path), "--json"))
    assert row["fits"] and row["quantization"] == "Q4_K_M"
    assert row["plan"]["context"] == 4096
    assert row["one_request"] == {"tokens": 4096, "words": 3072, "pages": 6.1}


def test_a_damaged_file_is_a_verdict_with_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(20))
    [row] = json.loads(run(str(path), "--json"))
    assert not row["fits"] and "broken.gguf" in row["reason"]


def test_an_unknown_name_is_an_error_with_near_ones() -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean"):
        run("hermes-4-450b")
