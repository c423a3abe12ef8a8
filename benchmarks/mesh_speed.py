"""Speed and exactness of mesh extraction. Both sides of every ratio are measured in this run, with the same threads.

    python benchmarks/mesh_speed.py small --model imhead-open-small     # 256^3, neutral and posed: seconds
    python benchmarks/mesh_speed.py signs --model imhead-open-small --heads 10 --resolution 256
    python benchmarks/mesh_speed.py paper --model imhead-open-small     # paper size, random weights, against two loops

`signs` compares with the dense grid of the same heads: signs of all samples, vertices in voxels. `paper` takes the
very points that the extraction of a small model's head asks for (timing does not depend on the weights) and times the
paper-size network on them; the loops over the dense grid are measured on slices of it and scaled up, and said so; all
on one thread, since the published loop is also timed without our settings of the machine, and one of them is a
thread's own.
"""

from __future__ import annotations

import argparse
import platform
import time

import numpy as np
import published
import torch
from clock import ZERO, Taken, timed

from headfield.models.imhead.config import imhead
from headfield.models.imhead.model import ImHead
from headfield.models.release import load
from headfield.surface import extract as extraction
from headfield.surface.marching import grid_for, mesh_of_grid
from headfield.surface.mesh_head import mesh_with_report
from headfield.types import ARKIT, Codes

OPEN_SMILE = {"jawOpen": 0.5, "mouthSmileLeft": 0.6, "mouthSmileRight": 0.6}


def codes_of(model: ImHead, seed: int, posed: bool = False) -> Codes:
    """A random head at 0.8 standard deviations, seed 0 the mean head."""
    z = model.prior.means[0].clone()
    if seed:
        z += 0.8 * torch.randn(len(z), generator=torch.Generator().manual_seed(seed))
    expression = torch.tensor([[OPEN_SMILE.get(name, 0.0) for name in ARKIT]]) if posed else None
    return Codes(z[None], expression)


def small(model: ImHead, resolution: int, repeats: int) -> None:
    """Seconds of a whole mesh: extraction, projection, normals."""
    for kind in ("neutral", "posed"):
        best = None
        for _ in range(repeats):
            begin = time.perf_counter()
            mesh, report = mesh_with_report(model, codes_of(model, 1, kind == "posed"), resolution)
            taken = time.perf_counter() - begin
            best = (taken, mesh, report) if best is None or taken < best[0] else best
        taken, mesh, report = best
        print(
            f"{kind:8s} {resolution}^3: {taken:6.2f} s (field {report.seconds_field:.2f}, projection and normals "
            f"{report.seconds_project:.2f}); {report.evaluations:,} samples, {len(mesh.vertices):,} vertices"
        )


def signs(model: ImHead, heads: int, resolution: int) -> None:
    """Sign mismatches and vertex differences against the dense grid, on random heads, every third posed."""
    worst, wrong = 0.0, 0
    for seed in range(heads):
        codes = codes_of(model, seed, seed % 3 == 2)
        field = field_of(model, codes)
        grid = grid_for(model.box, resolution)
        sampler = extraction._Sampler(field, grid, 16_384)
        state, *_ = extraction._sample_sparsely(sampler, grid, 1.3)
        dense, _ = extraction.dense_grid(field, model.box, resolution, chunk=16_384)
        mismatches = int(((state < 0) != (extraction.off_zero(dense, grid.voxel) < 0)).sum())
        ours = extraction.extract(field, model.box, resolution, chunk=16_384)
        truth = mesh_of_grid(dense, grid)
        same = ours.triangles.shape == truth.triangles.shape and np.array_equal(ours.triangles, truth.triangles)
        apart = float(np.abs(ours.vertices - truth.vertices).max() / grid.voxel) if same else float("inf")
        worst, wrong = max(worst, apart), wrong + mismatches
        print(f"head {seed}: {mismatches} of {dense.size:,} signs differ; vertices {apart:.1e} voxel apart", flush=True)
    print(f"{heads} heads at {resolution}^3: {wrong} sign mismatches, vertices within {worst:.1e} voxel")


