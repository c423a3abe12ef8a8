"""Blendshape baking: seconds, distance to the posed surface, turned triangles, and correspondence against the truth.

    python benchmarks/bake.py speed                      # 52 shapes at 20,000 vertices: seconds by stage
    python benchmarks/bake.py fidelity --sums 50         # baked mesh against extracted posed surface, all 52 and sums
    python benchmarks/bake.py correspondence --heads 8   # held-out synthetic people (ICT-FaceKit and anny needed)

`fidelity` measures from points spread evenly over the baked mesh to the nearest point of the mesh extracted from the
posed field. *Seen* leaves out what nobody sees: behind closed lips the baked mesh keeps its mouth's bag, where the
field is solid and has no surface. `correspondence` fits each person's neutral scan, finds the person's true face
vertices on the baked neutral head, lets the baked expression carry them, and compares with where the truth carried
them; *as fitted* includes the fit's own error, *motion* compares the displacements; *still* is the answer that nothing
moves.
"""

from __future__ import annotations

import argparse
import platform

import numpy as np
import torch
from clock import timed

from headfield.frames import MM_PER_UNIT
from headfield.models.imhead.model import ImHead
from headfield.models.release import load
from headfield.surface.bake import bake
from headfield.surface.baked import Baked
from headfield.surface.mesh_head import mesh_of
from headfield.surface.visibility import visible_triangles
from headfield.synth.expressions import tame
from headfield.types import ARKIT, Codes, Mesh


def head(model: ImHead, seed: int) -> Codes:
    """The mean head, or a random one at 0.8 standard deviations."""
    z = model.prior.means[0].clone()
    if seed:
        z += 0.8 * torch.randn(len(z), generator=torch.Generator().manual_seed(seed))
    return Codes(z[None])


def speed(model: ImHead, options) -> None:
    """Seconds of a whole bake."""
    for seed in range(1, 1 + options.heads):
        found = []
        taken = timed(lambda s=seed, into=found: into.append(bake(model, head(model, s), options.vertices)))
        seconds = {name: round(value, 1) for name, value in found[0].report["seconds"].items()}
        print(f"head {seed}: {len(found[0].neutral):,} vertices, {taken}; {seconds}", flush=True)


