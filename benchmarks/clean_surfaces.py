"""How clean heads are on the plain grid, with finer boxes round the features, and with sealed eyes; all in one run.

    python benchmarks/clean_surfaces.py --heads 24                       # drawn from the model's prior
    python benchmarks/clean_surfaces.py --heads 0 --fits FOLDER          # fit.npz files in or below a folder
    python benchmarks/clean_surfaces.py --heads 2 --pictures FOLDER      # and close-ups of eye, nostril and mouth

Each head is neutral, with its eyes closed, with mouthFunnel and with jawOpen at 1. Counted are, over all surfaces:

* pinholes: handles, 1 - Euler / 2 summed over the components (a mouth's or a nostril's cavity is none);
* open edges: edges that have not two triangles;
* from behind: triangles whose back is the first thing that a ray from outside meets;
* doubled lips: rays from the front towards what lies within 25 mm of the mouth that cross more than two skins within
  12 mm of the first; rays along an opened lip that go on into the mouth's wall count too.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np
import torch
from clock import ZERO, Taken, timed

from headfield.frames import MM_PER_UNIT, anchor_indices
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.rays import RayScene
from headfield.surface.snapshot import contact_sheet, render, write_png
from headfield.surface.topology import components, face_vectors
from headfield.surface.visibility import directions
from headfield.types import ARKIT, Codes, Mesh

EXPRESSIONS = {
    "neutral": {},
    "eyes closed": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    "funnel": {"mouthFunnel": 1.0},
    "jaw open": {"jawOpen": 1.0},
}
COUNTS = ("pinholes", "components", "open edges", "from behind", "doubled lips")
SPACING = 0.5 / MM_PER_UNIT
LIPS, DEPTH = 25.0 / MM_PER_UNIT, 12.0 / MM_PER_UNIT
PLAIN = np.empty((0, 2, 3))
PICTURED = {
    "eye": (("eye_inner_left", "eye_outer_left"), 0.045),
    "nostrils": (("nose_wing_left", "nose_wing_right"), 0.03),
    "mouth": (("mouth_corner_left", "mouth_corner_right", "lower_lip", "upper_lip"), 0.03),
}


def counts(mesh: Mesh, anchors: np.ndarray) -> dict[str, int]:
    """What is not clean about a surface, by COUNTS."""
    triangles = np.asarray(mesh.triangles)
    sides = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    _, shared = np.unique(sides[:, 0] * len(mesh.vertices) + sides[:, 1], return_counts=True)
    parts = int(components(mesh).max()) + 1
    euler = len(mesh.vertices) - len(shared) + len(triangles)
    scene = RayScene(mesh.vertices, triangles)
    found = {"pinholes": round(parts - euler / 2), "components": parts, "open edges": int((shared != 2).sum())}
    return found | {"from behind": _from_behind(mesh, scene, anchors), "doubled lips": _doubled(scene, anchors)}


def _rays(middle: np.ndarray, reach: float, spacing: float, towards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Parallel rays (N, 3) from outside along -towards, over a square about a place."""
    up = np.array([0.0, 1.0, 0.0]) if abs(towards[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(up, towards)
    right /= np.linalg.norm(right)
    steps = np.arange(-reach, reach, spacing) + 0.37 * spacing
    a, b = (grid.reshape(-1, 1) for grid in np.meshgrid(steps, steps))
    origins = middle + 3.0 * towards + a * right + b * np.cross(towards, right)
    return origins, np.broadcast_to(-towards, origins.shape)


def _from_behind(mesh: Mesh, scene: RayScene, anchors: np.ndarray) -> int:
    """Triangles that rays from everywhere see from behind; the face, which has the features, by finer rays."""
    normals = face_vectors(mesh.vertices, mesh.triangles)
    face = anchors[anchor_indices(["nose_bridge", "lower_lip"])].mean(0)
    bad = np.zeros(len(normals), dtype=bool)
    for towards in directions(48):
        views = [((scene.centre, 0.9, 8 * SPACING))]
        if towards[2] > 0.2:
            views.append((face, 0.3, SPACING))
        for middle, reach, spacing in views:
            origins, along = _rays(middle, reach, spacing, towards)
            hit = scene.first_hit(origins, along).triangle
            hit = np.unique(hit[hit >= 0])
            bad[hit[normals[hit] @ towards < 0]] = True
    return int(bad.sum())


def _doubled(scene: RayScene, anchors: np.ndarray) -> int:
    mouth = anchors[anchor_indices(["mouth_corner_left", "mouth_corner_right", "lower_lip", "upper_lip"])].mean(0)
    rays = 0
    for towards in ([0.0, 0.0, 1.0], [0.5, 0.0, 0.87], [-0.5, 0.0, 0.87], [0.0, 0.4, 0.92], [0.0, -0.4, 0.92]):
        towards = np.array(towards) / np.linalg.norm(towards)
        origins, along = _rays(mouth, LIPS, SPACING, towards)
        first = scene.first_hit(origins, along).distance
        crossed, at = np.isfinite(first).astype(int), first
        for _ in range(3):
            left = np.flatnonzero(np.isfinite(at))
            start = at[left] + 2e-5
            more = scene.first_hit(origins[left] + start[:, None] * along[left], along[left]).distance + start
            at = np.full(len(first), np.inf)
            at[left] = np.where(more < first[left] + DEPTH, more, np.inf)
            crossed += np.isfinite(at)
        rays += int((crossed > 2).sum())
    return rays


def heads(model, options) -> list[tuple[str, object, torch.Tensor]]:
    """Name, model and identity (1, D) of the heads drawn and fitted."""
    drawn = model.prior.draw(options.heads, np.random.default_rng(options.seed), 1.0) if options.heads else []
    found = [(f"drawn {index}", model, torch.from_numpy(code)[None]) for index, code in enumerate(drawn)]
    if options.fits:
        from headfield.fit.result import Fit

        files = sorted(options.fits.rglob("fit.npz"))[: options.most]
        fits = [Fit.load(file) for file in files]
        found += [
            (str(file.parent.name), fit.model, fit.codes(neutral=True).identity) for file, fit in zip(files, fits)
        ]
    return found


def made(model, codes: Codes, resolution: int, how: dict) -> tuple[Mesh, Taken]:
    """A mesh and what it took."""
    meshes = []
    taken = timed(lambda: meshes.append(mesh_of(model, codes, resolution, **how)))
    return meshes[0], taken


def close_ups(mesh: Mesh, anchors: np.ndarray) -> list[np.ndarray]:
    """Pictures of the features."""
    images = []
    for names, reach in PICTURED.values():
        place = anchors[anchor_indices(names)]
        frame = np.concatenate([place - reach, place + reach])
        view = (0, -30) if "nose_wing_left" in names else (20, 0)
        images.append(render(mesh, view=view, size=420, frame_on=frame, occlusion_rays=8))
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--heads", type=int, default=24)
    parser.add_argument("--fits", type=Path)
    parser.add_argument("--most", type=int, default=24, help="fits at most")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load(options.model)
    print(f"{platform.machine()}, {options.threads} threads, torch {torch.__version__}, {options.resolution}^3")
    sides = {"plain": {"finer": PLAIN, "sealed_eyes": False}, "finer": {"sealed_eyes": False}, "sealed": {}}
    total = {(side, name): np.zeros(len(COUNTS), dtype=int) for side in sides for name in EXPRESSIONS}
    spent, vertices, surfaces = dict.fromkeys(sides, ZERO), dict.fromkeys(sides, 0), 0
    for label, its, identity in heads(model, options):
        anchors = its.anchors(Codes(identity))[0].detach().numpy().astype(float)
        for name, weights in EXPRESSIONS.items():
            expression = torch.tensor([[weights.get(channel, 0.0) for channel in ARKIT]]) if weights else None
            codes, rows = Codes(identity, expression), []
            surfaces += 1
            for side, how in sides.items():
                mesh, taken = made(its, codes, options.resolution, how)
                spent[side] += taken
                found = counts(mesh, anchors)
                total[side, name] += [found[key] for key in COUNTS]
                vertices[side] += len(mesh.vertices)
                rows.append(close_ups(mesh, anchors) if options.pictures else [])
                print(f"{label}, {name}, {side}: " + ", ".join(f"{found[key]} {key}" for key in COUNTS), flush=True)
            if options.pictures:
                options.pictures.mkdir(parents=True, exist_ok=True)
                sheet = contact_sheet(sum(rows, []), columns=3)
                write_png(sheet, options.pictures / f"{label}_{name}.png".replace(" ", "_"))
    print(f"\n{'surface':24s}" + "".join(f"{key:>14s}" for key in COUNTS))
    for (side, name), row in total.items():
        print(f"{side + ', ' + name:24s}" + "".join(f"{count:14,d}" for count in row))
    print(f"\n{surfaces} surfaces")
    for side in sides:
        wall, cpu = (getattr(spent[side], k) / max(getattr(spent["plain"], k), 1e-9) for k in ("wall", "cpu"))
        size = f"{vertices[side] / surfaces:,.0f} vertices"
        print(f"   {side}: {spent[side]}, {size}; {wall:.2f} x wall, {cpu:.2f} x CPU of plain")


if __name__ == "__main__":
    main()
