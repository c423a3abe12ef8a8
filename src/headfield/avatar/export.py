"""A trained avatar as a mesh on joints: what the fields say, written down at the vertices of the canonical surface.

The mesh with blendshapes E, correctives P and weights W of the fields is a :class:`headfield.parametric.rig.HeadRig`
again, and is posed by the same equation (IMAvatar Eq. 5). A GLB knows morph targets and joints, but no numbers that
follow a joint: there the correctives of the pose at rest are part of the mesh, and those of the open jaw are a morph
target of their own, ``jawCorrective``, to be driven with the jaw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from headfield.avatar.avatar import Avatar
from headfield.avatar.morph import Poses
from headfield.avatar.networks import Rows
from headfield.avatar.template import Template
from headfield.errors import WeightsError
from headfield.frames import MM_PER_UNIT
from headfield.io.gltf import MorphHead, glb_of_morphs
from headfield.io.gltf_skin import with_skin
from headfield.nn.machine import denormals_flushed
from headfield.parametric.rig import HeadRig
from headfield.parametric.topology import components, vertex_normals
from headfield.surface.decimate import Spot, decimate
from headfield.surface.extract import extract
from headfield.types import Mesh

METRES = MM_PER_UNIT / 1000.0
"""Of a model unit."""

ROOM = 0.12
"""The surface is looked for so far around the template (30 mm, hair), model units."""

CRUMB = 0.002
"""Components with less than this share of the whole area are dropped."""

LEAST_MOVE = 0.0004
"""Offsets of morph targets below this (0.1 mm) are left out: fields are nowhere exactly zero."""

LOOKED_AT = ("eyeBlinkLeft", "eyeBlinkRight", "mouthPucker")
"""Channels about whose middle vertices stand denser, where a template has them: eyes and mouth."""

DENSER, REACH = 1.3, 0.09
"""Magnification of those places, minus one, and how far it reaches, model units."""

CHUNK = 16_384

JAW_WIDE = 0.44
"""Turn of the jaw at which ``jawCorrective`` is 1, radians."""


@dataclass(frozen=True)
class BakedAvatar:
    """An avatar at the vertices of its canonical surface.

    Attributes:
        rig: The mesh with the fields' blendshapes, correctives and weights.
        colours: (V, 3) uint8 sRGB, as seen in the canonical pose.
        residual: Largest |g| at a vertex, model units.
    """

    rig: HeadRig
    colours: np.ndarray
    residual: float


@torch.no_grad()
@denormals_flushed()
def bake_avatar(avatar: Avatar, template: Template, resolution: int = 192, vertices: int = 20_000) -> BakedAvatar:
    """Write the fields down.

    Args:
        avatar: The avatar.
        template: The tracked head that it was trained with: its joints and channels are kept.
        resolution: Samples along the longest side of the box in which the surface is looked for.
        vertices: About how many, densest at eyes and mouth; what is written there is what the fields say there.
    Raises:
        WeightsError: There is no surface.
        HeadfieldError: The extra ``export`` is not installed.
    """
    rig = template.rig
    rest = Poses.of(rig, np.zeros((1, len(rig.channels))), rig.canonical[None])
    bound = avatar.bound(rest)

    def rows(count: int) -> Rows:
        return Rows(torch.zeros(count, dtype=torch.long), (0, count))

    def field(points: np.ndarray) -> np.ndarray:
        return bound.g(torch.from_numpy(points), rows(len(points))).numpy()

    box = np.stack([rig.vertices.min(0) - ROOM, rig.vertices.max(0) + ROOM])
    found = extract(field, box, resolution, chunk=CHUNK)
    if not len(found.triangles):
        raise WeightsError("This avatar has no surface around its template: it cannot be exported.")
    mesh = decimate(_without_crumbs(found), vertices, _spots(rig))
    parts = [_at(bound, part, rows(len(part))) for part in torch.from_numpy(mesh.vertices).float().split(CHUNK)]
    places, basis, weights, colour, residual = (np.concatenate(one) for one in zip(*parts))
    features = rig.correctives.shape[1]
    baked = replace(
        rig,
        vertices=places,
        triangles=mesh.triangles,
        shapes=basis[:, features:],
        correctives=basis[:, :features],
        weights=weights,
    )
    colours = np.round(255 * np.clip(0.5 + 0.5 * colour, 0, 1)).astype(np.uint8)
    return BakedAvatar(baked, colours, float(np.abs(residual).max()))


def _spots(rig: HeadRig) -> list[Spot]:
    """Where an avatar is looked at, as far as its template's channels tell."""
    spots = []
    for name in (name for name in LOOKED_AT if name in rig.channels):
        length = (rig.shapes[:, rig.channels.index(name)] ** 2).sum(1)
        spots.append(Spot(length @ rig.vertices / max(length.sum(), 1e-12), DENSER, REACH))
    return spots


