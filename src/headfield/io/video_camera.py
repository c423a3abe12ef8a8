"""The camera of a head video as IMAvatar's data hold it: a pinhole that looks along -z.

``world_mat`` takes model units (FLAME times 4, the model frame of :mod:`headfield.frames`) to camera axes: x right, y
up, z backwards. Intrinsics (fx, fy, cx, cy) are shares of the picture's width and height; with z negative in front of
the camera a picture that is not mirrored has fx < 0 and fy > 0:

    column = width (fx x / z + cx),    row = height (fy y / z + cy)

Pixel (row, column) is seen along the ray through these very numbers, as the published reader has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FILE = "flame_params.json"
"""Where a video's cameras and tracks are written."""

POSE_JOINTS = ("root", "neck", "jaw", "left eye", "right eye")
"""What the 15 numbers of a frame's ``pose`` turn, three each."""


@dataclass(frozen=True)
class VideoCamera:
    """One frame's camera.

    Attributes:
        world: (3, 4) from model units to camera axes; a proper rotation and a translation.
        intrinsics: (4,) fx, fy, cx, cy in parts of width and height.
        size: (height, width) in pixels.
    """

    world: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]

    @property
    def origin(self) -> np.ndarray:
        """(3,) the camera's centre, model units."""
        return -self.world[:, :3].T @ self.world[:, 3]

    def rays(self, pixels: np.ndarray | None = None) -> np.ndarray:
        """Unit directions (N, 3) in the model frame.

        Args:
            pixels: (N,) indices counted along rows, None for all; fractions lie between two columns.
        """
        height, width = self.size
        pixels = np.arange(height * width) if pixels is None else np.asarray(pixels)
        row, column = np.divmod(pixels, width)
        return self.through(np.stack([column, row], axis=1))

    def through(self, places: np.ndarray) -> np.ndarray:
        """Unit directions (N, 3) through places (N, 2) of the picture: column and row."""
        height, width = self.size
        fx, fy, cx, cy = self.intrinsics
        x, y = (places[:, 0] / width - cx) / fx, (places[:, 1] / height - cy) / fy
        directions = -np.stack([x, y, np.ones(len(places))], axis=1) @ self.world[:, :3]
        return directions / np.linalg.norm(directions, axis=1, keepdims=True)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Column and row (N, 2) of points (N, 3), and how far (N,) they lie before the camera (negative: behind)."""
        height, width = self.size
        fx, fy, cx, cy = self.intrinsics
        x, y, z = (np.asarray(points) @ self.world[:, :3].T + self.world[:, 3]).T
        safe = np.where(np.abs(z) < 1e-9, -1e-9, z)
        return np.stack([width * (fx * x / safe + cx), height * (fy * y / safe + cy)], axis=1), -z

    def resized(self, size: tuple[int, int]) -> VideoCamera:
        """The same view with (height, width) other pixels."""
        return VideoCamera(self.world, self.intrinsics, size)
