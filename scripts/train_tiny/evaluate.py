"""Evaluation: every skill on held-out prompts, greedy, through llama.cpp.

    python -m scripts.train_tiny.evaluate [MODEL.gguf]

Prints the table of skills and exits with 1 when a floor is missed.
"""

import argparse
import json
import multiprocessing
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .answers import message_of
from .held_out import Case, held_out
from .scores import FLOORS, REPORTED, Row, table
from .writer import Writer

SHIPPED = Path(__file__).parents[2] / "runner/data/hermes-tiny.gguf"
SEED = 77001
_SLICE = 25
_writer: Writer | None = None


def _start(path: Path) -> None:
    global _writer
    _writer = Writer(path)


def _judge(job: tuple[str, bool, int, int]) -> tuple[str, bool, int, int, list[dict[str, Any]]]:
    """Answer a slice of a skill's cases; gives the rights and up to a few wrong answers."""
    skill, unseen, count, seed = job
    cases = held_out(skill, count, seed, unseen)
    right, wrong = 0, []
    for case in cases:
        asked: Case | None = case
        while asked:
            assert _writer
            text = _writer.answer(asked.prompt())
            if not asked.check(message_of(text)):
                wrong.append({"skill": skill, "asked": asked.messages[-3:], "answer": text})
                break
            asked = asked.then
        right += asked is None
    return skill, unseen, right, count, wrong


def _slices(count: int, skill: str) -> int:
    """Skills without a floor get half the prompts."""
    return max(1, (count if skill in FLOORS else count // 2) // _SLICE)


def measure(
    path: Path, count: int, workers: int = 2, skills: list[str] | None = None,
    misses: Path | None = None,
) -> list[Row]:  # fmt: skip
    """The table for a model file."""
    chosen = skills or [*FLOORS, *REPORTED]
    jobs = [
        (skill, unseen, _SLICE, SEED + part)
        for skill in chosen
        for unseen in (False, True)
        for part in range(_slices(count, skill))
    ]
    totals: dict[tuple[str, bool], list[int]] = defaultdict(lambda: [0, 0])
    wrong: list[dict[str, Any]] = []
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(workers, _start, (path,)) as pool:
        for skill, unseen, right, asked, several in pool.imap(_judge, jobs):
            totals[skill, unseen][0] += right
            totals[skill, unseen][1] += asked
            wrong += several
    if misses:
        lines = (json.dumps(item, ensure_ascii=False) for item in wrong)
        misses.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [Row(s, u, right, n) for (s, u), (right, n) in totals.items()]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=SHIPPED)
    parser.add_argument("--count", type=int, default=200, help="prompts for each skill")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--skills", nargs="*")
    parser.add_argument("--misses", type=Path, help="write the wrong answers here")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    rows = measure(options.model, options.count, options.workers, options.skills, options.misses)
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    print(table(rows))
    missed = [row.key for row in rows if not row.passed]
    print(f"\nMissed: {', '.join(missed)}" if missed else "\nEvery floor is reached.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
