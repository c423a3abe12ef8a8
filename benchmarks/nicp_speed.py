"""Speed and surface error of our non-rigid ICP against trimesh's `nricp_amberg`, both in one run, on the same task.

    OMP_NUM_THREADS=1 python benchmarks/nicp_speed.py                          # 10,000 vertices, 3 heads
    OMP_NUM_THREADS=1 python benchmarks/nicp_speed.py --vertices 2500 --heads 1

The template is the released model's mean bald head cut down to so many vertices, the targets are the closed meshes of
random heads of the model, both in the model frame: no holes and no noise, so that trimesh, which has no gates for
them, is not at a disadvantage. Each side runs with its own defaults, trimesh's on face normals and closest points of
faces. The error is taken both ways between the registered surface and the target, to the nearest place on triangles.
trimesh's closest points need rtree. Needs no data.
"""

from __future__ import annotations

import argparse
import platform
from functools import partial
from statistics import median

import numpy as np
import torch
import trimesh
from clock import Taken, timed
from trimesh.registration import nricp_amberg

from headfield.curate.nicp import register
from headfield.frames import MM_PER_UNIT
from headfield.models.release import load
from headfield.surface.decimate import decimate, face_spots
from headfield.surface.head import Head
from headfield.surface.nearest import Target, sample_surface
from headfield.types import Codes, Mesh


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vertices", type=int, default=10_000, help="vertices of the template")
    parser.add_argument("--heads", type=int, default=3, help="targets")
    parser.add_argument("--resolution", type=int, default=160, help="resolution of the targets' meshes")
    arguments = parser.parse_args()
    model = load("imhead-open-small")
    bald = list(model.prior.names).index("bald")
    mean = Head(model, model.mean_codes(bald))
    template = decimate(mean.mesh(arguments.resolution), arguments.vertices, face_spots(mean.anchors()))
    print(f"template {len(template.vertices):,} vertices; {platform.processor()}, {torch.get_num_threads()} thread(s)")
    rows = []
    for seed in range(1, arguments.heads + 1):
        noise = torch.randn(1, model.config.identity, generator=torch.Generator().manual_seed(seed))
        target = Head(model, Codes(model.prior.means[bald][None] + 0.7 * noise)).mesh(arguments.resolution)
        found: dict = {}
        ours = timed(partial(lambda found, to: found.update(ours=register(template, to)), found, target))
        theirs = timed(partial(lambda found, to: found.update(theirs=with_trimesh(template, to)), found, target))
        apart = {
            "before": off(template, target),
            "ours": off(Mesh(found["ours"].vertices, template.triangles), target),
            "trimesh": off(Mesh(found["theirs"], template.triangles), target),
        }
        rows.append((ours, theirs, apart))
        print(f"head {seed}, target {len(target.vertices):,} vertices")
        print(f"  before    {text(apart['before'])}")
        print(f"  headfield {text(apart['ours'])}; flipped {found['ours'].flipped}; {ours}")
        print(f"  trimesh   {text(apart['trimesh'])}; {theirs}; {theirs.over(ours)}", flush=True)
    ours, theirs = (Taken(median(r[k].wall for r in rows), median(r[k].cpu for r in rows)) for k in (0, 1))
    print(f"medians of {len(rows)}: headfield {ours}; trimesh {theirs}: {theirs.over(ours)}")
    for side in ("ours", "trimesh"):
        print(f"  {side:8s} {text(np.median([row[2][side] for row in rows], axis=0))}")


def with_trimesh(template: Mesh, target: Mesh) -> np.ndarray:
    """Vertices (V, 3) by trimesh, which moves and scales both meshes that it is given."""
    source = trimesh.Trimesh(template.vertices, template.triangles, process=False)
    return nricp_amberg(source, trimesh.Trimesh(target.vertices, target.triangles, process=False))


def off(registered: Mesh, target: Mesh) -> tuple[float, float, float]:
    """Mean and p99 of the distance target to registered, and mean of registered to target; millimetres."""
    rng = np.random.default_rng(0)
    there = Target(registered).closest(sample_surface(target, 50_000, rng).points)[0] * MM_PER_UNIT
    back = Target(target).closest(sample_surface(registered, 50_000, rng).points)[0] * MM_PER_UNIT
    return float(there.mean()), float(np.percentile(there, 99)), float(back.mean())


def text(errors) -> str:
    """Errors in words."""
    there, worst, back = errors
    return f"target to template mean {there:.3f} mm, p99 {worst:.2f}; template to target mean {back:.3f} mm"


if __name__ == "__main__":
    main()
