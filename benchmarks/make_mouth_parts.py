"""The packaged mouth parts, made from ICT-FaceKit: closed, mirror-symmetric solids of teeth, gums and tongue.

    python benchmarks/make_mouth_parts.py --out src/headfield/surface/mouth_parts.npz     # HEADFIELD_DATA is needed

ICT's teeth are closed solids and are only decimated. Its gums, palate, floor of the mouth and tongue are one open sheet
that stretches from jaw to jaw: it is parted by what the jaw moves, what it encloses (winding number above a half) is
sampled on a grid, and the tongue is parted from the gums, so that each is a closed solid that moves on its own. Only
the left half is made; the right one is its mirror image, vertex for vertex.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import igl
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from headfield.frames import MM_PER_UNIT, anchor_indices, reference_anchors
from headfield.parametric.ict_files import PARTS, index_file, read_ict
from headfield.surface.mouth_parts import CHIN
from headfield.types import Similarity

VOXEL_CM = 0.08
"""Samples of the solids made from the sheet."""

GUM_CM = 0.42
"""Gums reach this far from the teeth's roots; what the sheet of the lower jaw encloses beyond is tongue."""

TRIANGLES = {"tooth": 100, "gumsUpper": 1300, "gumsLower": 1100, "tongue": 700}
"""Of each tooth, and of the left half of each other part."""

MICROMETRES = 10.0
"""Rounding of the stored positions."""

LICENCE = (
    "Derived from ICT-FaceKit (teeth, gums, tongue and their motion under jawOpen, jawForward and jawLeft), "
    "Copyright (c) 2020 USC Institute for Creative Technologies, MIT License: permission is hereby granted, free of "
    "charge, to deal in the Software without restriction, subject to this notice being included in all copies; the "
    "Software is provided 'as is', without warranty of any kind."
)


