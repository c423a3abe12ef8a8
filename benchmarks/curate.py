"""Curation of raw scans with known truth: what every stage gets wrong, scans an hour, memory of a worker.

    python benchmarks/curate.py --people 8 --expressions 1 --workers 2 --out evaluation/curate
    python benchmarks/curate.py --people 8 --expressions 1 --engine ray --workers 2 --out evaluation/curate_ray
    python benchmarks/curate.py --people 16 --expressions 1 --workers 2 --out evaluation/curate --train 600

The scans are those of `raw_scans.py` (60,000 points in any rotation, place and unit; every other person without the
back of the head, a quarter with hair), one at rest and some with random expressions of each person. Everything is
measured in the true model frame and in true millimetres, against the surface that the scanner saw and the fit never
sees; medians and 90th percentiles are over scans. --train also trains a model on the curated store and on the same
people's true heads, for so many steps, and fits both to scans of full heads of people of the other split.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from completion import areas_of, invented
from raw_scans import FAMILIES, POINTS, STREAM, raw_scan

from headfield.curate.gather import gather
from headfield.curate.options import CurateOptions
from headfield.curate.outcomes import WORK
from headfield.curate.pipeline import curate
from headfield.curate.records import read_record
from headfield.curate.report import write_report
from headfield.curate.stages import placement_of
from headfield.evaluate.truth import truth_of
from headfield.fit.gate import FACE_PARTS
from headfield.io.store import Record
from headfield.io.store_writer import StoreWriter
from headfield.surface.nearest import Target, sample_surface
from headfield.surface.visibility import visible_triangles
from headfield.synth.generate import person_arrays
from headfield.synth.identities import frozen
from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head
from headfield.types import Mesh, Similarity

COLUMNS = {
    "landmarks": "landmarks: median of the 68, mm",
    "align": "alignment: mean of the face anchors, mm",
    "parametric": "parametric fit: true face to it, median, mm",
    "seen": "completed: true surface that was seen to it, mean, mm",
    "back": "completed: true back of the head to it, scans without the back, mean, mm",
    "unseen": "completed: all of the true head that was not seen to it, scans without the back, mean, mm",
    "hidden": "completed: what shoulders, hair and lips hide in the other scans to it, mean, mm",
    "invented": "completed: it to the true head, above the neck, mean, mm",
    "surface": "registered: seen truth to it, mean, mm",
    "flipped": "registered: inverted triangles of the skin, share",
    "correspondence": "registered: vertices of the face, median, mm (people of the template's family)",
    "canonical": "store: neutral place of posed face points, median, mm (the same)",
}


def person_scans(split: str, number: int, expressions: int):
    """The person, and of each scan its name, the scan, its truth, its expression and whether the back is missing."""
    raw = raw_scan(split, number)
    yield "neutral", raw.scan, raw.truth, None, raw
    for index, weights in enumerate(raw.person.expressions(expressions)[1:]):
        rng = np.random.default_rng([*raw.person.key.rng("scan").integers(0, 2**31, 2), STREAM, index])
        truth = HeadTruth.of_person(raw.person, weights)
        variant = "frontal" if raw.frontal else "full"
        scan, secret = scan_head(truth, variant, rng, ScanOptions(points=POINTS))
        yield f"smirk_{index}", scan, secret, weights, raw


def write_scans(folder: Path, split: str, people: int, expressions: int) -> None:
    """The folder that is curated; scans that are there are kept."""
    for number in range(people):
        family, index = FAMILIES[number % 2], number // 2
        place = folder / f"{family}-{split}-{index:05d}"
        if len(list(place.glob("*.npz"))) == 1 + expressions:
            continue
        place.mkdir(parents=True, exist_ok=True)
        for name, scan, *_ in person_scans(split, number, expressions):
            np.savez(place / f"{name}.npz", points=scan.points.astype(np.float32), normals=scan.normals)


def errors_of(out: Path, split: str, number: int, expressions: int, family: str) -> list[dict]:
    """What every stage got wrong on the scans of a person."""
    rows = []
    rest: tuple[np.ndarray, np.ndarray] | None = None
    for name, scan, secret, weights, raw in person_scans(split, number, expressions):
        person, folder = raw.person, out / WORK / raw.name
        truth_skin = person.skin(weights)
        row = {"person": raw.name, "scan": name, "frontal": raw.frontal, "hair": person.hair_class}
        rows.append(row)
        records = {stage: read_record(folder / name, stage) for stage in ("landmarks", "align", "complete", "register")}
        records["parametric"] = read_record(folder, "parametric")
        if any(record is None or not record.done for record in records.values()):
            row["lost"] = next(
                (
                    f"{stage}: {record.reason if record else 'not reached'}"
                    for stage, record in records.items()
                    if record is None or not record.done
                ),
                "",
            )
            continue
        mm = secret.metres_per_unit * 1000.0
        marks = records["landmarks"].arrays()
        if "points" in marks:
            true_marks = person.head.landmarks68(truth_skin)
            gap = np.linalg.norm(secret.model_from_scan.apply(marks["points"]) - true_marks, axis=1)
            row["landmarks"] = float(np.nanmedian(gap) * mm)
        placed = placement_of(records["align"].arrays())
        anchors = secret.model_from_scan.inverse().apply(person.head.anchors(truth_skin))[FACE_PARTS]
        gap = np.linalg.norm(placed.apply(anchors) - person.head.anchors(truth_skin)[FACE_PARTS], axis=1)
        row["align"] = float(gap.mean() * mm)

        fitted = records["parametric"].arrays()
        which = sorted(path.parent.name for path in folder.glob("*/align.json"))
        order = ["neutral", *(other for other in which if other != "neutral")]
        index = order.index(name)
        to_truth = secret.model_from_scan.after(placement_of(fitted, index).inverse())
        solid = person.solid(weights)
        truth = truth_of(person, solid)
        face = truth.mesh.vertices[np.flatnonzero(truth.face)]
        fit_mesh = Mesh(to_truth.apply(fitted["posed"][index]), fitted["triangles"])
        row["parametric"] = float(np.median(Target(fit_mesh).closest(face)[0]) * mm)

        done = records["complete"].arrays()
        mesh = Mesh(to_truth.apply(done["vertices"].astype(float)), done["triangles"].astype(np.int64))
        target = Target(mesh, visible_triangles(mesh))
        rng = np.random.default_rng(0)
        places = sample_surface(truth.mesh, 20_000, rng, truth.visible & ~truth.cap).points
        points = secret.model_from_scan.apply(scan.points)
        areas = areas_of(places, points, person.anchors, mm)
        away = target.closest(places)[0] * mm
        areas["hidden"] = areas["unseen"]
        for area in ("seen", *(("back", "unseen") if raw.frontal else ("hidden",))):
            if areas[area].sum() > 100:
                row[area] = float(away[areas[area]].mean())
        row["invented"] = invented(mesh, Target(truth.mesh), person.anchors, mm)
        template = Mesh(to_truth.apply(records["register"].arrays()["vertices"]), fitted["triangles"])
        row["surface"] = float(Target(template).closest(places[areas["seen"]])[0].mean() * mm)
        row["flipped"] = records["register"].facts["inverted"]
        row["seconds"] = {stage: record.seconds for stage, record in records.items()}
        row["verdict"] = records["register"].facts
        if person.key.family == family and person.beard is None:
            registered = to_truth.apply(records["register"].arrays()["vertices"])
            mask = np.asarray(person.head.face_mask)
            row["correspondence"] = float(np.median(np.linalg.norm(registered - truth_skin, axis=1)[mask]) * mm)
            if weights is None:
                rest = truth_skin, registered
            elif rest is not None:
                # any point of the posed face by the template to the neutral head
                on = Target(Mesh(registered, fitted["triangles"])).closest(truth_skin[mask])[1]
                places = on.interpolate(Mesh(rest[1], fitted["triangles"]), rest[1])
                row["canonical"] = float(np.median(np.linalg.norm(places - rest[0][mask], axis=1)) * mm)
    return rows


def table(rows: list[dict]) -> str:
    """Numbers of all scans."""
    lost = [row for row in rows if "lost" in row]
    lines = [f"{len(rows)} scans, {len(lost)} lost", "", "| what | n | mean | median | p90 |", "|---|---|---|---|---|"]
    for name, title in COLUMNS.items():
        values = np.array([row[name] for row in rows if name in row])
        if len(values):
            told = (values.mean(), np.median(values), np.percentile(values, 90))
            lines.append(f"| {title} | {len(values)} | " + " | ".join(f"{value:.2f}" for value in told) + " |")
    lines += [f"lost: {row['person']}/{row['scan']} at {row['lost']}" for row in lost]
    return "\n".join(lines)


def perfect_store(out: Path, split: str, people: int, expressions: int, options: CurateOptions) -> None:
    """The same people's true heads, sampled as `headfield synth` does."""
    bounds = np.array(frozen()["box"])
    writer = StoreWriter(
        out,
        {"made_by": "benchmarks/curate.py"},
        box=bounds,
        points=options.points,
        samples=options.samples,
        families=list(FAMILIES),
    )
    for number in range(people):
        person = raw_scan(split, number).person
        if person.key.id in writer:
            continue
        arrays, _ = person_arrays(person, expressions, options.points, options.samples, bounds)
        writer.add(
            Record(
                person.key.id,
                person.key.family,
                "train",
                person.hair_class,
                person.beard_class,
                person.log_size,
                1 + expressions,
                {},
                f"{person.key.family}/{person.key.id}",
            ),
            arrays,
        )


