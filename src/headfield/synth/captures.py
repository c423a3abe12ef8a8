"""Captures as unkind as the world's: what phones, averages, busts and structured light make of a head.

A capture is made of a sitter in millimetres, with everything a test must know of it; `hand_over` turns it into the scan
that a user would have: any rotation, any unit or none, vertices in no order, with or without triangles, with strays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.frames import UNITS_IN_METRES
from headfield.io.raw import RawGeometry
from headfield.io.scan import clean
from headfield.synth import capture_faces, capture_heads
from headfield.synth.capture_surface import Shown, strays_around
from headfield.synth.poses import GAZE, Pose, poses
from headfield.synth.sitter import Sitter
from headfield.types import ARKIT, Scan, Similarity

KINDS: dict[str, Callable[[Sitter, np.random.Generator], Shown]] = {
    "mask": capture_faces.mask,
    "closed": capture_heads.closed,
    "average": capture_faces.average,
    "phone-mesh": capture_faces.phone_mesh,
    "smile": capture_faces.smile,
    "bust": capture_heads.bust,
    "photogrammetry": capture_heads.photogrammetry,
    "phone-depth": capture_heads.phone_depth,
    "clean": capture_heads.clean,
}
"""Makers of the kinds of captures by name."""

BLINDED = ("closed",)
"""Kinds whose eyes are closed."""

LOOKING = ("smile", "photogrammetry", "clean")
"""Kinds whose eyes look about, beside the table's poses."""


TIDY = ("clean",)
"""Kinds that stand upright, in millimetres, and say so; with triangles and without strays."""

UNITLESS = ("bust",)
"""Kinds that never have a unit."""


@cache
def frozen_captures() -> dict:
    """The frozen settings: shares of poses, units, strays, and how many people of which family (``captures.json``)."""
    return json.loads((files("headfield.synth") / "captures.json").read_text())


def people(kind: str, split: str) -> dict[str, int]:
    """Family -> how many heads of a split are captured in a kind."""
    settings = frozen_captures()
    return settings["people_of"].get(kind, settings["people"])[split]


@dataclass(frozen=True)
class Capture:
    """A scan as a user has it, and what only the test knows.

    Attributes:
        scan: What the fit sees.
        model_from_scan: Scan coordinates -> the sitter's model frame.
        unit: ``mm``, ``cm``, ``m``, ``inch`` or ``none``; the scan does not tell.
        shown: What the capture shows, millimetres, without strays.
        pose: Of the table.
        sitter: Who.
        facts: How it was made, plain values.
    """

    scan: Scan
    model_from_scan: Similarity
    unit: str
    shown: Shown
    pose: Pose
    sitter: Sitter
    facts: dict = field(default_factory=dict)


def draw_pose(kind: str, rng: np.random.Generator) -> Pose:
    """A pose of the frozen table, by the kind's shares."""
    shares = frozen_captures()["poses"][kind]
    wanted = rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values()))
    if wanted == "smile":
        names = ["happiness", "amusement", "I", "mouthSmile"]
    else:
        names = [name for name, pose in poses().items() if pose.kind == wanted]
    return poses()[str(rng.choice(names))]


def draw_expression(kind: str, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """The pose's weights (52,) at a strength of the frozen range, with what the kind adds: closed eyes, a gaze."""
    strength = rng.uniform(*frozen_captures()["strength"])
    weights = strength * pose.weights
    sideways, upwards, looks = rng.uniform(-0.8, 0.8), rng.uniform(-0.6, 0.6), rng.random() < 0.5
    if kind == "smile":
        for name, least in (("mouthSmile", 0.55), ("mouthUpperUp", 0.35), ("mouthLowerDown", 0.25)):
            for side in ("Left", "Right"):
                index = ARKIT.index(name + side)
                weights[index] = max(weights[index], least)
        weights[ARKIT.index("jawOpen")] = max(weights[ARKIT.index("jawOpen")], 0.08)
    if kind in BLINDED:
        weights[GAZE] = 0.0
        for name in ("eyeWide", "eyeSquint"):
            for side in ("Left", "Right"):
                weights[ARKIT.index(name + side)] = 0.0
        for side in ("Left", "Right"):
            weights[ARKIT.index(f"eyeBlink{side}")] = 1.0
    elif kind in LOOKING and looks and not weights[GAZE].any() and pose.kind != "one-sided":
        weights[ARKIT.index("eyeLookOutLeft")] = weights[ARKIT.index("eyeLookInRight")] = max(sideways, 0.0)
        weights[ARKIT.index("eyeLookInLeft")] = weights[ARKIT.index("eyeLookOutRight")] = max(-sideways, 0.0)
        for side in ("Left", "Right"):
            weights[ARKIT.index(f"eyeLookUp{side}")] = max(upwards, 0.0)
            weights[ARKIT.index(f"eyeLookDown{side}")] = max(-upwards, 0.0)
    return weights


def capture(kind: str, sitter: Sitter, pose: Pose, rng: np.random.Generator) -> Capture:
    """Capture a sitter.

    Args:
        kind: One of KINDS.
        sitter: Who, already posed.
        pose: Which pose of the table it is.
        rng: Source of randomness; the same state gives the same capture.
    """
    shape, rest = rng.spawn(2)  # turn and unit do not hang on how many vertices the shape has
    return hand_over(kind, sitter, pose, KINDS[kind](sitter, shape), rest)


def hand_over(kind: str, sitter: Sitter, pose: Pose, shown: Shown, rng: np.random.Generator) -> Capture:
    """Turn, scale, shuffle and litter what a capture shows."""
    settings = frozen_captures()
    surface = shown.surface
    unit = str(rng.choice(settings["units"]))
    unit = "none" if kind in UNITLESS else "mm" if kind in TIDY else unit
    with_triangles = bool(rng.random() < settings["triangles"])
    littered = rng.random() < settings["strays"]["share"]
    share = rng.uniform(settings["strays"]["least"], settings["strays"]["most"]) if littered else 0.0
    metres = rng.uniform(np.log(2e-4), np.log(5.0)) if unit == "none" else np.log(UNITS_IN_METRES[unit])
    quaternion = rng.standard_normal(4)
    turn = Rotation.from_quat(quaternion / np.linalg.norm(quaternion)).as_matrix()
    if kind in TIDY:
        share, turn, with_triangles = 0.0, np.eye(3), True
    scale = 1e-3 / float(np.exp(metres))  # scan units per millimetre
    scan_from_mm = Similarity(turn, scale * rng.uniform(-500, 500, 3), scale)
    points = surface.vertices
    if share:
        points = np.concatenate([points, strays_around(points, share, rng)])
    order = rng.permutation(len(points))
    triangles = None
    if with_triangles and len(surface.triangles):
        triangles = np.argsort(order)[surface.triangles]
        triangles = triangles[rng.permutation(len(triangles))]
    raw = RawGeometry(scan_from_mm.apply(points)[order], triangles=triangles)
    scan = clean(raw, f"{kind}-{sitter.name}", units="mm" if kind in TIDY else None)  # as from a file
    model_from_mm = Similarity(scale=1.0 / sitter.mm_per_unit)
    facts = {
        "kind": kind,
        "pose": pose.name,
        "unit": unit,
        "scan_units_per_mm": scale,
        "triangles": triangles is not None,
        "strays": share,
        "vertices": len(points),
        **shown.facts(),
    }
    return Capture(scan, model_from_mm.after(scan_from_mm.inverse()), unit, shown, pose, sitter, facts)