def _at(bound, points: torch.Tensor, rows: Rows) -> tuple[np.ndarray, ...]:
    """Vertices (V, 3) moved onto the surface, and what the fields say there."""
    for _ in range(3):  # along the slope, Newton's method; where it is flat nothing is moved far
        g, slope = bound.g_and_slope(points, rows)
        points = points - (g / slope.square().sum(1).clamp_min(0.1)).clamp(-0.02, 0.02)[:, None] * slope
    shaded = bound.shade(points, rows)
    basis = bound.avatar.deformation.basis(shaded.morphed.deformed.hidden)
    arrays = points, basis, shaded.morphed.deformed.weights, shaded.colour, shaded.g
    return tuple(array.double().numpy() for array in arrays)


def _without_crumbs(mesh: Mesh) -> Mesh:
    """The mesh without tiny components."""
    label = components(mesh.triangles)
    corners = mesh.vertices[mesh.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    share = np.bincount(label, area) / area.sum()
    triangles = mesh.triangles[share[label] >= CRUMB]
    used, triangles = np.unique(triangles, return_inverse=True)
    return Mesh(mesh.vertices[used], triangles.reshape(-1, 3))


def as_morphs(baked: BakedAvatar) -> HeadRig:
    """The rig as a GLB can play it: no correctives but one more channel, ``jawCorrective``, at jaw / JAW_WIDE.

    The correctives of the closed jaw are part of its vertices, which still are those of the canonical pose.
    """
    rig = baked.rig
    still, wide = np.zeros_like(rig.canonical), np.zeros_like(rig.canonical)
    channels, shapes = rig.channels, rig.shapes
    corrected = rig.vertices + np.tensordot(rig.correctives, rig.pose_features(still), axes=([1], [0]))
    if "jaw" in rig.joints:
        wide[rig.joints.index("jaw"), 0] = JAW_WIDE
        change = rig.pose_features(wide) - rig.pose_features(still)
        channels = (*channels, "jawCorrective")
        shapes = np.concatenate([shapes, np.tensordot(rig.correctives, change, axes=([1], [0]))[:, None]], axis=1)
    shapes = np.where(np.linalg.norm(shapes, axis=2, keepdims=True) < LEAST_MOVE, 0.0, shapes)
    return replace(rig, channels=channels, vertices=corrected, shapes=shapes, correctives=0.0 * rig.correctives)


def glb_of(baked: BakedAvatar) -> bytes:
    """A GLB on joints, with the channels' morph targets, ``jawCorrective`` and colours; shown with the jaw closed."""
    rig = as_morphs(baked)
    head = MorphHead(
        METRES * rig.vertices,
        rig.triangles,
        vertex_normals(rig.vertices, rig.triangles),
        METRES * rig.shapes.transpose(1, 0, 2),
        list(rig.channels),
        colours=np.column_stack([baked.colours, np.full(len(baked.colours), 255, dtype=np.uint8)]),
    )
    glb = glb_of_morphs(head, name="avatar")
    turned = rig.joint_motions(rig.canonical)
    turned[:, :, 3] *= METRES
    return with_skin(glb, rig.joints, rig.parents, METRES * rig.places, turned, rig.weights)
