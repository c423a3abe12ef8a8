"""Wrap your own topology round a scan.

A template is an OBJ of any topology: `headfield wrap scan.ply --template mine.obj -o wrapped.obj` gives it the shape of
the scan. Only its vertices move; texture coordinates, groups, materials, quads and the order of vertices stay, so that
textures and rigs made for the template fit the result. This example makes a small template with texture coordinates
(the model's mean head) and does the same from Python. docs/wrapping.md tells how it works.

    python examples/09_wrap.py [scan.ply]
"""

import sys
from pathlib import Path

import numpy as np

import headfield
from headfield.curate.wrap import wrap
from headfield.io.obj import read_obj
from headfield.io.scan import read_scan
from headfield.surface.decimate import decimate, face_spots
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render
from headfield.types import Mesh

scan = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data" / "scan.ply"
out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

model = headfield.load("imhead-open-small")
mean = Head(model, model.mean_codes(model.prior.names.index("bald")))
mesh = decimate(mean.mesh(resolution=96), 3000, face_spots(mean.anchors()))
around = np.arctan2(mesh.vertices[:, 0], mesh.vertices[:, 2]) / (2 * np.pi) + 0.5
up = (mesh.vertices[:, 1] - mesh.vertices[:, 1].min()) / np.ptp(mesh.vertices[:, 1])
lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
lines += [f"vt {u:.6f} {v:.6f}" for u, v in zip(around, up)]
lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in mesh.triangles + 1]
(out / "template.obj").write_text("\n".join(lines) + "\n")

template = read_obj(out / "template.obj")
wrapped = wrap(read_scan(scan), template.mesh(), model)
(out / "wrapped.obj").write_bytes(template.moved(wrapped.vertices))

distance = wrapped.registration.error[wrapped.registration.matched]
print(f"{len(distance):,} of {len(template.vertices):,} vertices lie where the scan saw something,")
print(f"{distance.mean():.2f} mm from it in the mean; {wrapped.registration.flipped} triangles are flipped")

checks = (np.floor(16 * around) + np.floor(12 * up)) % 2
colours = np.where(checks[:, None] > 0, [225, 215, 205, 255], [120, 110, 105, 255]).astype(np.uint8)
places = [wrapped.working.apply(vertices) for vertices in (wrapped.placed, wrapped.vertices)]
pictures = [render(Mesh(p, template.triangles), view="three_quarter", size=320, colours=colours) for p in places]
write_png(contact_sheet(pictures, columns=2, labels=["template", "wrapped"]), out / "wrapped.png")
