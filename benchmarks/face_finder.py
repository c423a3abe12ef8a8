"""How often the face finder's proposals are right, and what they cost: held-out synthetic heads in any rotation.

    python benchmarks/face_finder.py --people 20

Whole scans, rigs without the back, depth maps and closed eyes come from the virtual scanner, which had no part in the
finder's training; masks are cut out of such scans by the training's own scissors; *strays* are 30 % of all points;
*body* is a small head on a coarse trunk of 1.5 m. A proposal is right within 15 mm (face anchors, mean) and 15 degrees.
The second table: clouds without a face. With --real DIR every scan file of a folder, turned at random, is read too; the
truth of those is the rotation of the file's own frame, in which the captures at hand look along +z with y up.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from headfield.evaluate.truth import frozen_person, millimetres
from headfield.fit.clean import clean
from headfield.fit.face_finder import Proposal, face_network, propose
from headfield.fit.gate import FACE_PARTS
from headfield.fit.run import surface_points
from headfield.io.scan import read_scan
from headfield.nn.face_net import FACE_MIDDLE, FACE_REACH, SIZE
from headfield.nn.point_views import view_points
from headfield.synth.face_clouds import egg_faced, ragged_rim
from headfield.synth.not_faces import draw_thing
from headfield.synth.scanner import SKIN, HeadTruth, ScanOptions, scan_head
from headfield.types import ARKIT, Similarity

DOUBT = 0.6
"""A best proposal below this is hardly a face."""

RIGHT_MM, RIGHT_DEGREES = 15.0, 15.0

CLOSED = np.array([1.0 if name.startswith("eyeBlink") else 0.0 for name in ARKIT], dtype=np.float32)


KINDS = ("whole", "back missing", "mask", "depth", "closed", "strays", "body")

NOTHING = ("thing", "back of a head", "egg for a face", "scalp")


def scan_of(kind: str, family: str, index: int) -> tuple[np.ndarray, Similarity, np.ndarray, float]:
    """Points of a dev person's scan, the truth, the face's anchors and millimetres per model unit."""
    rng = np.random.default_rng([7, index, len(kind), ord(kind[0])])
    person = frozen_person(family, "dev", index, "bald" if kind in ("mask", "closed") else "drawn")
    expression = CLOSED if kind == "closed" else person.expressions(20)[index % 21]
    variant = {"mask": "frontal", "back missing": "frontal", "depth": "depth"}.get(kind, "full")
    options = ScanOptions(points=None if kind == "depth" else 30_000, shoulders=False if kind == "mask" else None)
    scan, truth = scan_head(HeadTruth.of_person(person, expression), variant, rng, options)
    points, placement = scan.points, truth.model_from_scan
    if kind == "mask":
        points = points[ragged_rim(placement.apply(points), rng) & (truth.labels == SKIN)]
    if kind in ("whole", "mask"):  # from 1,200 points to all
        count = int(np.exp(rng.uniform(np.log(1200), np.log(len(points)))))
        points = points[rng.permutation(len(points))[:count]]
    if kind == "strays":
        middle, reach = points.mean(0), 1.3 * np.abs(points - points.mean(0)).max(0)
        stray = middle + reach * rng.uniform(-1, 1, (int(len(points) * 0.3 / 0.7), 3))
        points = np.concatenate([points, stray])
    if kind == "body":
        points = np.concatenate([points, placement.inverse().apply(whole_body(3 * len(points), rng))])
    return points, placement, person.anchors[FACE_PARTS], millimetres(person)


def whole_body(count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count, 3) of a coarse body below a head, model frame: 1.5 m of tapering trunk."""
    height = rng.uniform(-6.2, -0.6, count)
    wide = np.interp(height, [-6.2, -3.2, -1.0, -0.6], [0.35, 0.7, 0.9, 0.3])
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.c_[wide * np.cos(angle), height, 0.5 * wide * np.sin(angle) - 0.15]


