"""Raw scans with known truth: the test of landmarks, alignment and curation. Settings frozen before the first run.

People of the frozen population whom no training saw, families in turn; every other one without the back of the head, a
quarter of each family with hair; 60,000 points with normals, no colours, in any rotation, place and unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headfield.evaluate.truth import frozen_person
from headfield.synth.person import Person
from headfield.synth.scanner import HeadTruth, ScanOptions, ScanTruth, scan_head
from headfield.types import Scan

FAMILIES = ("ict", "anny")
POINTS = 60_000
STREAM = 77


@dataclass(frozen=True)
class RawScan:
    """A scan and its truth.

    Attributes:
        name: Such as ``ict-test-00003``.
        scan: What the library is shown: no unit, no up.
        truth: What only the scanner knows.
        person: Who.
        frontal: Whether the back of the head is missing.
    """

    name: str
    scan: Scan
    truth: ScanTruth
    person: Person
    frontal: bool

    def landmarks(self) -> np.ndarray:
        """True landmarks (68, 3) in the scan's frame and unit."""
        return self.truth.model_from_scan.inverse().apply(self.person.head.landmarks68(self.person.skin()))

    def anchors(self) -> np.ndarray:
        """True anchors (39, 3) in the scan's frame and unit."""
        return self.truth.model_from_scan.inverse().apply(self.person.anchors)

    @property
    def mm(self) -> float:
        """True millimetres of a unit of the scan."""
        return self.truth.model_from_scan.scale * self.truth.metres_per_unit * 1000.0


def raw_scan(split: str, number: int) -> RawScan:
    """Scan number `number` of a split, the same whenever it is made."""
    family, index = FAMILIES[number % 2], number // 2
    frontal, haired = index % 2 == 1, index % 4 == (0 if index % 8 < 4 else 1)
    person = frozen_person(family, split, index, "all" if haired else "bald")
    rng = np.random.default_rng([*person.key.rng("scan").integers(0, 2**31, 2), STREAM])
    truth = HeadTruth.of_person(person)
    scan, secret = scan_head(truth, "frontal" if frontal else "full", rng, ScanOptions(points=POINTS))
    return RawScan(person.key.id, replace(scan, name=person.key.id, units=None), secret, person, frontal)
