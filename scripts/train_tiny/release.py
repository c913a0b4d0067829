"""Release: from a finished checkpoint to the shipped model file and its card.

    python -m scripts.train_tiny.release --work DIR

Measures the exported file through llama.cpp, writes the scores into its metadata, and writes
the model card beside it.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from .card import card
from .evaluate import SHIPPED, measure
from .export import export
from .scores import table


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--target", type=Path, default=SHIPPED)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    export(options.work, options.target)
    rows = measure(options.target, options.count, misses=options.work / "misses.jsonl")
    scores = json.dumps([asdict(row) for row in rows], indent=1)
    (options.work / "scores.json").write_text(scores + "\n", encoding="utf-8")
    export(options.work, options.target, {row.key: row.score for row in rows})
    options.target.with_suffix(".md").write_text(card(options.target, rows), encoding="utf-8")
    print(table(rows))
    print(json.dumps({"file": options.target.name, "bytes": options.target.stat().st_size}))


if __name__ == "__main__":
    main()
