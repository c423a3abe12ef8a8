"""Landmarks and alignment of raw scans with known truth: the tables of docs/landmarks.md.

    HEADFIELD_DATA=... python benchmarks/landmarks.py --split test --count 100 --out landmarks.json

Per scan: the landmarks' distances to the truth; where the head is put by the landmarks alone, by the landmarks and a
short fit (`headfield.fit.pictures.align`), by the fit's own search and a short fit, and, with --gicp, by small_gicp
from the landmarks to the mean head; and with --fit, where `headfield fit` as shipped ends. A placement is right when
the face's anchors lie within 5 mm of the truth on average. --crop keeps only a face of 130 mm, without its head.
Resumable.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from raw_scans import RawScan, raw_scan

from headfield.fit.clean import thin
from headfield.fit.gate import FACE_PARTS
from headfield.fit.mean_field import mean_field_of
from headfield.fit.normal_equations import model_anchors
from headfield.fit.pictures.align import align, face_finder
from headfield.fit.pictures.landmarks import NoFaceError, find_landmarks
from headfield.fit.run import find_head, fit
from headfield.models.release import load
from headfield.types import Similarity

GROUPS = {
    "all 68": range(68),
    "without the jaw line": range(17, 68),
    "jaw line": range(17),
    "brows": range(17, 27),
    "nose": range(27, 36),
    "eyes": range(36, 48),
    "mouth": range(48, 68),
}
RIGHT_MM = 5.0
WAYS = {
    "landmarks": "landmarks alone (similarity of the mesh)",
    "gicp": "landmarks, then small_gicp on the mean head",
    "marks": "landmarks, then a short fit (`align`)",
    "search": "the fit's search and short fit, without landmarks",
    "fit": "`headfield fit` as shipped, its head's own anchors",
}


def cropped(raw: RawScan) -> RawScan:
    """The face alone: an oval of 115 by 150 mm."""
    placed = raw.truth.model_from_scan.apply(raw.scan.points)
    kept = np.linalg.norm((placed - [0, -0.08, 0.15]) * [1.2, 0.9, 1], axis=1) < 0.27
    return replace(raw, scan=replace(raw.scan, points=raw.scan.points[kept], normals=raw.scan.normals[kept]))


def off(raw: RawScan, similarity: Similarity) -> float:
    """How far (mm, mean over the face's anchors) a similarity puts them from where they are in the model frame."""
    true = raw.person.anchors
    gap = np.linalg.norm(similarity.apply(raw.anchors()) - true, axis=1)[FACE_PARTS].mean()
    return float(gap) * raw.truth.metres_per_unit * 1000


def by_gicp(model, raw: RawScan, start: Similarity) -> Similarity:
    """The landmarks' similarity refined by generalised ICP of the scan's points on the mean head."""
    import small_gicp

    field = mean_field_of(model)
    placed = start.apply(raw.scan.points[thin(raw.scan.points, 6000)])
    face = placed[np.linalg.norm(placed - [0, 0, 0.05], axis=1) < 0.42]
    answer = small_gicp.align(field.surface, face, registration_type="GICP", downsampling_resolution=0.02,
                              max_correspondence_distance=0.06, num_threads=1)  # fmt: skip
    return Similarity(answer.T_target_source[:3, :3], answer.T_target_source[:3, 3]).after(start)


def measure(model, raw: RawScan, gicp: bool, whole: bool) -> dict:
    """Every number of one scan."""
    row: dict = {"hair": raw.person.hair_class, "frontal": raw.frontal, "seconds": {}}

    def timed(name: str, work):
        begin = time.perf_counter()
        answer = work()
        row["seconds"][name] = time.perf_counter() - begin
        return answer

    try:
        found = timed("landmarks", lambda: find_landmarks(raw.scan))
    except NoFaceError as error:
        row["error"] = str(error)
        found = None
    if found is not None:
        row["points"] = (np.linalg.norm(found.points - raw.landmarks(), axis=1) * raw.mm).tolist()
        anchors = np.linalg.norm(found.anchors - raw.anchors(), axis=1)[FACE_PARTS] * raw.mm
        row |= {"anchors": anchors.tolist(), "confidence": found.confidence.tolist()}
        row["off"] = {"landmarks": off(raw, found.similarity)}
        row["off"]["marks"] = off(raw, timed("marks", lambda: align(raw.scan, found, model)).similarity)
        if gicp:
            row["off"]["gicp"] = off(raw, timed("gicp", lambda: by_gicp(model, raw, found.similarity)))
    row.setdefault("off", {})
    row["off"]["search"] = off(raw, timed("search", lambda: find_head(raw.scan, model)[0]).similarity)
    if whole:
        answer = timed("fit", lambda: fit(raw.scan, model, face=face_finder(), refuse=False))
        head = answer.placement.inverse().apply(model_anchors(model, answer.identity))
        gap = np.linalg.norm(head - raw.anchors(), axis=1)[FACE_PARTS].mean() * raw.mm
        row["off"]["fit"] = float(gap)
    return row


def table(rows: dict[str, dict], count: int) -> str:
    """The tables as Markdown."""
    found = [row for row in rows.values() if "points" in row]
    errors = np.array([row["points"] for row in found])
    lines = [f"Found: {len(found)} of {count}", "", "| landmarks | n | median mm | p90 mm |", "|---|---|---|---|"]
    for name, index in GROUPS.items():
        part = errors[:, list(index)]
        known = part[np.isfinite(part)]
        lines.append(f"| {name} | {known.size} | {np.median(known):.2f} | {np.percentile(known, 90):.2f} |")
    anchors = np.array([row["anchors"] for row in found])
    lines.append(f"| face anchors | {anchors.size} | {np.median(anchors):.2f} | {np.percentile(anchors, 90):.2f} |")
    lines += ["", "| placement by | n | right | median mm | p90 mm | worst mm |", "|---|---|---|---|---|---|"]
    for way, title in WAYS.items():
        gaps = np.array([row["off"][way] for row in rows.values() if way in row["off"]])
        if len(gaps):
            lines.append(f"| {title} | {len(gaps)} | {int((gaps <= RIGHT_MM).sum())} | {np.median(gaps):.2f} | "
                         f"{np.percentile(gaps, 90):.2f} | {gaps.max():.2f} |")  # fmt: skip
    lines.append("")
    for name in ("landmarks", "marks", "search", "fit"):
        times = [row["seconds"][name] for row in rows.values() if name in row["seconds"]]
        if times:
            lines.append(f"Seconds, {name}: median {np.median(times):.1f}, p90 {np.percentile(times, 90):.1f}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="dev", choices=("dev", "test"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--crop", action="store_true")
    parser.add_argument("--gicp", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--out", type=Path, required=True, help="every number, JSON; continued when it exists")
    options = parser.parse_args()
    model = load(options.model)
    rows = json.loads(options.out.read_text()) if options.out.exists() else {}
    for number in range(options.count):
        if str(number) in rows:
            continue
        raw = raw_scan(options.split, number)
        raw = cropped(raw) if options.crop else raw
        rows[str(number)] = row = measure(model, raw, options.gicp, options.fit)
        line = " ".join(f"{way} {gap:.2f}" for way, gap in row["off"].items())
        print(f"{number} {raw.name} {row['hair']} {line} mm", flush=True)
        options.out.write_text(json.dumps(rows))
    print(table(rows, options.count))


if __name__ == "__main__":
    main()
