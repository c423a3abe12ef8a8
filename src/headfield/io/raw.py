"""What a file holds, before any cleaning; and how several parts become one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class RawGeometry:
    """Arrays as the file states them: nothing dropped, nothing checked.

    Attributes:
        points: (N, 3) numbers, any float or integer type.
        normals: (N, 3) or None.
        triangles: (F, 3) int or None.
        colours: (N, 3 or 4) uint8 sRGB or None.
        units: The unit that the format or file states, or None.
        notes: What of the file was left out or taken otherwise than it says, a sentence each.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    triangles: np.ndarray | None = None
    colours: np.ndarray | None = None
    units: str | None = None
    notes: tuple[str, ...] = ()

    def placed(self, matrix: np.ndarray) -> RawGeometry:
        """It after an affine transform (4, 4) that acts on columns; a mirror turns the triangles round."""
        if np.array_equal(matrix, np.eye(4)):
            return self
        linear, normals, triangles = matrix[:3, :3], self.normals, self.triangles
        if normals is not None:
            normals = normals @ np.linalg.inv(linear)  # inverse transpose: right for any scale
        if triangles is not None and np.linalg.det(linear) < 0:
            triangles = triangles[:, ::-1]  # a mirror turns triangles inside out
        points = self.points @ linear.T + matrix[:3, 3]
        return replace(self, points=points, normals=normals, triangles=triangles)


def joined(parts: list[RawGeometry]) -> RawGeometry:
    """Several geometries as one; normals and colours survive only if every part has them.

    Args:
        parts: One or more, of one unit.
    """
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0] + [len(part.points) for part in parts])
    triangles = [part.triangles + start for part, start in zip(parts, starts) if part.triangles is not None]
    return RawGeometry(
        np.concatenate([part.points for part in parts]),
        _all_of([part.normals for part in parts]),
        np.concatenate(triangles) if triangles else None,
        _all_of([part.colours for part in parts]),
        parts[0].units,
        tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _all_of(arrays: list[np.ndarray | None]) -> np.ndarray | None:
    """Arrays one after the other; None unless all are there."""
    known = [array for array in arrays if array is not None]
    return np.concatenate(known) if len(known) == len(arrays) else None


def corners_merged(raw: RawGeometry) -> RawGeometry:
    """Vertices at exactly equal positions merged, with the first one's colour; normals go."""
    points, first, index = np.unique(raw.points, axis=0, return_index=True, return_inverse=True)
    colours = None if raw.colours is None else raw.colours[first]
    return replace(raw, points=points, normals=None, triangles=np.ravel(index)[raw.triangles], colours=colours)
