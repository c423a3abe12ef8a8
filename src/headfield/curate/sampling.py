"""From completed heads and their registrations to the arrays of the training store, as `headfield.synth` samples truth.

Surface, normals and signed samples come from the completed closed mesh, which keeps what the scanner saw; the same
material points on the neutral head come through the registered template, whose vertices mean the same place in every
expression, and are put back onto the completed neutral mesh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from headfield.curate.options import CurateOptions
from headfield.curate.records import RejectedError, key_of
from headfield.curate.stages import placement_of
from headfield.errors import StoreError
from headfield.fit.gate import FACE_PARTS
from headfield.fit.placement import size_log_of
from headfield.frames import NORMALISING_ANCHORS, reference_anchors
from headfield.io.quantise import quantise, quantise_normals
from headfield.surface.nearest import Target
from headfield.synth.generate import require_room
from headfield.synth.identities import frozen
from headfield.synth.person import box
from headfield.synth.sampling import signed_samples
from headfield.synth.sheet import Sheet
from headfield.synth.solid import Solid
from headfield.types import ARKIT, Mesh, Similarity

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
        sheet: Rules of the closed mesh's hidden parts (mouth bag, eyeballs) when it is the template itself, or None.
    """

    complete: Mesh
    registered: np.ndarray
    expression: np.ndarray
    sheet: Sheet | None = None

    def moved(self, place: Similarity) -> CuratedHead:
        """After a similarity."""
        return replace(self, complete=self.complete.transformed(place), registered=place.apply(self.registered))


def sample_person(
    heads: list[tuple[int, Mesh, np.ndarray]],
    has_neutral: bool,
    fitted: dict[str, np.ndarray],
    units: list[str],
    options: CurateOptions,
    name: str,
) -> tuple[dict[str, np.ndarray], float]:
    """The store's arrays of a person.

    Without a neutral scan the neutral head is what the registrations show beyond the fit, on the fit's neutral head:
    the person without the expression, as far as the family can tell them apart.

    Args:
        heads: Of each scan its number in the fit, its completed mesh and its registered template (V, 3); the neutral
            one first.
        has_neutral: Whether there is one.
        fitted: Arrays of the parametric fit, see :class:`headfield.curate.stages.Stages`.
        units: Of the fitted scans.
        options: Sizes and seed.
        name: The person.
    Returns:
        Arrays, and the log of the head's size.
    Raises:
        RejectedError: A head comes closer than 15 mm to the store's box.
    """
    curated = [
        CuratedHead(mesh, vertices, fitted["expressions"][number].clip(0, 1)) for number, mesh, vertices in heads
    ]
    if has_neutral:
        curated[0] = replace(curated[0], expression=np.zeros(len(ARKIT)))
    else:
        beyond = np.mean([vertices - fitted["posed"][number] for number, _, vertices in heads], axis=0)
        rest = fitted["neutral"] + beyond
        sheet = sheet_of(fitted)
        curated.insert(0, CuratedHead(Mesh(rest, fitted["triangles"]), rest, np.zeros(len(ARKIT)), sheet))
    anchors = curated[0].registered[fitted["anchor_vertices"]]
    place = normalising(anchors)
    rng = np.random.default_rng([options.seed, int(key_of("rng", 1, name)[:8], 16)])
    curated = [head.moved(place) for head in curated]
    try:
        arrays = person_arrays(
            curated, fitted["triangles"], place.apply(anchors), options.points, options.samples, rng, name
        )
    except StoreError as error:
        raise RejectedError(
            "a completed head leaves less than 15 mm to the box that holds all training heads: hair or a hat too"
            f" large for it, or a back of the head that was completed too far out ({error})"
        ) from error
    number = heads[0][0]
    return arrays, size_log_of(place.after(placement_of(fitted, number)).scale, units[number])


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
    """The arrays of heads that share one frame.

    Args:
        heads: The neutral head first.
        template: (F, 3) triangles of the registered template.
        anchors: (39, 3) of the neutral head.
        points, samples: P and S.
        rng: Source of randomness.
        name: For messages.
    Raises:
        StoreError: A head comes closer than 15 mm to the store's box.
    """
    bounds, rest = box(), heads[0]
    at_rest, neutral = Target(rest.complete), Mesh(rest.registered, template)
    columns: dict[str, list[np.ndarray]] = {}
    for number, head in enumerate(heads):
        require_room(head.complete.vertices, bounds, name)
        solid = solid_of(head, anchors)
        surface = solid.sample_surface(points, rng)
        quantised = quantise(surface.points, bounds)
        canonical, valid = quantised, np.ones(points, dtype=bool)
        if number:
            posed = Mesh(head.registered, template)
            places, valid = canonical_places(surface.points, surface.normals, posed, neutral, at_rest)
            canonical = quantise(np.clip(places, bounds[0], bounds[1]), bounds)
        off, sdf, _ = signed_samples(solid, surface, samples, bounds, rng)
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


def sheet_arrays(sheet: Sheet) -> dict[str, np.ndarray]:
    """The rules of a template's hidden parts, as the parametric fit keeps them."""
    return {f"sheet_{name}": getattr(sheet, name) for name in _SHEET}


def sheet_of(fitted: dict[str, np.ndarray]) -> Sheet:
    """Those rules back from the arrays of the parametric fit."""
    return Sheet(np.asarray(fitted["triangles"], dtype=np.int64), **{name: fitted[f"sheet_{name}"] for name in _SHEET})


_SHEET = ("interior", "cap", "density", "bag", "deep")


def solid_of(head: CuratedHead, anchors: np.ndarray) -> Solid:
    """A closed head as a solid to sample: all of a completed mesh is surface, the face is sampled more densely.

    Args:
        head: Closed, outward.
        anchors: (39, 3) in its frame.
    """
    mesh = head.complete
    if head.sheet is not None:
        return Solid(head.sheet, mesh.vertices)
    triangles = np.ascontiguousarray(mesh.triangles, dtype=np.int64)
    none = np.zeros(len(triangles), dtype=bool)
    face = FACE_PARTS[cKDTree(anchors).query(mesh.vertices[triangles].mean(1))[1]]
    density = np.where(face, frozen()["surface"]["face_density"], 1.0)
    sheet = Sheet(triangles, none, none, density, none, np.zeros(len(mesh.vertices), dtype=bool))
    return Solid(sheet, mesh.vertices)
