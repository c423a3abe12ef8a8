"""A surface as a field on a narrow band of voxels, to be smoothed by a stated sigma, closed, cut and meshed evenly.

What a capture's software does to a face is closest to this: depth is fused in voxels, details below a width vanish,
gaps are bridged. The field is the signed distance; a Gaussian of standard deviation s takes a relief of wavelength w
down by exp(-2 (pi s / w)^2), as on any surface that is nearly flat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from headfield.errors import need
from headfield.parametric.topology import components


@dataclass
class Volume:
    """Signed distance on a grid, clipped, negative inside; the unit is the vertices'.

    Attributes:
        values: (X, Y, Z) float32.
        origin: (3,) position of values[0, 0, 0].
        step: Distance between neighbours.
        clip: Largest absolute value.
    """

    values: np.ndarray
    origin: np.ndarray
    step: float
    clip: float

    @staticmethod
    def of(
        vertices: np.ndarray, triangles: np.ndarray, surface: np.ndarray, box: np.ndarray, step: float, clip: float
    ) -> Volume:
        """The field of a mesh whose components may overlap: the union's.

        Args:
            vertices: (V, 3).
            triangles: (F, 3), closed or nearly so.
            surface: (F,) bool, triangles that are measured to; the others only close the solid.
            box: (2, 3) what is needed.
            step: Of the grid.
            clip: Distances are known up to this.
        """
        igl = need("igl", "synth", "Signed distances")
        shape = np.ceil((box[1] - box[0]) / step).astype(int) + 1
        vertices = np.ascontiguousarray(vertices, dtype=float)
        shown = np.ascontiguousarray(triangles[surface], dtype=np.int64)
        band = _band(vertices, shown, box[0], step, tuple(shape), clip)
        places = box[0] + step * np.argwhere(band)
        tree = igl.AABB()
        tree.init(vertices, shown)
        distance = np.sqrt(tree.squared_distance(vertices, shown, places)[0])
        inside, label = np.zeros(len(places), dtype=bool), components(triangles)
        for k in range(label.max() + 1):  # inside any component
            corners = np.ascontiguousarray(triangles[label == k], dtype=np.int64)
            own = vertices[np.unique(corners)]
            ask = np.flatnonzero(~inside & ((places >= own.min(0)) & (places <= own.max(0))).all(1))
            if len(ask):
                bvh = igl.FastWindingNumberBVH()
                bvh.init(vertices, corners, 2)
                inside[ask] = bvh.winding_number(places[ask], 2.0) > 0.5
        values = np.full(tuple(shape), np.nan, dtype=np.float32)
        values[band] = np.clip(np.where(inside, -distance, distance), -clip, clip)
        return Volume(_flooded(values, clip), box[0].astype(float), step, clip)

    def smoothed(self, sigma: float) -> Volume:
        """After a Gaussian of standard deviation `sigma`, in the vertices' unit."""
        return self.with_values(ndimage.gaussian_filter(self.values, sigma / self.step, truncate=3.0))

    def closed(self, radius: float) -> Volume:
        """Hollows narrower than twice `radius` filled: what is farther than it from a place outside is inside."""
        radius = min(radius, self.clip - self.step)  # farther than the clip nothing is known
        outside = ndimage.distance_transform_edt(self.values < radius) * self.step
        grown = np.where(self.values < radius, outside, 0)
        # within `radius` of the grown solid's outside: back to the solid's own skin
        return self.with_values(np.clip(radius - grown, -self.clip, self.clip).astype(np.float32))

    def with_values(self, values: np.ndarray) -> Volume:
        """The same grid with other values."""
        return Volume(values.astype(np.float32), self.origin, self.step, self.clip)

    def places(self) -> np.ndarray:
        """Positions (X, Y, Z, 3) of the samples."""
        grid = np.meshgrid(*(np.arange(n) for n in self.values.shape), indexing="ij")
        return self.origin + self.step * np.stack(grid, axis=-1)

    def near(self, centre: np.ndarray, radius: float) -> np.ndarray:
        """A weight (X, Y, Z), 1 at `centre` (3,) and 0 beyond `radius`, smooth."""
        axes = [self.origin[k] + self.step * np.arange(n) - centre[k] for k, n in enumerate(self.values.shape)]
        squared = axes[0][:, None, None] ** 2 + axes[1][None, :, None] ** 2 + axes[2][None, None, :] ** 2
        return np.clip(1 - squared / radius**2, 0, 1).astype(np.float32) ** 2

    def mesh(self) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (N, 3) and triangles of the zero level, outward, as even as the grid."""
        from skimage.measure import marching_cubes

        padded = np.pad(self.values, 1, constant_values=self.clip)
        vertices, triangles, _, _ = marching_cubes(padded, 0.0)
        return self.origin + self.step * (vertices - 1.0), triangles.astype(np.int64)


def _band(vertices, triangles, origin, step: float, shape: tuple[int, ...], clip: float) -> np.ndarray:
    """Voxels (X, Y, Z) bool within `clip` of the surface, and a voxel more."""
    corners = vertices[triangles]
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(1)
    seeds = np.zeros(shape, dtype=bool)
    pieces = np.maximum(np.ceil(longest / step).astype(int), 1)
    for count in np.unique(pieces):
        own = corners[pieces == count]
        weights = np.array([(count - i - j, i, j) for i in range(count + 1) for j in range(count + 1 - i)]) / count
        for weight in weights:
            index = np.rint((np.einsum("c,tcx->tx", weight, own) - origin) / step).astype(int)
            index = index[((index >= 0) & (index < shape)).all(1)]
            seeds[tuple(index.T)] = True
    return ndimage.distance_transform_edt(~seeds) * step <= clip + 1.5 * step


def _flooded(values: np.ndarray, clip: float) -> np.ndarray:
    """Values outside the band (NaN): the clip, with the sign of the nearest place in it; and voids that do not reach
    out of the band are filled."""
    unknown = np.isnan(values)
    if unknown.any():
        nearest = ndimage.distance_transform_edt(unknown, return_distances=False, return_indices=True)
        values = np.where(unknown, np.copysign(clip, values[tuple(nearest)]), values)
    label, count = ndimage.label(values > 0)
    reach = ndimage.maximum(values, label, np.arange(count + 1)) if count else np.zeros(1)
    reach = np.asarray(reach)
    void = (reach < clip)[label] & (values > 0)
    return np.where(void, -values, values).astype(np.float32)


def relaxed(vertices: np.ndarray, triangles: np.ndarray, rounds: int = 3) -> np.ndarray:
    """Vertices (V, 3) moved along the surface towards their neighbours' mean, so that triangles become even."""
    from scipy.sparse import coo_matrix, diags

    from headfield.parametric.topology import vertex_normals

    ends = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(ends, axis=0, return_counts=True)
    both = np.concatenate([edges, edges[:, ::-1]])
    graph = coo_matrix((np.ones(len(both)), both.T), shape=(len(vertices), len(vertices))).tocsr()
    mean = diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1)) @ graph
    rim = np.unique(edges[uses == 1])
    for _ in range(rounds):
        normal = vertex_normals(vertices, triangles)
        move = mean @ vertices - vertices
        move -= (move * normal).sum(1, keepdims=True) * normal
        move[rim] = 0.0
        vertices = vertices + 0.6 * move
    return vertices