def held_out_chamfer(store: Path, run: Path, steps: int, heads: int, preset: str, split: str) -> np.ndarray:
    """Train on a store, then fit held-out scans of full heads: Chamfer distances (n, 2) of head and face, mm."""
    from headfield.evaluate.metrics import evaluate_pair
    from headfield.fit.run import fit
    from headfield.models.release import load
    from headfield.train import loop
    from headfield.train.config import TrainConfig
    from headfield.train.release import release_run
    from headfield.train.trainer import start

    release = run.with_name(run.name + "_release")
    if not release.exists():
        loop.run(start(TrainConfig(store, run, preset=preset, steps=steps, heads=8)))
        release_run(run, store, release)
    model, found = load(release), []
    for number in range(heads):
        raw = raw_scan(split, 4 * number + number % 2)  # full heads, families in turn, half with hair
        got = fit(raw.scan, model, expression="neutral", refuse=False)
        truth = truth_of(raw.person, raw.person.neutral)
        to_truth: Similarity = raw.truth.model_from_scan.after(got.placement.inverse())
        mesh = got.mesh(160, model_frame=True).transformed(to_truth)
        scores = evaluate_pair(mesh, truth, mm_per_unit=raw.truth.metres_per_unit * 1000)
        found.append((scores.whole.chamfer_l1_mm, scores.face.chamfer_l1_mm))
    return np.array(found)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=("dev", "test"), help="who is curated")
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--expressions", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--engine", default="local", choices=("local", "ray"))
    parser.add_argument("--family", default="ict", choices=FAMILIES)
    parser.add_argument("--out", type=Path, default=Path("evaluation/curate"))
    parser.add_argument("--train", type=int, default=0, metavar="STEPS")
    parser.add_argument("--preset", default="tiny", choices=("tiny", "small"))
    parser.add_argument("--held-out", type=int, default=6)
    args = parser.parse_args()

    write_scans(args.out / "scans", args.split, args.people, args.expressions)
    options = CurateOptions(family=args.family)
    store, begin = args.out / "store", time.perf_counter()
    found = gather(args.out / "scans")
    outcomes = curate(
        found.subjects,
        store,
        options,
        engine=args.engine,
        workers=args.workers,
        progress=lambda done, total, o: print(f"{done}/{total} {o.id} {o.outcome} {o.reason}", flush=True),
    )
    wall = time.perf_counter() - begin
    write_report(store, found.skipped, options.limits)
    scans = args.people * (1 + args.expressions)
    if all(outcome.fresh for outcome in outcomes):
        rate = 3600 * scans / wall
        print(f"{args.engine}, {args.workers} workers: {scans} scans in {wall:.0f} s, {rate:.0f} an hour")
    worked = sum(sum((o.seconds or {}).values()) + sum(sum(s.seconds.values()) for s in o.scans) for o in outcomes)
    most = max(outcome.peak_mb for outcome in outcomes) / 1024
    print(
        f"{worked / scans:.1f} s of a core per scan: {3600 * scans / worked:.0f} an hour on each free core; "
        f"at most {most:.2f} GiB in a worker"
    )
    stages = Counter()
    for outcome in outcomes:
        stages.update(outcome.seconds or {})
        for scan in outcome.scans:
            stages.update(scan.seconds)
    print(", ".join(f"{stage} {spent / scans:.1f} s" for stage, spent in stages.most_common()))
    rows = [row for n in range(args.people) for row in errors_of(store, args.split, n, args.expressions, args.family)]
    print(table(rows))
    (args.out / "errors.json").write_text(json.dumps({"options": asdict(options), "rows": rows}, indent=1))
    if args.train:
        perfect_store(args.out / "perfect", args.split, args.people, args.expressions, options)
        held = "dev" if args.split == "test" else "test"  # people of the other split
        for name in ("store", "perfect"):
            run = args.out / f"run_{name}_{args.preset}_{args.train}"
            values = held_out_chamfer(args.out / name, run, args.train, args.held_out, args.preset, held)
            (head, face), (head50, face50) = values.mean(0), np.median(values, axis=0)
            print(
                f"trained {args.train} steps ({args.preset}) on {name}: held-out Chamfer, mean / median: whole head "
                f"{head:.3f} / {head50:.3f} mm, face {face:.3f} / {face50:.3f} mm, n = {len(values)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
