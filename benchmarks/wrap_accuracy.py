"""How right a wrapped template is: raw scans of synthetic heads with known truth, wrapped with no help at all.

    python benchmarks/wrap_accuracy.py --split dev --limit 8               # ICT-FaceKit's topology on ICT heads
    python benchmarks/wrap_accuracy.py --split test --limit 24 --out evaluation/wrap

The template is the family's mean head in its own frame and unit; the scans have any rotation and unit, 0.12 mm of
noise, strays, holes and (half of them) shoulders; every other one lacks the back of the head, every fourth has hair.
Because the template's topology is the truth's, each vertex's true place is known. The distances:

* scan to surface: points of the scan on skin above the neck to the wrapped surface (the scan's noise is in it);
* truth to surface: the truth's own surface where the scan saw it (within 2 mm of a point) to the wrapped one;
* correspondence: vertices of the face to their true places; `placed` is the same before the template is bent.

ICT needs the folder named by HEADFIELD_DATA. With --out, results are kept and a second run goes on with them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from clock import timed
from scipy.spatial import cKDTree

from headfield.curate.wrap import Wrapped, wrap
from headfield.evaluate.truth import frozen_person
from headfield.models.release import load
from headfield.surface.nearest import Target, sample_surface
from headfield.synth.scanner import SKIN, HeadTruth, scan_head
from headfield.types import Mesh, Scan

COLUMNS = ("scan_mean", "truth_mean", "truth_p90", "placed_median", "face_median", "face_p90", "flipped", "seconds")
NECK = -0.35  # model units: what lies below is cut differently by every head


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--family", choices=("ict", "anny"), default="ict")
    parser.add_argument("--limit", type=int, default=8, help="heads")
    parser.add_argument("--out", type=Path, default=None, help="folder that keeps the results")
    arguments = parser.parse_args()
    kept = None if arguments.out is None else arguments.out / f"{arguments.family}-{arguments.split}.json"
    rows: dict = json.loads(kept.read_text()) if kept is not None and kept.exists() else {}
    model = load("imhead-open-small")
    print("head                      " + " ".join(f"{name:>13s}" for name in COLUMNS))
    for index in range(arguments.limit):
        key = str(index)
        if key not in rows:
            rows[key] = one(model, arguments.family, arguments.split, index)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(rows, indent=1))
        print(f"{rows[key]['name']:25s} " + " ".join(f"{rows[key][name]:13.3f}" for name in COLUMNS), flush=True)
    table = np.array([[rows[str(index)][name] for name in COLUMNS] for index in range(arguments.limit)])
    for name, row in zip(("mean", "median", "p90"), (table.mean(0), np.median(table, 0), np.percentile(table, 90, 0))):
        print(f"{name:25s} " + " ".join(f"{value:13.3f}" for value in row))


def one(model, family: str, split: str, index: int) -> dict:
    """One head: its scan wrapped, and the distances in millimetres."""
    hair = "all" if index % 4 == 3 else "bald"
    person = frozen_person(family, split, index, hair)
    variant = "frontal" if index % 2 else "full"
    scan, truth = scan_head(HeadTruth.of_person(person), variant, np.random.default_rng([31, index]))
    head = person.head
    template = Mesh(head.raw_vertices(mean_identity(head)), head.triangles)
    blind = Scan(scan.points, scan.normals, name=scan.name)
    found: dict = {}
    taken = timed(lambda: found.update(wrapped=wrap(blind, template, model)))
    wrapped: Wrapped = found["wrapped"]
    mm = truth.metres_per_unit * 1000.0
    surface = Mesh(truth.model_from_scan.apply(wrapped.vertices), head.triangles)
    points = truth.model_from_scan.apply(scan.points)
    skin = (truth.labels == SKIN) & (points[:, 1] > NECK)
    measured = Target(surface)
    to_scan = measured.closest(points[skin])[0] * mm
    solid = truth.head
    places = sample_surface(
        Mesh(solid.vertices, solid.triangles), 40_000, np.random.default_rng(0), solid.surface & ~solid.hair
    ).points
    places = places[(cKDTree(points).query(places)[0] * mm < 2) & (places[:, 1] > NECK)]
    to_truth = measured.closest(places)[0] * mm
    face = np.asarray(head.face_mask, bool)
    away = {
        name: np.linalg.norm(truth.model_from_scan.apply(vertices) - person.skin(), axis=1)[face] * mm
        for name, vertices in (("placed", wrapped.placed), ("wrapped", wrapped.vertices))
    }
    return {
        "name": f"{scan.name}{'-hair' if hair == 'all' else ''}",
        "scan_mean": float(to_scan.mean()),
        "truth_mean": float(to_truth.mean()),
        "truth_p90": float(np.percentile(to_truth, 90)),
        "placed_median": float(np.median(away["placed"])),
        "face_median": float(np.median(away["wrapped"])),
        "face_p90": float(np.percentile(away["wrapped"], 90)),
        "flipped": wrapped.registration.flipped,
        "seconds": taken.cpu,
    }


def mean_identity(head) -> np.ndarray:
    """The identity of the family's mean head."""
    return head.mean_identity() if callable(getattr(head, "mean_identity", None)) else np.zeros(head.n_identity)


if __name__ == "__main__":
    main()
