"""`runner bench`: real figures of the bundled model, kept and drawn; and the plot of `usage`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from runner.cli import bench, usage
from runner.cli.bar import bar
from runner.cli.measurement import Stream, Work, steady_tokens_per_s
from runner.engine.messages import Load
from runner.ledger import AnswerRow, Budget, Ledger
from runner.types import Timings

app = typer.Typer()
app.command("bench")(bench.command)
app.command("usage")(usage.command)

SMALL = ("--streams", "2", "--prompt-tokens", "64", "--tokens", "8", "--rounds", "1")


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_bundled_model_is_measured_and_the_figures_are_kept() -> None:
    facts = json.loads(run("bench", "hermes-tiny", "--json", *SMALL))
    assert facts["model"] == "hermes-tiny" and facts["num_prompt_tokens"] == 64
    assert [speed["streams"] for speed in facts["decode"]] == [1, 2]
    for value in (
        facts["load_s"],
        facts["first_token_s"],
        facts["prompt_tokens_per_s"],
        facts["memory_bytes"],
        *(speed["tokens_per_s"] for speed in facts["decode"]),
    ):
        assert value > 0
    kept = bench.read_kept(Path(os.environ["RUNNER_HOME"]) / bench.FILE_NAME)
    assert kept == {"hermes-tiny": facts}


def test_figures_of_other_models_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "bench.json"
    bench.keep(path, {"model": "a", "load_s": 1})
    bench.keep(path, {"model": "b", "load_s": 2})
    bench.keep(path, {"model": "a", "load_s": 3})
    assert {name: facts["load_s"] for name, facts in bench.read_kept(path).items()} == {
        "a": 3,
        "b": 2,
    }


def test_the_picture_has_a_bar_for_each_speed() -> None:
    facts = {
        "model": "m",
        "quantization": "Q4_K_M",
        "version": "0.1.0",
        "at": "2026-11-20T12:00:00+00:00",
        "machine": {
            "processor": "P",
            "physical_cores": 2,
            "memory_bytes": 2**34,
            "gpus": [],
            "load_average": 0.1,
        },
        "settings": {"gpu_layers": 0},
        "num_threads": 2,
        "load_s": 0.5,
        "num_prompt_tokens": 512,
        "first_token_s": 0.25,
        "prompt_tokens_per_s": 400.0,
        "decode": [{"streams": 1, "tokens_per_s": 100.0}, {"streams": 8, "tokens_per_s": 200.0}],
        "memory_bytes": 2**30,
    }
    lines = list(bench.page(facts, 80))
    assert lines[:2] == ["m Q4_K_M", "P, 2 cores, 16 GiB; 2 threads, nothing on a GPU"]
    lengths = [len(re.findall("█", line)) for line in lines if "tokens/s" in line]
    assert lengths == [52, 13, 26]
    assert "first token after 250 ms" in lines[-2] and all(len(line) <= 80 for line in lines)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.integers(1, 80))
def test_a_bar_never_leaves_its_room_and_something_is_never_nothing(
    value: float, most: float, width: int
) -> None:
    drawn = bar(value, most, width)
    assert len(drawn) <= width
    assert bool(drawn) == (value > 0 and most > 0)


@given(st.integers(1, 64))
def test_streams_double_up_to_the_most(num_streams: int) -> None:
    counts = Work(num_streams=num_streams).stream_counts()
    assert counts[0] == 1 and counts[-1] == num_streams
    assert counts == sorted(set(counts))


def test_the_work_stays_within_what_the_engine_holds() -> None:
    load = Load(["x"], context=256, parallel=2, num_cells=512, threads=1)
    work = Work(num_prompt=4096, num_tokens=4096, num_streams=64).within(load)
    assert work.num_prompt + work.num_tokens < 256 and work.num_streams == 2


def test_only_the_time_when_all_streams_run_counts() -> None:
    timings = Timings()
    early = Stream(0.0, (1.0, 2.0, 3.0, 4.0), timings)
    late = Stream(0.0, (2.0, 3.0, 4.0, 5.0, 6.0), timings)
    assert steady_tokens_per_s([early, late]) == pytest.approx(4 / 2)
    apart = [Stream(0.0, (1.0, 2.0), timings), Stream(0.0, (3.0, 4.0), timings)]
    assert steady_tokens_per_s(apart) == pytest.approx(4 / 4)


def test_an_empty_ledger_has_nothing_to_draw() -> None:
    assert run("usage", "--plot") == "nothing has been answered yet\n"


def test_the_plot_has_two_bars_a_day() -> None:
    ledger = Ledger.open(Path(os.environ["RUNNER_HOME"]), Budget())
    for avoided_nusd in (2_000_000, 1_000_000):
        ledger.record(
            AnswerRow("r", "hermes-tiny", "local", "", "ok", 10, 5, avoided_nusd=avoided_nusd)
        )
    ledger.close()
    lines = run("usage", "--plot").splitlines()
    assert len(lines) == 4
    assert re.match(r"20\d\d-\d\d-\d\d  spent .* \$0\.000000$", lines[0])
    assert "█" in lines[1] and lines[1].endswith("$0.003000")
    assert lines[3] == "$0.000000 spent, $0.003000 avoided"
