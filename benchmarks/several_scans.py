"""Three scans of one person (neutral, happy, surprised) fitted together: seconds, and what is read of each.

    OMP_NUM_THREADS=1 python benchmarks/several_scans.py                # dev heads of ICT and anny
    OMP_NUM_THREADS=1 python benchmarks/several_scans.py --neutral      # the first scan is said to be neutral

Clean points of the true surface, upright and in mm. Printed for each scan: channels at 0.25 or more, true > read, and
the sum of what was read and is not there. Seconds are CPU seconds of the whole fit, the model loaded before.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from headfield.evaluate.truth import frozen_person
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.surface.nearest import sample_surface
from headfield.types import ARKIT, Mesh, Scan

PLAYED = {
    "neutral": {},
    "happy": {"mouthSmile": 0.9, "cheekSquint": 0.7, "eyeSquint": 0.4, "jawOpen": 0.15},
    "surprised": {"browInnerUp": 0.9, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.5},
}
PEOPLE = (("ict", 6), ("anny", 9))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--neutral", action="store_true", help="say that the first scan is neutral")
    asked = parser.parse_args()
    model = load("imhead-open-small")
    said = {"neutral": (0,)} if asked.neutral else {}
    for family, index in PEOPLE:
        true = [weights(named) for named in PLAYED.values()]
        scans = [scan_of(family, index, name, e) for name, e in zip("abc", true)]
        begin = time.process_time()
        found = fit(scans, model, refuse=False, **said)
        print(f"{family} {index}: {time.process_time() - begin:.1f} CPU s")
        for name, e, one in zip(PLAYED, true, found.scans):
            told = ", ".join(f"{ARKIT[k]} {e[k]:.2f} > {one.expression[k]:.2f}" for k in np.flatnonzero(e >= 0.25))
            false = float(one.expression[e < 0.05].sum())
            print(f"  {name}: {told or 'nothing'}; false {false:.2f}", flush=True)


def weights(named: dict[str, float]) -> np.ndarray:
    """(52,) weights of channels named without their side."""
    e = np.zeros(len(ARKIT))
    for name, weight in named.items():
        for full in (name, name + "Left", name + "Right"):
            if full in ARKIT:
                e[ARKIT.index(full)] = weight
    return e


def scan_of(family: str, index: int, name: str, expression: np.ndarray) -> Scan:
    """30,000 clean points in mm."""
    person = frozen_person(family, "dev", index, "bald")
    solid = person.solid(expression) if expression.any() else person.neutral
    seen = solid.seen & ~solid.sheet.cap
    mesh = Mesh(solid.vertices, solid.sheet.triangles)
    points = sample_surface(mesh, 30_000, np.random.default_rng(index), seen).points
    return Scan(points * 1000.0 / person.placement.scale, name=name, units="mm")


if __name__ == "__main__":
    main()