def faceless(kind: str, number: int) -> np.ndarray:
    """Points of something without a face."""
    rng = np.random.default_rng([8, number])
    if kind == "thing":
        return draw_thing(8000, rng)
    points, truth, _, _ = scan_of("whole", ("ict", "anny")[number % 2], number // 2)
    placed = truth.apply(points)
    if kind == "egg for a face":
        placed = egg_faced(placed)
    else:
        placed = placed[placed[:, 2] < -0.1] if kind == "back of a head" else placed[placed[:, 1] > 0.25]
    return truth.inverse().apply(placed)


def errors(proposal: Proposal, truth: Similarity, anchors: np.ndarray, mm: float) -> tuple[float, float]:
    """Mean distance on the face (mm) and angle (degrees) between a proposal and the truth."""
    there = proposal.similarity.apply(truth.inverse().apply(anchors))
    cosine = (np.trace(proposal.similarity.rotation @ truth.rotation.T) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return float(np.linalg.norm(there - anchors, axis=1).mean() * mm), float(angle)


def synthetic(kind: str, people: int) -> str:
    """A row of the table."""
    first = any_of = 0
    away, turned, seconds, sure = [], [], [], []
    for number in range(people):
        points, truth, anchors, mm = scan_of(kind, ("ict", "anny")[number % 2], number // 2)
        begin = time.perf_counter()
        found = propose(points)
        seconds.append(time.perf_counter() - begin)
        pairs = [errors(proposal, truth, anchors, mm) for proposal in found]
        right = [gap <= RIGHT_MM and angle <= RIGHT_DEGREES for gap, angle in pairs]
        first += bool(right and right[0])
        any_of += any(right)
        sure.append(found[0].confidence if found else 0.0)
        if any(right):
            away.append(pairs[right.index(True)][0])
            turned.append(pairs[right.index(True)][1])
    return (
        f"| {kind} | {people} | {first / people:.0%} | {any_of / people:.0%} | {np.median(away):.1f} / "
        f"{np.quantile(away, 0.9):.1f} | {np.median(turned):.1f} / {np.quantile(turned, 0.9):.1f} | "
        f"{np.quantile(sure, 0.1):.2f} | {np.median(seconds):.2f} |"
    )


def nothing(kind: str, count: int) -> str:
    """A row about things without a face: how confident the finder is of its best proposal."""
    sure = []
    for number in range(count):
        found = propose(faceless(kind, number))
        sure.append(found[0].confidence if found else 0.0)
    doubted = np.mean(np.array(sure) < DOUBT)
    return (
        f"| {kind} | {count} | {np.median(sure):.2f} / {np.quantile(sure, 0.9):.2f} / {max(sure):.2f} | {doubted:.0%} |"
    )


def real(folder: Path, turns: int) -> None:
    """Rotation errors on scan files."""
    rng = np.random.default_rng(5)
    for path in sorted(folder.glob("*.ply")):
        points = surface_points(read_scan(path))
        told = []
        for _ in range(turns):
            turn = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
            begin = time.perf_counter()
            found = propose(3.3 * points @ turn.T + 5)
            seconds = time.perf_counter() - begin
            angles = [
                np.degrees(np.arccos(np.clip((np.trace(p.similarity.rotation @ turn) - 1) / 2, -1, 1))) for p in found
            ]
            answers = ", ".join(f"{angle:.0f}° ({p.confidence:.2f})" for angle, p in zip(angles, found))
            told.append(f"{answers} in {seconds:.2f} s")
        print(f"{path.stem}: " + "; ".join(told), flush=True)


def picture(path: Path) -> None:
    """One scan of each kind: as it lies in its file, and as the best proposal places it: normals, which cells are face,
    and where on a head they lie (x, y, z of the model frame as red, green, blue)."""
    rows = []
    for kind in KINDS:
        points, _, _, _ = scan_of(kind, "ict", 3)
        points = points[clean(points, 7000).index]
        middle, half = np.median(points, axis=0), np.percentile(np.ptp(points, axis=0), 100) / 2
        placed = (propose(points)[0].similarity.apply(points) - FACE_MIDDLE) / FACE_REACH
        both = [torch.from_numpy(cloud).float()[None] for cloud in ((points - middle) / half, placed)]
        file, front = (view_points(cloud, SIZE) for cloud in both)
        with torch.inference_mode():
            maps = face_network()(front.pictures)
        face = (torch.sigmoid(maps.face) * front.surface)[0].numpy().repeat(2, 0).repeat(2, 1)[..., None]
        places = np.moveaxis((0.5 + maps.places[0]).clamp(0, 1).numpy(), 0, -1).repeat(2, 0).repeat(2, 1)
        shown = [0.5 + 0.5 * np.moveaxis(views.pictures[0, :3].numpy(), 0, -1) for views in (file, front)]
        rows.append(np.concatenate([*shown, face.repeat(3, -1), places * face], 1))
    columns = np.concatenate(
        [np.concatenate(rows[: len(rows) // 2 + 1], 0), _padded(rows[len(rows) // 2 + 1 :], rows)], 1
    )
    Image.fromarray((255 * columns.clip(0, 1)).astype(np.uint8)).resize(2 * np.array(columns.shape[1::-1])).save(path)


def _padded(rows: list[np.ndarray], of: list[np.ndarray]) -> np.ndarray:
    missing = len(of) // 2 + 1 - len(rows)
    return np.concatenate([*rows, *[np.zeros_like(of[0])] * missing], 0)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--kinds", nargs="*", default=[*KINDS, *NOTHING])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--picture", type=Path, help="write this PNG and nothing else")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.picture:
        return picture(given.picture)
    print("| scan | n | best right | of 5 right | face, mm (median / p90) | degrees | confidence p10 | s |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in (kind for kind in given.kinds if kind in KINDS):
        print(synthetic(kind, given.people), flush=True)
    print(f"\n| no face | n | best confidence (median / p90 / most) | below {DOUBT} |\n|---|---|---|---|")
    for kind in (kind for kind in given.kinds if kind in NOTHING):
        print(nothing(kind, given.people), flush=True)
    if given.real:
        real(given.real, given.turns)


if __name__ == "__main__":
    main()
