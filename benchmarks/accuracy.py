"""All accuracy rows of docs/results.md in one command, resumable; prints the table that goes there.

    python benchmarks/accuracy.py --model imhead-open-small --split test --workers 2 --out evaluation/test

Each protocol is `headfield evaluate --protocol NAME` with its own folder under --out: tables, every number as JSON, the
five worst cases and six typical ones as pictures. The mean head and the PCA of the same training heads are fitted to
the same points in the same run.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from headfield.evaluate.options import Options
from headfield.evaluate.protocols import PROTOCOLS
from headfield.evaluate.run import evaluate

CAPTURES = {name for name, protocol in PROTOCOLS.items() if protocol.kind in ("capture", "real")}
"""Tests that have a table of their own: benchmarks/captures.py."""

BY_GROUP = ("full-anny", "depth-bald", "haired")
"""Tests that the model card splits by what the people are."""


def number(row: dict, share: bool) -> str:
    """mean / median / p90, or a share."""
    if not row["n"]:
        return "-"
    values = [float(row[key]) for key in ("mean", "median", "p90")]
    return f"{values[0]:.0%}" if share else " / ".join(f"{value:.2f}" for value in values)


def lines_of(folder: Path) -> list[str]:
    """Rows of the table from one finished protocol."""
    content = json.loads((folder / "results.json").read_text())
    shares = {column.name for column in PROTOCOLS[content["protocol"]].columns if column.share}
    rows = []
    for name, column in content["columns"].items():
        goal = "" if column["reach"] is None else f"{'≥' if column['at_least'] else '≤'} {column['reach']:g}"
        cells = [number(column[method], name in shares) for method in ("ours", "mean", "pca")]
        failed = f" ({len(content['failed'])} failed)" if content["failed"] else ""
        where = f"{content['protocol']}: {column['title']}"
        rows.append(f"| {where} | {goal} | {column['ours']['n']}{failed} | {' | '.join(cells)} | {content['date']} |")
    return rows


def group_lines(folder: Path) -> list[str]:
    """Rows of the table by age, gender, group and so on, from one finished protocol."""
    content = json.loads((folder / "results.json").read_text())
    rows = []
    for what, values in content["by_group"].items():
        for value, row in values.items():
            if row["n"]:
                rows.append(f"| {content['protocol']} | {what} | {value} | {row['n']} | {number(row, False)} |")
    return rows


def card_section(out: Path, split: str) -> str:
    """The model card's results: every protocol's numbers, and the first number of each by what the people are."""
    done = [out / name for name in PROTOCOLS if (out / name / "results.json").exists()]
    lines = [
        "## Results",
        "",
        f"Held-out heads of the {split} split; mm where nothing else is said; mean / median / p90.",
    ]
    lines += [f"Command: `python benchmarks/accuracy.py --split {split}`. What is measured: `docs/results.md`.", ""]
    lines += ["| what | reach | n | fit | mean head | PCA | date |", "|---" * 7 + "|"]
    lines += [row for folder in done for row in lines_of(folder)]
    lines += [
        "",
        "By age, gender, group and hair (anny's phenotypes; ICT-FaceKit tells none), first number of each test:",
    ]
    lines += ["", "| test | by | | n | fit: mean / median / p90 |", "|---" * 5 + "|"]
    lines += [row for folder in done if folder.name in BY_GROUP for row in group_lines(folder)]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--truth", default="v1", choices=("v1", "v2"), help="which people the frozen identities are")
    parser.add_argument("--out", type=Path, default=Path("evaluation"))
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument(
        "--only", nargs="*", default=[n for n in PROTOCOLS if n not in CAPTURES], choices=list(PROTOCOLS)
    )
    parser.add_argument("--card", type=Path, help="model card whose results section is replaced")
    options = parser.parse_args()
    for name in options.only:
        begin = time.perf_counter()
        settings = Options(
            model=options.model,
            split=options.split,
            truth=options.truth,
            limit=options.limit,
            resolution=options.resolution,
            workers=options.workers,
        )

        def report(done: int, total: int, case: str, name: str = name, begin: float = begin) -> None:
            print(f"{name}: {done}/{total} {case} {time.perf_counter() - begin:.0f} s", flush=True)

        evaluate(name, options.out / name, settings, report)
        print((options.out / name / "table.md").read_text(), flush=True)
    print("| what | reach | n | fit: mean / median / p90 | mean head | PCA | date |")
    print("|---" * 7 + "|")
    for name in PROTOCOLS:
        if (options.out / name / "results.json").exists():
            print("\n".join(lines_of(options.out / name)))
    if options.card:
        text = options.card.read_text().split("## Results")[0].rstrip()
        options.card.write_text(f"{text}\n\n{card_section(options.out, options.split)}")


if __name__ == "__main__":
    main()