def fidelity(model: ImHead, options) -> None:
    """Distances of baked shapes and of sums of five to the extracted posed surface."""
    rng = np.random.default_rng(0)
    single, sums, flips = [], [], {}
    for seed in range(1, 1 + options.heads):
        codes = head(model, seed)
        baked = bake(model, codes, options.vertices)
        for name, facts in baked.report["shapes"].items():
            flips[f"{name} of head {seed}"] = facts["flips"]
        flips[f"neutral of head {seed}"] = baked.report["neutral_flips"]
        for index in range(0, len(ARKIT), options.every):
            weights = np.zeros(len(ARKIT))
            weights[index] = 1.0
            if ARKIT[index] == "mouthClose":  # it corrects an open jaw
                weights[ARKIT.index("jawOpen")] = 1.0
            single.append((f"{ARKIT[index]} of head {seed}", *distances(model, codes, baked, weights, options)))
        for number in range(options.sums // options.heads):
            weights = np.zeros(len(ARKIT))
            weights[rng.choice(len(ARKIT), 5, replace=False)] = rng.uniform(0.2, 1.0, 5)
            sums.append((f"sum {number} of head {seed}", *distances(model, codes, baked, tame(weights), options)))
    for title, found in (("single shapes", single), ("sums of five", sums)):
        if found:
            table = np.array([row[1:] for row in found])
            worst = found[int(table[:, 0].argmax())]
            print(f"{title}, {len(found)}: seen mean {table[:, 0].mean():.3f} mm (worst {worst[1]:.3f}: {worst[0]}), "
                  f"seen p99 {table[:, 1].mean():.2f} mm, all of it {table[:, 2].mean():.3f} mm, "
                  f"surface to baked {table[:, 3].mean():.3f} mm")  # fmt: skip
    worst = max(flips, key=flips.get)
    over = sum(value > 1e-3 for value in flips.values())
    print(f"turned triangles: worst {flips[worst]:.3%} ({worst}); over 0.1 % in {over} of {len(flips)} shapes")


def distances(model: ImHead, codes: Codes, baked: Baked, weights: np.ndarray, options) -> tuple[float, ...]:
    """Mean and p99 over what is seen, mean over everything, and mean of what is seen of the surface to the baked."""
    from dataclasses import replace

    posed = baked.mesh(weights)
    surface = mesh_of(
        model, replace(codes, expression=torch.tensor(weights, dtype=torch.float32)[None]), options.resolution
    )
    seen = visible_triangles(posed)
    points, triangle = spread(posed, 40_000)
    there = nearest(points, surface)
    points, on = spread(surface, 40_000)
    back = nearest(points[visible_triangles(surface)[on]], posed)
    answer = there[seen[triangle]].mean(), np.percentile(there[seen[triangle]], 99), there.mean(), back.mean()
    return tuple(float(value) * MM_PER_UNIT for value in answer)


def spread(mesh: Mesh, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3) spread evenly over a mesh, and their triangles."""
    import trimesh

    shape = trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False)
    points, triangle = trimesh.sample.sample_surface(shape, count, seed=0)
    return np.asarray(points), np.asarray(triangle)


def nearest(points: np.ndarray, mesh: Mesh) -> np.ndarray:
    """Distances (N,) to the nearest point of a mesh."""
    import igl

    return np.sqrt(igl.point_mesh_squared_distance(points, np.asarray(mesh.vertices, float), mesh.triangles)[0])


def correspondence(model: ImHead, options) -> None:
    """How far the baked head carries true face points from where the truth carries them."""
    import igl

    from headfield.evaluate.observe import FULL, observe
    from headfield.evaluate.truth import frozen_person, lip_mask
    from headfield.fit.run import fit
    from headfield.synth.person import family

    rows: dict[bool, list[tuple[float, ...]]] = {True: [], False: []}
    for number in range(options.heads):
        name, index = ("ict", "anny")[number % 2], number // 2
        person = frozen_person(name, "dev", index, "bald")
        seen = observe(person, None, FULL, np.random.default_rng(number), person.key.id)
        found = fit(seen.scan, model, expression="neutral", refuse=False)
        to_fit = found.placement.after(seen.truth.inverse())
        mm = 1000.0 / person.placement.scale / to_fit.scale
        baked = bake(model, found.codes(neutral=True), options.vertices)
        neutral = person.neutral
        face = np.asarray(family(name)[0].face_mask, dtype=bool) & (neutral.shown > 0.5)
        lips = lip_mask(person)[face]
        rest = to_fit.apply(neutral.vertices[face])
        vertices = baked.neutral.astype(float)
        _, triangle, place = igl.point_mesh_squared_distance(rest, vertices, baked.triangles)
        corners = vertices[baked.triangles[triangle]]
        weight = igl.barycentric_coordinates(place, *(np.ascontiguousarray(corners[:, k]) for k in range(3)))
        here = {True: [], False: []}
        for expression in person.expressions(20)[1:]:
            solid = person.solid(expression)
            truth = to_fit.apply(solid.vertices[face])
            carried = baked.posed(expression).astype(float)[baked.triangles[triangle]]
            carried = np.einsum("nk,nkc->nc", weight, carried)
            gap = np.linalg.norm(carried - truth, axis=1) * mm
            motion = np.linalg.norm((carried - place) - (truth - rest), axis=1) * mm
            still = np.linalg.norm(truth - rest, axis=1) * mm
            here[solid.lips_open].append((gap.mean(), motion.mean(), still.mean(), motion[lips].mean()))
        for apart, found_rows in here.items():
            rows[apart] += found_rows
        both = np.array(here[True] + here[False]).mean(0)
        print(f"{person.key.id}: as fitted {both[0]:.2f}, motion {both[1]:.2f}, still {both[2]:.2f} mm", flush=True)
    tables = {"lips apart": rows[True], "lips together": rows[False], "all": rows[True] + rows[False]}
    for title, table in tables.items():
        fitted, motion, still, lips = np.array(table).mean(0)
        print(f"{title}, {len(table)} expressions: as fitted {fitted:.2f} mm, motion {motion:.2f} mm "
              f"(lips {lips:.2f}), still {still:.2f} mm")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "fidelity", "correspondence"))
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--vertices", type=int, default=20_000)
    parser.add_argument("--heads", type=int, default=1)
    parser.add_argument("--sums", type=int, default=50)
    parser.add_argument("--every", type=int, default=1, help="measure every n-th of the 52 single shapes")
    parser.add_argument("--resolution", type=int, default=256, help="of the extracted posed surface")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = load(options.model)
    print(f"{options.part}: {platform.machine()}, {options.threads} threads, torch {torch.__version__}", flush=True)
    {"speed": speed, "fidelity": fidelity, "correspondence": correspondence}[options.part](model, options)


if __name__ == "__main__":
    main()
