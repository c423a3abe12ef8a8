"""Fit a complete head to a scan.

The scan may be in any unit and pose and may lack the back of the head. The fit finds all that by itself and gives the
head back in the scan's own frame and unit, with a mask of what was observed and what the model filled in.

    python examples/01_fit_a_scan.py [scan.ply]
"""

import sys
from pathlib import Path

import headfield
from headfield.io.mesh import write_mesh

scan = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data" / "scan.ply"
out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)

fit = headfield.fit(scan)
distance = fit.errors["scan_to_head_mm"]
print(f"unit {fit.units}, distance scan to head: median {distance['median']:.2f} mm, p90 {distance['p90']:.2f} mm")

mesh = fit.mesh(resolution=192)
seen = mesh.attributes["seen"]
print(f"{len(mesh.vertices):,} vertices, {seen.mean():.0%} of them observed by the scan")

write_mesh(mesh, out / "head.ply")
fit.save(out / "fit.npz")  # headfield.Fit.load(...) brings it back
