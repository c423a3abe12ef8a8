"""Completion of raw scans of people that the model never saw: how well the unseen is guessed and the seen is kept.

    python benchmarks/completion.py --split test --count 100 --pictures pictures/

Scans come in any orientation and unit, of 60,000 points, with holes, noise, strays and (half of them) shoulders; half
of them lack the back of the head, a quarter wear hair. Distances are from the hidden truth to the completed surface, in
true millimetres; *seen* is the truth within 4 mm of the scan's points, *unseen* what is farther than 6 mm. The neck is
told apart: shoulders hide it, and where a neck is cut is a convention. *Invented* goes the other way, from all of the
completed head above the neck to the truth. The model alone is the baseline.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from headfield.curate.complete import complete
from headfield.errors import HeadfieldError
from headfield.evaluate.observe import ScanKind, observe
from headfield.evaluate.truth import frozen_person, truth_of
from headfield.fit.run import fit
from headfield.frames import ANCHOR_NAMES
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target, sample_surface
from headfield.synth.scanner import ScanOptions
from headfield.types import Mesh

NECK = np.array([name.startswith(("neck", "throat")) for name in ANCHOR_NAMES])
BACK = np.array([name.startswith(("head_back", "nape", "crown")) for name in ANCHOR_NAMES])
SEED = 20261125
"""Frozen before the test split was first run."""


def person_and_kind(split: str, number: int):
    """Family and hair go round so that every kind of scan has its quarter of hair."""
    family = ("ict", "anny")[number % 2]
    variant = "frontal" if (number // 2) % 2 == 0 else "full"
    hair = "all" if number % 4 == (number // 8) % 4 else "bald"
    return frozen_person(family, split, number // 2, hair), variant, hair


def run(model, split: str, number: int, resolution: int, pictures: Path | None) -> dict:
    """One scan.

    Raises:
        HeadfieldError: No head was found in it.
    """
    person, variant, hair = person_and_kind(split, number)
    kind = ScanKind(variant, ScanOptions(), tells=False)
    seen = observe(person, None, kind, np.random.default_rng([SEED, number]), person.key.id)
    found = fit(seen.scan, model, expression="neutral", refuse=False)
    mm = found.scans[0].mm_per_unit
    to_fit = found.placement.after(seen.truth.inverse())
    points = found.placement.apply(seen.scan.points)
    begin = time.perf_counter()
    done = complete(model, found.codes(), points, mm_per_unit=mm, resolution=resolution)
    seconds = time.perf_counter() - begin
    truth = truth_of(person, person.neutral)
    mesh = Mesh(to_fit.apply(truth.mesh.vertices), truth.mesh.triangles)
    places = sample_surface(mesh, 40_000, np.random.default_rng(0), truth.visible & ~truth.cap).points
    areas = areas_of(places, points, to_fit.apply(person.anchors), mm)
    row = {"name": person.key.id, "variant": variant, "hair": person.hair_class, "seconds": seconds} | done.facts()
    plain = mesh_of(model, found.codes(), resolution)
    true = Target(mesh)
    for method, surface in (("model", plain), ("ours", done.mesh)):
        distance = Target(surface).closest(places)[0] * mm
        for area, mask in areas.items():
            row[f"{area} {method}"] = float(distance[mask].mean()) if mask.sum() > 200 else float("nan")
        row[f"invented {method}"] = invented(surface, true, to_fit.apply(person.anchors), mm)
    if pictures is not None:
        _picture(done.mesh, mesh, pictures / f"{number:03d}_{person.key.id}_{variant}.png")
    return row


def areas_of(places: np.ndarray, points: np.ndarray, anchors: np.ndarray, mm: float) -> dict[str, np.ndarray]:
    """Masks (N,) of true surface places by name: seen, unseen, the back and the neck of what is unseen."""
    gap = cKDTree(points).query(places, k=3)[0][:, 2] * mm  # the third: a stray makes nothing seen
    near = cKDTree(anchors).query(places)[1]
    return {
        "seen": (gap < 4) & ~NECK[near],
        "back": (gap > 6) & BACK[near],
        "unseen": (gap > 6) & ~NECK[near],
        "neck": (gap > 6) & NECK[near],
    }


def invented(surface: Mesh, true: Target, anchors: np.ndarray, mm: float) -> float:
    """Mean distance of a head's surface above the neck to the true one: what is there and should not be, too."""
    places = sample_surface(surface, 20_000, np.random.default_rng(1)).points
    places = places[~NECK[cKDTree(anchors).query(places)[1]]]
    return float(true.closest(places)[0].mean() * mm)


def _picture(mesh: Mesh, truth: Mesh, path: Path) -> None:
    from headfield.surface.sheet import contact_sheet, write_png
    from headfield.surface.snapshot import render

    seen = mesh.attributes["seen"][:, None]
    colours = np.where(seen, [205, 190, 180, 255], [120, 150, 210, 255]).astype(np.uint8)
    plain = Mesh(mesh.vertices, mesh.triangles)
    views = ("front", "three_quarter", "left", "back")
    tiles = [render(plain, view=view, size=360) for view in views]
    tiles += [render(plain, view=view, size=360, colours=colours) for view in views]
    tiles += [render(truth, view=view, size=360) for view in views]
    names = [f"completed, {view}" for view in views] + ["blue: from the model"] * 4 + ["truth"] * 4
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(contact_sheet(tiles, 4, names), path)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--pictures", type=Path, default=None, help="folder for one contact sheet per scan")
    options = parser.parse_args()
    model, rows, failed = load(options.model), [], 0
    for number in range(options.count):
        try:
            row = run(model, options.split, number, options.resolution, options.pictures)
        except HeadfieldError as error:
            failed += 1
            print(f"  {number}: {error}", flush=True)
            continue
        rows.append(row)
        told = " ".join(f"{key} {value:.2f}" for key, value in row.items() if isinstance(value, float))
        print(f"  {row['name']} {row['variant']} {row['hair']}: {told}", flush=True)
    print(f"\n{options.split}: {len(rows)} scans, {failed} without a head\n")
    print("| what (mm) | n | ours mean | median | p90 | model alone, mean |\n|---|---|---|---|---|---|")
    for area in ("seen", "back", "unseen", "neck", "invented"):
        for label, chosen in (("", rows), (", hair", [r for r in rows if r["hair"] != "bald"])):
            both = np.array([(r[f"{area} ours"], r[f"{area} model"]) for r in chosen]).reshape(-1, 2)
            both = both[np.isfinite(both).all(1)]
            if len(both):
                ours, alone = both.T
                print(
                    f"| {area}{label} | {len(ours)} | {ours.mean():.2f} | {np.median(ours):.2f} | "
                    f"{np.percentile(ours, 90):.2f} | {alone.mean():.2f} |"
                )
    seam = ("seam_step_mm", "inner_step_mm", "seam_degrees", "inner_degrees")
    for key in ("seen", "kept_mm", *seam, "seconds"):
        values = [row[key] for row in rows]
        print(f"{key}: mean {np.mean(values):.2f}, median {np.median(values):.2f}, max {np.max(values):.2f}")


if __name__ == "__main__":
    main()