def part_of(data, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a part's vertices, and its triangles (F, 3) counted among them."""
    begin, end = PARTS[name]
    inside = ((data.triangles >= begin) & (data.triangles < end)).all(1)
    return np.arange(begin, end), data.triangles[inside] - begin


def rigid(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and translation that take points (N, 3) to others, least squares (Kabsch 1976)."""
    a, b = source.mean(0), target.mean(0)
    u, _, vt = np.linalg.svd((target - b).T @ (source - a))
    rotation = (u * [1, 1, np.linalg.det(u @ vt)]) @ vt
    return rotation, b - rotation @ a


def solid(sheet: tuple[np.ndarray, np.ndarray], keep, blur: float, pad: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """The left half of what a sheet encloses and ``keep(points) > 0`` allows; its open rim lies on x = 0.

    Args:
        sheet: Vertices and triangles, cm, mirror-symmetric.
        keep: From points (N, 3) to distances in cm, positive where the solid may be.
        blur: Of the sampled distances, voxels.
        pad: Room about the sheet, cm.
    """
    vertices, triangles = sheet
    low, high = vertices.min(0) - pad, vertices.max(0) + pad
    axes = [np.arange(0, high[0], VOXEL_CM), *(np.arange(low[k], high[k], VOXEL_CM) for k in (1, 2))]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    points = grid.reshape(-1, 3)
    inside = igl.fast_winding_number(vertices, triangles, points) > 0.5
    squared = igl.point_mesh_squared_distance(points, vertices, triangles)[0]
    depth = np.where(inside, 1, -1) * np.minimum(np.sqrt(squared), 3 * VOXEL_CM)
    depth = np.minimum(depth, keep(points)).reshape(grid.shape[:3])
    # mirrored before it is smoothed, so that the two halves meet without a crease
    both = np.concatenate([depth[:0:-1], depth])
    smooth = gaussian_filter(both, blur)[len(depth) - 1 :]
    found, faces, _, _ = marching_cubes(smooth, 0.0)
    faces = faces[:, ::-1]  # positive inside
    return largest(found * VOXEL_CM + [0, low[1], low[2]], faces)


def largest(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest connected piece."""
    count = len(vertices)
    links = coo_matrix((np.ones(len(triangles) * 2), (triangles[:, [0, 1]].ravel(), triangles[:, [1, 2]].ravel())),
                       shape=(count, count))  # fmt: skip
    _, label = connected_components(links, directed=False)
    keep = label == np.bincount(label).argmax()
    place = np.cumsum(keep) - 1
    return vertices[keep], place[triangles[keep[triangles].all(1)]]


def decimated(vertices: np.ndarray, triangles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """About so many triangles; a rim on x = 0 stays there."""
    kept, faces, _, _ = igl.qslim(np.ascontiguousarray(vertices, float), np.ascontiguousarray(triangles, int), count)
    rim = np.unique(open_edges(faces))
    kept[rim, 0] = 0.0
    return kept, faces


def open_edges(triangles: np.ndarray) -> np.ndarray:
    """Edges (E, 2) of one triangle only."""
    edges = np.sort(np.concatenate([triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]), axis=1)
    unique, uses = np.unique(edges, axis=0, return_counts=True)
    return unique[uses == 1]


def mirrored(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of a left one; vertices of an open rim, on x = 0, are shared."""
    shared = np.zeros(len(vertices), dtype=bool)
    shared[np.unique(open_edges(triangles))] = True
    other = np.where(shared, np.arange(len(vertices)), len(vertices) + np.cumsum(~shared) - 1)
    both = np.concatenate([vertices, vertices[~shared] * [-1, 1, 1]])
    return both, np.concatenate([triangles, other[triangles][:, ::-1]])


def teeth(vertices: np.ndarray, triangles: np.ndarray, upper: bool) -> tuple[np.ndarray, np.ndarray]:
    """One jaw's teeth, decimated: each a closed solid."""
    links = coo_matrix((np.ones(len(triangles) * 2), (triangles[:, [0, 1]].ravel(), triangles[:, [1, 2]].ravel())),
                       shape=(len(vertices),) * 2)  # fmt: skip
    count, label = connected_components(links, directed=False)
    parts, begin = [], 0
    middle = np.median(vertices[:, 1])
    for tooth in range(count):
        mine = np.flatnonzero(label == tooth)
        if vertices[mine, 0].mean() < 0 or (vertices[mine, 1].mean() > middle) != upper:
            continue
        faces = np.searchsorted(mine, triangles[(label == tooth)[triangles].all(1)])
        shape, faces, _, _ = igl.qslim(vertices[mine], faces.astype(int), TRIANGLES["tooth"])
        parts.append((shape, faces + begin))
        begin += len(shape)
    return mirrored(*(np.concatenate(each) for each in zip(*parts)))


def tongue_outline(at: np.ndarray) -> np.ndarray:
    """About how far points (N, 3) lie inside a tongue seen from above, thin towards its tip; cm."""
    along = np.clip(at[:, 2] - 6.2, 0, None) / 3.45
    around = ((np.abs(at[:, 0]) / 2.1) ** 2.5 + along**2.5) ** 0.4
    floor = -4.6 + 0.75 * along**2
    return np.minimum.reduce([2.0 * (1 - around), at[:, 1] - floor, at[:, 2] - 3.9])


def tongue_out(vertices: np.ndarray) -> np.ndarray:
    """Offsets (V, 3), cm, of a tongue stretched forward over the lower teeth and down over the lip.

    The tongue's middle line is laid along a curve (cubic Bezier) from the root, where it stays; it gets thinner.
    """
    root, tip = 4.6, vertices[:, 2].max()
    along = np.clip((vertices[:, 2] - root) / (tip - root), 0, 1)
    middle = -3.75 + 0.15 * along  # of its thickness
    corners = np.array([[middle.min(), root], [-2.6, root + 3.2], [-2.2, root + 6.6], [-4.35, 13.4]])
    t = along[:, None]
    curve = ((1 - t) ** 3 * corners[0] + 3 * t * (1 - t) ** 2 * corners[1] + 3 * t**2 * (1 - t) * corners[2]
             + t**3 * corners[3])  # fmt: skip
    slope = (3 * (1 - t) ** 2 * (corners[1] - corners[0]) + 6 * t * (1 - t) * (corners[2] - corners[1])
             + 3 * t**2 * (corners[3] - corners[2]))  # fmt: skip
    slope /= np.linalg.norm(slope, axis=1, keepdims=True)
    height = (vertices[:, 1] - middle) * (1 - 0.35 * along)
    target = vertices.copy()
    target[:, 1] = curve[:, 0] + height * slope[:, 1]
    target[:, 2] = curve[:, 1] - height * slope[:, 0]
    target[:, 0] *= 1 - 0.12 * along
    share = np.clip(along / 0.25, 0, 1)[:, None]
    return (target - vertices) * share**2 * (3 - 2 * share)


def tongue_sinks(vertices: np.ndarray) -> np.ndarray:
    """Offsets (V, 3), cm, by which the tongue's back lies lower, on the jaw's floor, when the mouth is wide open."""
    along = np.clip((vertices[:, 2] - 4.0) / 5.5, 0, 1)
    depth = np.clip((vertices[:, 1] + 4.6) / 1.6, 0, 1)
    return np.column_stack([0 * along, -0.9 * depth * (1 - 0.8 * along**2), 0 * along])


def without_long_roots(vertices: np.ndarray) -> np.ndarray:
    """Teeth whose roots end within the gums' thickness: what lies beyond is squeezed."""
    y = vertices[:, 1].copy()
    y = np.where(y > -1.9, -1.9 + 0.5 * (y + 1.9), np.where(y < -4.6, -4.6 + 0.4 * (y + 4.6), y))
    return np.column_stack([vertices[:, 0], y, vertices[:, 2]])


def make(data) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, np.ndarray]]:
    """The five parts' vertices (cm) and triangles; and by jaw channel the (3, 4) rigid motion at weight 1."""
    places = data.vertices.astype(float)
    offsets = dict(zip(data.expression_names, data.expression.astype(float)))
    crowns, tooth_faces = part_of(data, "teeth")
    lower = crowns[np.linalg.norm(offsets["jawOpen"][crowns], axis=1) > 1.0]
    motions = {}
    for channel in ("jawOpen", "jawForward", "jawLeft"):
        rotation, shift = rigid(places[lower], places[lower] + offsets[channel][lower])
        motions[channel] = np.column_stack([rotation, shift])
    sheet, faces = part_of(data, "gums_tongue")
    points = places[sheet]
    moved = points @ motions["jawOpen"][:, :3].T + motions["jawOpen"][:, 3] - points
    share = (offsets["jawOpen"][sheet] * moved).sum(1) / (moved**2).sum(1)
    upper, under = ((points, faces[side[faces].all(1)]) for side in (share < 0.5, share > 0.5))
    roots = places[lower]
    roots = cKDTree(roots[roots[:, 1] < -3.6])  # below the crowns
    before = lambda at: at[:, 2] - 4.6  # noqa: E731  behind it is throat; the last molars end at 5.1
    solids = {
        "gumsUpper": solid(upper, before, 0.8),
        "gumsLower": solid(under, lambda at: np.minimum(np.minimum(before(at), GUM_CM - roots.query(at)[0]),
                                                       at[:, 1] + 5.4), 0.8),
        "tongue": solid(under, tongue_outline, 1.6),
    }  # fmt: skip
    trimmed = without_long_roots(places[crowns])
    parts = {f"teeth{jaw}": teeth(trimmed, tooth_faces, jaw == "Upper") for jaw in ("Upper", "Lower")}
    return parts | {name: mirrored(*decimated(*half, TRIANGLES[name])) for name, half in solids.items()}, motions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("src/headfield/surface/mouth_parts.npz"))
    options = parser.parse_args()
    data = read_ict()
    parts, motions = make(data)
    places = np.array(index_file("ict_anchors39.json")["vertices"])
    anchors, chin = data.vertices[places], places[anchor_indices(CHIN)]
    to_model = Similarity.between(anchors, reference_anchors())
    stored = {"licence": np.array(LICENCE), "micrometres": np.array(MICROMETRES)}
    rounded = lambda offsets: np.rint(offsets * MM_PER_UNIT * 1000 / MICROMETRES).astype(np.int16)  # noqa: E731
    for name, (vertices, triangles) in parts.items():
        stored[f"{name}.vertices"] = rounded(to_model.apply(vertices))
        stored[f"{name}.triangles"] = triangles.astype(np.uint16)
    tongue = parts["tongue"][0]
    stored["tongue.tongueOut"] = rounded(to_model.scale * to_model.rotate(tongue_out(tongue)))
    across = np.array([-1.0, 1.0, 1.0])
    stored["tongue.jawOpen"] = rounded(to_model.scale * to_model.rotate(tongue_sinks(tongue)))
    for channel, motion in motions.items():
        rotation = to_model.rotation @ motion[:, :3] @ to_model.rotation.T
        shift = (
            to_model.scale * to_model.rotation @ motion[:, 3] + to_model.translation - rotation @ to_model.translation
        )
        skin = data.expression[list(data.expression_names).index(channel)][chin].astype(float)
        stored[f"{channel}.chin"] = to_model.scale * to_model.rotate(skin)
        stored[channel] = np.column_stack([rotation, shift])
    # the jaw opens about an axis across; its other side is the mirror image
    turn, shift = stored["jawOpen"][1:, 1:3], stored["jawOpen"][1:, 3]
    stored["angle"], stored["hinge"] = np.arctan2(turn[1, 0], turn[0, 0]), np.linalg.solve(np.eye(2) - turn, shift)
    del stored["jawOpen"]
    stored["jawForward"] = (stored["jawForward"] + across[:, None] * stored["jawForward"] * [*across, 1.0]) / 2
    stored["jawRight"] = across[:, None] * stored["jawLeft"] * [*across, 1.0]
    swap = [0, 2, 1]  # the chin, and its sides
    stored["jawRight.chin"] = stored["jawLeft.chin"][swap] * across
    np.savez_compressed(options.out, **stored)
    triangles = sum(len(faces) for _, faces in parts.values())
    print(f"{options.out}: {triangles:,} triangles, {options.out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
