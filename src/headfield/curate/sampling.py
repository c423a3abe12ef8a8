"""From completed heads and their registrations to the arrays of the training store, as `headfield.synth` samples truth.

Surface, normals and signed samples come from the completed closed mesh, which keeps what the scanner saw; the same
material points on the neutral head come through the registered template, whose vertices mean the same place in every
expression, and are put back onto the completed neutral mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.evidence import FACE_PARTS
from headfield.frames import NORMALISING_ANCHORS, reference_anchors
from headfield.io.store import quantise, quantise_normals
from headfield.surface.nearest import Target
from headfield.synth.generate import require_room
from headfield.synth.identities import frozen
from headfield.synth.person import box
from headfield.synth.sampling import signed_samples
from headfield.synth.sheet import Sheet
from headfield.synth.solid import Solid
from headfield.types import Mesh, Similarity

REACH = 0.02
"""A completed surface point farther than this from the registered template has no place on the neutral head (5 mm)."""

SAME_SIDE = 0.3
"""Least cosine between the normals of a point and of the place it is taken for: lips do not swap."""


@dataclass(frozen=True)
class CuratedHead:
    """One head of a person, model frame.

    Attributes:
        complete: Closed mesh.
        registered: (V, 3) the template's vertices on it.
        expression: (52,) ARKit weights; zeros for the neutral head.
    """

    complete: Mesh
    registered: np.ndarray
    expression: np.ndarray


def normalising(anchors: np.ndarray) -> Similarity:
    """Takes a person's heads to the frame that all training heads share: size is placement, not shape.

    Args:
        anchors: (39, 3) of the neutral head, near the model frame.
    """
    return Similarity.between(np.asarray(anchors)[NORMALISING_ANCHORS], reference_anchors()[NORMALISING_ANCHORS])


def person_arrays(
    heads: list[CuratedHead],
    template: np.ndarray,
    anchors: np.ndarray,
    points: int,
    samples: int,
    rng: np.random.Generator,
    name: str,
) -> dict[str, np.ndarray]:
    """The store's arrays of a person.

    Args:
        heads: The neutral head first.
        template: (F, 3) triangles of the registered template.
        anchors: (39, 3) of the neutral head, in the heads' frame.
        points, samples: P and S.
        rng: Source of randomness.
        name: For messages.
    Raises:
        StoreError: A head comes closer than 15 mm to the store's box.
    """
    place, bounds = normalising(anchors), box()
    anchors = place.apply(anchors)
    placed = [
        CuratedHead(head.complete.transformed(place), place.apply(head.registered), head.expression) for head in heads
    ]
    rest = placed[0]
    at_rest = Target(rest.complete)
    columns: dict[str, list[np.ndarray]] = {}
    for number, head in enumerate(placed):
        require_room(head.complete.vertices, bounds, name)
        solid = solid_of(head.complete, anchors)
        surface = solid.sample_surface(points, rng)
        quantised = quantise(surface.points, bounds)
        if number == 0:
            canonical, valid = quantised, np.ones(points, dtype=bool)
        else:
            posed, neutral = Mesh(head.registered, template), Mesh(rest.registered, template)
            places, valid = canonical_places(surface.points, surface.normals, posed, neutral, at_rest)
            canonical = quantise(np.clip(places, bounds[0], bounds[1]), bounds)
        off, sdf = signed_samples(solid, surface, samples, bounds, rng)
        row = {
            "points": quantised,
            "normals": quantise_normals(surface.normals),
            "canonical": canonical,
            "canonical_valid": valid,
            "samples": off,
            "sdf": sdf,
            "expressions": np.asarray(head.expression, dtype=np.float32),
        }
        for key, value in row.items():
            columns.setdefault(key, []).append(value)
    return {key: np.stack(values) for key, values in columns.items()} | {"anchors": anchors.astype(np.float32)}


def canonical_places(
    points: np.ndarray, normals: np.ndarray, posed: Mesh, neutral: Mesh, at_rest: Target
) -> tuple[np.ndarray, np.ndarray]:
    """The same material points on the neutral head.

    Args:
        points, normals: (N, 3) on the completed posed head.
        posed, neutral: The registered template with the expression and at rest.
        at_rest: The completed neutral head.
    Returns:
        places (N, 3), and valid (N,): False where the template is not near, or the neutral head hides the place.
    """
    away, on_template = Target(posed).closest(points)
    rest = on_template.interpolate(neutral, neutral.vertices)
    facing = _turned(on_template, neutral)
    far, foot = at_rest.closest(rest)
    valid = (away < REACH) & ((normals * on_template.normals).sum(1) > SAME_SIDE)
    valid &= (far < REACH) & ((foot.normals * facing).sum(1) > SAME_SIDE)
    return np.where(valid[:, None], foot.points, rest), valid


def _turned(places, neutral: Mesh) -> np.ndarray:
    """Normals (N, 3) of the neutral template at places on the posed one."""
    corners = neutral.vertices[neutral.triangles[places.triangle]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-30)


def solid_of(mesh: Mesh, anchors: np.ndarray) -> Solid:
    """A closed mesh as a solid to sample: all of it is surface, the face is sampled more densely.

    Args:
        mesh: Closed, outward.
        anchors: (39, 3) in its frame.
    """
    triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int64)
    none = np.zeros(len(triangles), dtype=bool)
    face = FACE_PARTS[cKDTree(anchors).query(mesh.vertices[triangles].mean(1))[1]]
    density = np.where(face, frozen()["surface"]["face_density"], 1.0)
    sheet = Sheet(triangles, none, none, density, none, np.zeros(len(mesh.vertices), dtype=bool))
    return Solid(sheet, mesh.vertices)
