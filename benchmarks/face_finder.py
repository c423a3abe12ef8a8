"""How often the face finder's proposals are right, and what they cost: held-out synthetic heads in any rotation.

    python benchmarks/face_finder.py --people 20

Whole scans, rigs without the back, depth maps and closed eyes come from the virtual scanner, which had no part in the
finder's training; masks are cut out of such scans by the training's own scissors. A proposal is right within 15 mm
(face anchors, mean) and 15 degrees. *nothing* are clouds without a face: their best confidence. With --real DIR every
scan file of a folder, turned at random, is read too; the truth of those is the rotation of the file's own frame, in
which the captures at hand look along +z with y up.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from headfield.evaluate.truth import frozen_person, millimetres
from headfield.fit.face_finder import Proposal, propose
from headfield.fit.gate import FACE_PARTS
from headfield.fit.run import surface_points
from headfield.io.scan import read_scan
from headfield.synth.face_clouds import ragged_rim
from headfield.synth.not_faces import draw_thing
from headfield.synth.scanner import SKIN, HeadTruth, ScanOptions, scan_head
from headfield.types import ARKIT, Similarity

RIGHT_MM, RIGHT_DEGREES = 15.0, 15.0

CLOSED = np.array([1.0 if name.startswith("eyeBlink") else 0.0 for name in ARKIT], dtype=np.float32)


def scan_of(kind: str, family: str, index: int) -> tuple[np.ndarray, Similarity, np.ndarray, float]:
    """Points of a dev person's scan, the truth, the face's anchors and millimetres per model unit."""
    rng = np.random.default_rng([7, index, len(kind), ord(kind[0])])
    person = frozen_person(family, "dev", index, 0.0 if kind in ("mask", "closed") else 0.4)
    expression = CLOSED if kind == "closed" else person.expressions(20)[index % 21]
    variant = {"whole": "full", "closed": "full", "mask": "frontal", "back missing": "frontal", "depth": "depth"}[kind]
    options = ScanOptions(points=None if kind == "depth" else 30_000, shoulders=False if kind == "mask" else None)
    scan, truth = scan_head(HeadTruth.of_person(person, expression), variant, rng, options)
    points = scan.points
    if kind == "mask":
        placed = truth.model_from_scan.apply(points)
        points = points[ragged_rim(placed, rng) & (truth.labels == SKIN)]
    if kind in ("whole", "mask"):  # from 1,200 points to all
        count = int(np.exp(rng.uniform(np.log(1200), np.log(len(points)))))
        points = points[rng.permutation(len(points))[:count]]
    return points, truth.model_from_scan, person.anchors[FACE_PARTS], millimetres(person)


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


def nothing(count: int) -> str:
    """A row about things that are no face: how confident the finder is of the best proposal."""
    sure = []
    for number in range(count):
        found = propose(draw_thing(8000, np.random.default_rng([8, number])))
        sure.append(found[0].confidence if found else 0.0)
    middle, most = np.median(sure), np.quantile(sure, 0.9)
    return f"nothing: n {count}, best confidence median {middle:.2f}, p90 {most:.2f}, max {max(sure):.2f}"


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


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--kinds", nargs="*", default=["whole", "back missing", "mask", "depth", "closed"])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| scan | n | best right | of 5 right | face, mm (median / p90) | degrees | confidence p10 | s |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in given.kinds:
        print(synthetic(kind, given.people), flush=True)
    print(nothing(given.people), flush=True)
    if given.real:
        real(given.real, given.turns)


if __name__ == "__main__":
    main()
