"""The nouns that flow between rooms: similarity, scan, mesh, codes and the 52 expression channels."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

ARKIT: list[str] = list(
    (
        "browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff cheekSquintLeft "
        "cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight eyeLookInLeft eyeLookInRight "
        "eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight eyeSquintLeft eyeSquintRight eyeWideLeft "
        "eyeWideRight jawForward jawLeft jawOpen jawRight mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft "
        "mouthFrownRight mouthFunnel mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight "
        "mouthPucker mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft "
        "mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight noseSneerLeft "
        "noseSneerRight tongueOut"
    ).split()
)
"""The 52 ARKit expression channels, weights in [0, 1], in alphabetical order."""


def _swap_side(name: str) -> str:
    if name in ("jawLeft", "mouthLeft"):
        return name.replace("Left", "Right")
    if name in ("jawRight", "mouthRight"):
        return name.replace("Right", "Left")
    if name.endswith("Left"):
        return name[:-4] + "Right"
    if name.endswith("Right"):
        return name[:-5] + "Left"
    return name


ARKIT_MIRROR = np.array([ARKIT.index(_swap_side(name)) for name in ARKIT])
"""Index (52,) of each channel's mirror image: an involution."""


@dataclass(frozen=True)
class Similarity:
    """A similarity transform x -> scale * rotation @ x + translation.

    Attributes:
        rotation: (3, 3) proper rotation.
        translation: (3,) in units of the target frame.
        scale: Target units per source unit, positive.
    """

    rotation: np.ndarray = field(default_factory=lambda: np.eye(3))
    translation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    scale: float = 1.0

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Transform points (..., 3)."""
        return self.scale * (np.asarray(points) @ self.rotation.T) + self.translation

    def rotate(self, directions: np.ndarray) -> np.ndarray:
        """Rotate directions (..., 3), such as normals; no scale, no translation."""
        return np.asarray(directions) @ self.rotation.T

    def inverse(self) -> Similarity:
        """The transform back."""
        rotation = self.rotation.T
        return Similarity(rotation, -(rotation @ self.translation) / self.scale, 1.0 / self.scale)

    def after(self, first: Similarity) -> Similarity:
        """The transform that applies `first`, then this one."""
        return Similarity(self.rotation @ first.rotation, self.apply(first.translation), self.scale * first.scale)

    def matrix(self) -> np.ndarray:
        """Homogeneous matrix (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * self.rotation
        matrix[:3, 3] = self.translation
        return matrix

    @staticmethod
    def from_matrix(matrix: np.ndarray) -> Similarity:
        """From a homogeneous matrix (4, 4) whose upper block is a scaled rotation."""
        matrix = np.asarray(matrix, dtype=float)
        scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
        return Similarity(matrix[:3, :3] / scale, matrix[:3, 3].copy(), scale)

    @staticmethod
    def between(source: np.ndarray, target: np.ndarray, weights: np.ndarray | None = None) -> Similarity:
        """Least-squares similarity from source (N, 3) to target (N, 3) (Umeyama 1991), N >= 3."""
        source, target = np.asarray(source, dtype=float), np.asarray(target, dtype=float)
        share = np.ones(len(source)) if weights is None else np.asarray(weights, dtype=float)
        share = share / share.sum()
        centre_source, centre_target = share @ source, share @ target
        source, target = source - centre_source, target - centre_target
        u, singular, vt = np.linalg.svd(target.T @ (share[:, None] * source))
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        rotation = (u * sign) @ vt
        scale = float((singular * sign).sum() / (share @ (source**2).sum(-1)))
        return Similarity(rotation, centre_target - scale * rotation @ centre_source, scale)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh.

    Attributes:
        vertices: (V, 3) float; frame and unit are the holder's business.
        triangles: (F, 3) int, counter-clockwise seen from outside.
        normals: (V, 3) unit outward normals, or None.
        colours: (V, 4) uint8 RGBA, or None.
        attributes: Extra per-vertex arrays (V, ...) by name, e.g. ``seen`` (bool: observed by the scan).
    """

    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray | None = None
    colours: np.ndarray | None = None
    attributes: dict[str, np.ndarray] = field(default_factory=dict)

    def __repr__(self) -> str:
        held = [name for name in ("normals", "colours") if getattr(self, name) is not None]
        has = "".join(f", {name}" for name in (*held, *self.attributes))
        return f"Mesh({len(self.vertices):,} vertices, {len(self.triangles):,} triangles{has})"

    def transformed(self, similarity: Similarity) -> Mesh:
        """The mesh after a similarity transform."""
        normals = None if self.normals is None else similarity.rotate(self.normals)
        return replace(self, vertices=similarity.apply(self.vertices), normals=normals)


@dataclass(frozen=True)
class Scan:
    """What a scanner saw: points in the file's own frame and unit.

    Attributes:
        points: (N, 3) float64.
        normals: (N, 3) unit, possibly inverted, or None.
        triangles: (F, 3) int into points, or None for a point cloud.
        colours: (N, 4) uint8 RGBA, or None.
        name: Where it came from, for messages.
        units: ``mm``, ``cm``, ``m`` or ``inch`` when the user or the format says so, else None.
        viewpoint: (3,) camera centre for a depth map, in the same frame, else None.
        notes: What reading had to do (dropped NaNs, subsampled), one sentence each.
    """

    points: np.ndarray
    normals: np.ndarray | None = None
    triangles: np.ndarray | None = None
    colours: np.ndarray | None = None
    name: str = "scan"
    units: str | None = None
    viewpoint: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        faces = "" if self.triangles is None else f", {len(self.triangles):,} triangles"
        held = "".join(f", {name}" for name in ("normals", "colours") if getattr(self, name) is not None)
        return f"Scan({self.name}, {len(self.points):,} points{faces}{held}, {self.units or 'unit unknown'})"


@dataclass
class Codes:
    """What controls a head model, batched.

    Attributes:
        identity: (B, D) identity codes z_id.
        expression: (B, E) expression weights, or None for neutral (all zero; skips the deformer).
        parts: (B, K, d) part codes z_j when edited, or None for DecNet's own.
        anchors: (B, K, 3) origins k_j of the local frames when edited, or None for LandmarkNet's own. The blend
            weights always use LandmarkNet's anchors of the unedited identity, so edits stay exactly local.
        around: (B, K) int64: bit k of [b, j] is set where edited part j acts around anchor k, see
            :mod:`headfield.nn.window`; 0 for an unedited part. None lets given parts act wherever they have weight.
        warp_identity: (B, D) identity that the expression deformer sees in place of z_id, or None for z_id itself; see
            :func:`headfield.edit.operations.refit_warp`.
    """

    identity: torch.Tensor
    expression: torch.Tensor | None = None
    parts: torch.Tensor | None = None
    anchors: torch.Tensor | None = None
    around: torch.Tensor | None = None
    warp_identity: torch.Tensor | None = None

    def __repr__(self) -> str:
        given = [field.name for field in fields(self) if getattr(self, field.name) is not None]
        return "Codes(" + ", ".join(f"{name} {tuple(getattr(self, name).shape)}" for name in given) + ")"
