"""Explicit heads fitted to raw scans of people whom no training saw: in their own family and in the other.

    python benchmarks/parametric_fit.py --split test --count 100 --out evaluation/parametric

The scans are those of `raw_scans.py`; every second person of each family wears one of the frozen random expressions
(--neutral leaves all at rest). The head is found by `headfield.fit`'s search, without landmarks. Each family is then
fitted to every scan: ICT-FaceKit, anny, and the PCA of the ICT and of the anny training heads; beside them the mean
head of ICT-FaceKit, which only moves. Three numbers a scan, all of the face region:

* scan to model: median distance of the scan's face points to the fitted head;
* truth: Chamfer distance between the fitted head's face and the true one's, which the fit never sees;
* at rest: the same of both heads at rest, for scans with an expression: is identity told from expression?

Resumable: a scan's numbers are kept in --out. Prints the table of docs/parametric.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from raw_scans import FAMILIES, POINTS, RawScan, raw_scan

from headfield.curate.parametric_fit import ParametricFit, fit_parametric
from headfield.curate.parametric_options import ParametricOptions
from headfield.curate.parametric_target import ScanTarget
from headfield.errors import HeadfieldError
from headfield.evaluate.baselines import MEAN_GATE, training_pca
from headfield.evaluate.metrics import Truth, evaluate_pair
from headfield.evaluate.truth import millimetres, truth_of
from headfield.fit.gate import Gate
from headfield.fit.mean_field import class_fields, mean_field_of
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement, PlacementOptions
from headfield.fit.search import place
from headfield.fit.trial import best_trial
from headfield.models.release import load
from headfield.surface.nearest import Target
from headfield.surface.visibility import visible_triangles
from headfield.synth.person import family
from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head

METHODS = {
    "ict": "ICT-FaceKit",
    "anny": "anny",
    "pca-ict": "PCA of ICT heads",
    "pca-anny": "PCA of anny heads",
    "mean": "mean head",
}
MEAN = ParametricOptions(gate=Gate(0.08, MEAN_GATE, 12), rigid_steps=1000, expression="neutral", pose=False)
REACH_MM = 1.0
STREAM = 78
"""Random stream of the posed scans; those at rest have the one of `raw_scans.py`."""


@cache
def fitted_family(method: str):
    """The family that a method fits."""
    if method.startswith("pca-"):
        return training_pca(method[4:], posed=True)
    return family("ict" if method == "mean" else method)[0]


def observed(split: str, number: int, neutral: bool) -> tuple[RawScan, np.ndarray | None]:
    """A raw scan and its expression, None at rest."""
    raw = raw_scan(split, number)
    index = number // 2
    if neutral or index % 4 < 2:
        return raw, None
    person = raw.person
    expression = person.expressions(20)[1 + index % 20]
    rng = np.random.default_rng([*person.key.rng("scan").integers(0, 2**31, 2), STREAM])
    truth = HeadTruth.of_person(person, expression)
    scan, secret = scan_head(truth, "frontal" if raw.frontal else "full", rng, ScanOptions(points=POINTS))
    return replace(raw, scan=replace(scan, name=raw.name, units=None), truth=secret), expression


def placed(raw: RawScan, model: str) -> Placement:
    """Where the head is, by the search of `headfield.fit`."""
    net = load(model)
    field, prior, options = mean_field_of(net), net.prior, FitOptions()
    wanted = PlacementOptions(size_mean=float(prior.size_mean), size_sd=float(prior.size_sd))
    cloud = replace(raw.scan, normals=None)
    return best_trial(net, field, cloud, place(cloud, field, wanted, class_fields(net)), options).placement


def measured(fit: ParametricFit, raw: RawScan, truth: Truth, rest: Truth) -> dict[str, float]:
    """The numbers of one fit, against the head as it was scanned and at rest."""
    found = fit.scans[0]
    mm = millimetres(raw.person)
    true_frame = raw.truth.model_from_scan
    to_true = true_frame.after(found.placement.similarity.inverse())
    points = true_frame.apply(raw.scan.points)
    distance, foot = Target(truth.mesh, truth.visible).closest(points)
    face = (foot.interpolate(truth.mesh, truth.face) > 0.5) & (distance * mm < 3.0)
    mesh = fit.mesh(0).transformed(to_true)
    visible = visible_triangles(mesh)
    gap = Target(mesh, visible).closest(points[face])[0] * mm
    pair = evaluate_pair(mesh, truth, visible=visible, samples=30_000, mm_per_unit=mm)
    numbers = {
        "scan": float(np.median(gap)),
        "scan_p90": float(np.percentile(gap, 90)),
        "truth": float(pair.face.chamfer_l1_mm),
        "whole": float(pair.whole.chamfer_l1_mm),
        "expression": float(np.abs(found.expression).sum()),
    }
    if rest is not truth:
        calm = fit.mesh().transformed(to_true)
        seen = visible_triangles(calm)
        still = evaluate_pair(calm, rest, visible=seen, samples=30_000, mm_per_unit=mm)
        numbers["rest"] = float(still.face.chamfer_l1_mm)
    return numbers


def run(split: str, number: int, neutral: bool, model: str, methods: list[str]) -> dict:
    """All numbers of one scan."""
    raw, expression = observed(split, number, neutral)
    begin = time.perf_counter()
    placement = placed(raw, model)
    row = {
        "name": raw.name,
        "frontal": raw.frontal,
        "hair": raw.person.hair is not None,
        "posed": expression is not None,
        "seconds": {"place": time.perf_counter() - begin},
        "methods": {},
    }
    person = raw.person
    rest = truth_of(person, person.neutral)
    truth = rest if expression is None else truth_of(person, person.solid(expression))
    off = raw.truth.model_from_scan.after(placement.similarity.inverse()).apply(person.anchors) - person.anchors
    row["placement_mm"] = float(np.linalg.norm(off, axis=1).mean() * millimetres(person))
    for method in methods:
        begin = time.perf_counter()
        options = MEAN if method == "mean" else ParametricOptions()
        fit = fit_parametric(fitted_family(method), [ScanTarget(raw.scan, placement)], options)
        row["seconds"][method] = time.perf_counter() - begin
        row["methods"][method] = measured(fit, raw, truth, rest)
    return row


def table(rows: list[dict], methods: list[str]) -> str:
    """Median and p90 over scans by fitted family (rows) and scanned family."""
    lines = [
        "| fitted | scans of | n | scan to model, mm: median / p90 | within 1 mm | truth, mm: median / p90 "
        "| at rest, mm: median / p90 | seconds |",
        "|---" * 8 + "|",
    ]
    for method in methods:
        for source in (*FAMILIES, "all"):
            chosen = [row for row in rows if source in (row["name"].split("-")[0], "all")]
            found = [row["methods"][method] for row in chosen]
            scan, true = (np.array([values[key] for values in found]) for key in ("scan", "truth"))
            rest = np.array([values["rest"] for values in found if "rest" in values])
            cells = [f"{np.median(v):.2f} / {np.percentile(v, 90):.2f}" if len(v) else "" for v in (scan, true, rest)]
            seconds = f"{np.median([row['seconds'][method] for row in chosen]):.1f}"
            share = f"{(scan <= REACH_MM).mean():.0%}"
            line = [METHODS[method], source, str(len(chosen)), cells[0], share, *cells[1:], seconds]
            lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--neutral", action="store_true")
    parser.add_argument("--model", default="imhead-open-small", help="whose mean heads the search uses")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--out", type=Path, default=Path("evaluation/parametric"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows, failed = [], []
    for number in range(options.count):
        path = options.out / f"{options.split}-{number:03d}.json"
        if not path.exists():
            try:
                row = run(options.split, number, options.neutral, options.model, options.methods)
            except HeadfieldError as error:
                failed.append(f"scan {number}: {error}")
                continue
            path.write_text(json.dumps(row, indent=1))
        rows.append(json.loads(path.read_text()))
        shown = {name: f"{values['scan']:.2f}/{values['truth']:.2f}" for name, values in rows[-1]["methods"].items()}
        print(rows[-1]["name"], f"placed {rows[-1]['placement_mm']:.1f} mm", shown, flush=True)
    print(table(rows, options.methods))
    print("\n".join(failed))


if __name__ == "__main__":
    main()
