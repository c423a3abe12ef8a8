"""Captures of real people, as rows of their own: turned, in another unit, told nothing. A test set, never tuned on.

What is right is frozen (``real.json``): each file's own frame is known, so a fit is upright when its rotation is the
file's within 15 degrees. All of them are neutral; a blink is not counted, since lids are smoothed over or half closed.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.errors import DataError, present
from headfield.evaluate.observe import Observed
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.reading import WELL_MM, nonzero
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.frames import UNITS_IN_METRES
from headfield.io.raw import RawGeometry
from headfield.io.scan import clean, read_scan
from headfield.models.release import load
from headfield.synth.identities import frozen
from headfield.types import ARKIT, Mesh, Scan, Similarity

UPRIGHT_DEGREES = 15.0
"""A fit is upright when its rotation is this near to the true one."""

UNIT_SHARE = 0.15
"""A unit is right when lengths come out within this share; the four units differ by factors of 2.5 and more."""

_BLINK = np.array([name.startswith("eyeBlink") for name in ARKIT])


@dataclass(frozen=True)
class RealCase:
    """A real capture in one frozen turn.

    Attributes:
        observed: The scan and its secret; `truth` takes it to the model frame, rotation and size as frozen.
        mesh: The capture as a surface in the model frame.
        mm_per_scan_unit: True millimetres of the scan's unit.
    """

    observed: Observed
    mesh: Mesh
    mm_per_scan_unit: float


@cache
def real_frames() -> dict[str, Similarity]:
    """Millimetres of each file's frame -> model frame."""
    rows = json.loads((files("headfield.evaluate") / "real.json").read_text())["model_from_file"]
    return {name: Similarity.from_matrix(np.array(matrix)) for name, matrix in rows.items()}


@cache
def real_scan(name: str) -> Scan:
    """A capture as its file holds it, millimetres.

    Raises:
        DataError: The file is not there.
    """
    place = os.environ.get("HEADFIELD_DATA")
    path = Path(place or ".") / "real" / f"{name}.ply"
    if not place or not path.exists():
        raise DataError(
            f"real/{name}.ply is needed for the real captures: set the environment variable HEADFIELD_DATA to the "
            f"folder that holds it (now {place or 'not set'})."
        )
    return read_scan(path, units="mm")


def make_real(name: str, turn: int) -> RealCase:
    """A capture in frozen turn number `turn`: any rotation and place, one of four units, vertices in no order."""
    scan, frame = real_scan(name), real_frames()[name]
    rng = np.random.default_rng([frozen()["seed"], zlib.crc32(f"captures-real-{name}".encode()), turn])
    quaternion = rng.standard_normal(4)
    rotation = Rotation.from_quat(quaternion / np.linalg.norm(quaternion)).as_matrix()
    unit = str(rng.choice(list(UNITS_IN_METRES)))
    mm = 1e3 * UNITS_IN_METRES[unit]
    scan_from_file = Similarity(rotation, rng.uniform(-500, 500, 3) / mm, 1.0 / mm)
    order = rng.permutation(len(scan.points))
    own = present(scan.triangles, "a capture's triangles")
    triangles = np.argsort(order)[own]
    turned = clean(RawGeometry(scan_from_file.apply(scan.points)[order], triangles=triangles), f"{name}-{turn}")
    truth = frame.after(scan_from_file.inverse())
    return RealCase(Observed(turned, truth, unit), Mesh(frame.apply(scan.points), own), mm)


def run_real(protocol: Protocol, name: str, turn: int, settings: Settings) -> Outcome:
    """Fit one turn, told nothing, and measure.

    Raises:
        HeadfieldError: It could not be fitted at all.
    """
    case, model = make_real(name, turn), load(settings.model)
    begin = time.perf_counter()
    found = fit(case.observed.scan, model, expression=protocol.expression, refuse=False)
    facts = {"fit_seconds": time.perf_counter() - begin} | fit_facts(found)
    values = real_values(case, found, bool(facts["refused"]))
    more = {"true_unit": case.observed.unit, "read": nonzero(found.expression)}
    return Outcome({key: {"ours": value} for key, value in values.items()}, found, facts | more)


def real_values(case: RealCase, found: Fit, refused: bool) -> dict[str, float]:
    """The numbers of a fit by column."""
    off = Rotation.from_matrix(found.placement.rotation @ case.observed.truth.rotation.T)
    degrees = float(np.degrees(off.magnitude()))
    size = found.scans[0].mm_per_unit * found.placement.scale / case.mm_per_scan_unit
    unit = found.units != "free" and abs(np.log(size)) < np.log1p(UNIT_SHARE)
    right = degrees <= UPRIGHT_DEGREES and unit and not refused
    captured = found.errors["scan_to_head_mm"]["median"]
    values = {"right": float(right), "turned": degrees, "unit": float(unit), "captured": captured}
    if right:
        values["false_neutral"] = float(np.asarray(found.expression)[~_BLINK].sum())
        verdict = getattr(getattr(found, "verdict", None), "level", None)
        if verdict is not None and captured <= WELL_MM:
            values["poor"] = float(verdict == "poor")
    return values
