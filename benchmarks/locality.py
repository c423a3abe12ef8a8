"""How local region edits are, on held-out heads: the table of docs/editing.md.

    python benchmarks/locality.py --model imhead-open-small --heads 4 --draws 2

Every region of every head is drawn from the prior at 2 sd, in three ways from the same draws: *windowed* (what every
verb does), *plain* (the same parts without a window) and *free* (as NPHM edits: LandmarkNet moves all anchors and the
blend weights follow). Fits of the heads are kept in out/held_out.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from held_out import held_out

from headfield.edit.operations import sample_region
from headfield.edit.regions import parts_of
from headfield.evaluate.locality import Locality, free_edit, measure
from headfield.models.release import load

REGIONS = ("nose", "mouth", "left_ear", "chin")
WAYS = ("windowed", "plain", "free")
COLUMNS = (
    "region", "way", "n", "mean mm 0-10", "10-25", "25-65", "65+", "p99 mm 0-10", "10-25", "25-65", "65+",
    "mean inside, mm", "leakage: mean / worst", "reached", "touched", "border", "same bits where w = 0",
    "unlikely, before -> after", "edits with 2 mm", "s",
)  # fmt: skip


def row(region: str, way: str, found: list[Locality], seconds: float) -> list[str]:
    """One line of the table: means over edits."""

    def mean(pick) -> float:
        return float(np.mean([pick(one) for one in found]))

    leakage = [one.leakage for one in found]
    return [
        region, way, str(len(found)),
        *(f"{mean(lambda one, i=i: one.mean_mm[i]):.2f}" for i in range(4)),
        *(f"{mean(lambda one, i=i: one.p99_mm[i]):.2f}" for i in range(4)),
        f"{mean(lambda one: one.inside_mm):.2f}",
        f"{np.mean(leakage):.0%} / {np.max(leakage):.0%}",
        f"{mean(lambda one: one.reached):.0%}",
        f"{mean(lambda one: one.touched):.0%}",
        f"{mean(lambda one: one.border_mm):.2f}",
        "yes" if all(one.exact for one in found) else "no",
        f"{mean(lambda one: one.unlikely[0]):.2f} -> {mean(lambda one: one.unlikely[1]):.2f}",
        f"{np.mean([one.inside_mm >= 2 for one in found]):.0%}",
        f"{seconds / len(found):.1f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--sd", type=float, default=2.0)
    parser.add_argument("--resolution", type=int, default=128)
    parser.add_argument("--regions", nargs="*", default=list(REGIONS))
    parser.add_argument("--fits", type=Path, default=Path("out/held_out"), help="where fits are kept")
    options = parser.parse_args()
    model = load(options.model)
    heads = [found.head.neutral() for found in held_out(model, options.model, options.heads, options.fits)]
    meshes = [head.mesh(options.resolution) for head in heads]
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for region in options.regions:
        found: dict[str, list[Locality]] = {way: [] for way in WAYS}
        seconds = dict.fromkeys(WAYS, 0.0)
        parts = parts_of(region)
        for head, mesh in zip(heads, meshes):
            for seed in range(1, options.draws + 1):
                for way in WAYS:
                    begin = time.perf_counter()
                    edited = sample_region(head, region, options.sd, seed)
                    if way == "plain":
                        edited = replace(edited, codes=replace(edited.codes, around=None))
                    seconds[way] += time.perf_counter() - begin
                    after = free_edit(head, edited) if way == "free" else None
                    found[way].append(measure(head, edited, mesh, parts, after))
        for way in WAYS:
            print("| " + " | ".join(row(region, way, found[way], seconds[way])) + " |", flush=True)


if __name__ == "__main__":
    main()