def field_of(model: ImHead, codes: Codes, dense: bool = False):
    """A field for the extraction."""
    condition = model.condition(codes)

    def field(points: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model.signed_distance(torch.from_numpy(points)[None], condition, dense=dense)[0].numpy()

    return field


def paper(shape: ImHead, resolution: int, batches: int) -> None:
    """Paper size: coarse to fine against the published loop and against our own best dense path."""
    asked: list[np.ndarray] = []
    codes = codes_of(shape, 1)
    of_shape = field_of(shape, codes)

    def recording(points: np.ndarray) -> np.ndarray:
        asked.append(points.copy())
        return of_shape(points)

    found = extraction.extract_full(recording, shape.box, resolution, chunk=16_384)
    marching = found.seconds - found.seconds_field
    elsewhere = Taken(marching, marching)
    torch.manual_seed(0)
    model = ImHead(imhead(), box=shape.box).eval().requires_grad_(False)
    with torch.no_grad():  # features must matter, or parts of the fusion could be skipped
        model.fusion.first[:, :, 3:].normal_(std=0.05)
    codes = Codes(torch.randn(1, model.config.identity, generator=torch.Generator().manual_seed(1)))
    grid = grid_for(shape.box, resolution)
    everything = int(np.prod(grid.shape))

    ours, field = ZERO, field_of(model, codes)
    field(asked[0])
    for points in asked:
        ours += timed(lambda p=points: field(p))
    ours += elsewhere
    print(f"coarse to fine, {sum(map(len, asked)):,} of {everything:,} samples, marching cubes included: {ours}")

    # slices through the middle of the head, spread over the grid: sparse parts depend on where points are
    slices = _slices(grid, batches)
    for setting, name in published.settings():
        with setting():
            loop = _loop_seconds(lambda p: published.signed_distance(model, p, codes), slices, published.BATCH)
        whole = loop * everything
        print(f"published loop (batched products over all parts, {published.BATCH:,} points a batch), {name}:")
        print(f"   {whole}, scaled from {batches} slices -> {whole.over(ours)}", flush=True)
    error = max(
        float((published.signed_distance(model, p[:2000], codes) - model.signed_distance(p[None, :2000], codes)[0])
              .abs().max()) for p in slices
    )  # fmt: skip
    print(f"   both give the same values: largest difference {error:.1e} model units")
    condition = model.condition(codes)
    for label, dense in (("all parts (dense path)", True), ("active parts only", False)):
        seconds = {
            chunk: _loop_seconds(
                lambda p, d=dense: model.signed_distance(p[None], condition, dense=d)[0], slices, chunk
            )
            for chunk in (1024, 4096, 16_384)
        }
        chunk = min(seconds, key=lambda c, of=seconds: of[c].cpu)
        whole = seconds[chunk] * everything
        print(f"our dense grid, {label}, best chunk {chunk:,}:")
        print(f"   {whole}, scaled from {batches} slices -> {whole.over(ours)}", flush=True)


def _slices(grid, count: int) -> list[torch.Tensor]:
    """Batches of published.BATCH points, each from one plane x = const (and its neighbours) of the grid."""
    indices = np.linspace(0.1, 0.9, count) * grid.shape[0]
    per_plane = grid.shape[1] * grid.shape[2]
    found = []
    for index in indices.astype(int):
        flat = index * per_plane + (per_plane - min(published.BATCH, per_plane)) // 2 + np.arange(published.BATCH)
        place = np.stack(np.unravel_index(flat % int(np.prod(grid.shape)), grid.shape), 1)
        found.append(torch.from_numpy((grid.origin + grid.voxel * place).astype(np.float32)))
    return found


def _loop_seconds(call, slices, chunk: int) -> Taken:
    """Seconds a point: each slice cut in chunks, the median over slices, after one call to warm up."""
    with torch.no_grad():
        call(slices[0][:chunk])
        taken = [timed(lambda p=points: [call(part) for part in p.split(chunk)]) for points in slices]
    wall, cpu = (float(np.median([getattr(t, name) for t in taken])) for name in ("wall", "cpu"))
    return Taken(wall, cpu) * (1 / len(slices[0]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("small", "signs", "paper"))
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--heads", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slices", type=int, default=3, help="batches of 25,000 points that each loop is timed on")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    threads = 1 if options.part == "paper" else options.threads
    torch.set_num_threads(threads)
    model = load(options.model)
    print(f"{options.part}: {platform.machine()}, {threads} threads, torch {torch.__version__}", flush=True)
    if options.part == "small":
        small(model, options.resolution, options.repeats)
    elif options.part == "signs":
        signs(model, options.heads, options.resolution)
    else:
        paper(model, options.resolution, options.slices)


if __name__ == "__main__":
    main()
