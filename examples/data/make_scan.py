"""Make scan.ply, the bundled raw scan: a synthetic anny head of the development split (no training head).

Seen by the virtual scanner from the front only (the back of the head is missing), with noise, holes and stray
points, in millimetres, turned and moved at random. Needs the extra ``synth``.

    python examples/data/make_scan.py
"""

from pathlib import Path

import numpy as np

from headfield.io.mesh import write_bytes
from headfield.parametric import load_family
from headfield.synth.identities import identity_keys
from headfield.synth.person import make_person, make_sheet
from headfield.synth.scanner import HeadTruth, ScanOptions, scan_head

WHO, SEED, POINTS = 4, 2, 30_000

anny = load_family("anny")
key = identity_keys("anny", "dev", WHO + 1)[WHO]
person = make_person(key, anny, make_sheet(anny), 0.0)
options = ScanOptions(points=POINTS, unit="mm", shoulders=False, holes=3)
scan, truth = scan_head(HeadTruth.of_person(person), "frontal", np.random.default_rng(SEED), options)

header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(scan.points)}\n"
header += "".join(f"property float {axis}\n" for axis in "xyz") + "end_header\n"
write_bytes(Path(__file__).with_name("scan.ply"), header.encode() + scan.points.astype("<f4").tobytes())
print(f"{key.id}: {len(scan.points):,} points, {anny.describe(person.identity)}")
print(truth.model_from_scan.matrix().round(6))
