"""Stages without a model: an egg of a head, so that the pipeline itself can be tested in seconds.

A scan is a small cloud whose first coordinate carries the size of the egg. Every stage leaves a line in the file that
`CurateOptions.model` names, so that a test can see what was done.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "synth"))

from toy_head import ToyHead

from headfield.curate.records import Made, RejectedError
from headfield.curate.sampling import sheet_arrays
from headfield.curate.stages import Stages, placement_arrays
from headfield.synth.sheet import make_sheet
from headfield.types import ARKIT, Similarity

HEAD = ToyHead()


def write_scan(path: Path, size: float = 1.0, jaw: float = 0.0) -> Path:
    """A scan file of the egg: any points, and what the toy stages read from them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = np.random.default_rng(0).standard_normal((200, 3))
    points[0] = size, jaw, 0.0
    np.savez(path, points=points)
    return path


def _log(options, *words) -> None:
    with open(options.model, "a") as log:
        log.write(" ".join(map(str, words)) + "\n")


def _once(options, mark: str) -> bool:
    file = Path(options.model).with_name(mark)
    new = not file.exists()
    file.touch()
    return new


def landmarks(scan, raw, options) -> Made:
    _log(options, "landmarks", raw.path.name)
    if raw.path.stem.startswith("nothing"):
        raise RejectedError("no head in it", np.full((40, 40, 3), 90, np.uint8))
    if raw.path.stem.startswith("odd"):
        raise ValueError("an odd scan")
    return Made()


def align(scan, raw, marks, options) -> Made:
    _log(options, "align", raw.path.name)
    return Made(placement_arrays(Similarity(scale=0.004)), {"units": "mm"}, np.full((40, 40, 3), 200, np.uint8))


def parametric(scans, names, marks, placements, options) -> Made:
    _log(options, "parametric", *(scan.name for scan in scans))
    expressions = np.zeros((len(scans), len(ARKIT)))
    expressions[:, ARKIT.index("jawOpen")] = [scan.points[0, 1] for scan in scans]
    identity = np.array([scans[0].points[0, 0] - 1, 0.0])
    arrays = {
        "neutral": 4 * HEAD.raw_vertices(identity),
        "posed": np.stack([4 * HEAD.raw_vertices(identity, weights) for weights in expressions]),
        "triangles": HEAD.triangles,
        "expressions": expressions,
        "anchor_vertices": HEAD._anchors,
        **sheet_arrays(make_sheet(HEAD)),
        **placement_arrays(*(placement.similarity for placement in placements)),
    }
    return Made(arrays, {"units": [placement.units for placement in placements]})


def model(scans, fitted, units, options) -> Made:
    _log(options, "model", *(scan.name for scan in scans))
    return Made(facts={"hair": "short"})


def complete(scan, fitted, model_fit, which, units, options) -> Made:
    _log(options, "complete", scan.name)
    if scan.name.startswith("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    if scan.name.startswith("victim") and _once(options, "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if scan.name.startswith("slow") and _once(options, "slept"):
        time.sleep(60)
    return Made({"vertices": fitted["posed"][which].astype(np.float32), "triangles": fitted["triangles"]})


def register(scan, marks, fitted, which, units, completed, rest, options) -> Made:
    _log(options, "register", scan.name)
    error = 9.0 if scan.name.startswith("poor") else 0.1
    return Made({"vertices": fitted["posed"][which]}, {"error_mm": error, "coverage": 0.9})


STAGES = Stages(landmarks, align, parametric, model, complete, register)
