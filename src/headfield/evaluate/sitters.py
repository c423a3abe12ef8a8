"""Heads of families that no model was trained on, as sitters for captures: with anchors, eyes and expressions.

Vitruvian has shapes of its own, which are played by the channels of the table (``outsiders.json``); its weights do not
compare with a training family's, so what its face does is measured in millimetres. Rocketbox's heads cannot move. Their
anchors come from ICT-FaceKit's template wrapped round each (once, frozen in the same file).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from headfield.evaluate.outsiders import (
    FACE_REACH_CM,
    ict_face,
    outsider_arrays,
    outsider_facts,
    outsider_mesh,
    vitruvian_neutral,
)
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import components, signed_volume
from headfield.surface.visibility import visible_triangles
from headfield.synth.gaze import eyes_of
from headfield.synth.sitter import Sitter
from headfield.types import ARKIT, Mesh, Similarity

IRISES = (2, 3)
"""Components of Vitruvian that lie inside its eyeballs."""

CM = 0.01


def outsider_sitter(
    name: str, split: str, index: int, expression: np.ndarray, rng: np.random.Generator
) -> tuple[Sitter, Callable[[np.ndarray], np.ndarray]]:
    """A head out of family, and from other expressions (52,) to its vertices (V, 3) in the model frame.

    Args:
        name: ``vitruvian`` or ``rocketbox``.
        split: ``dev`` or ``test``.
        index: Number in the split.
        expression: (52,) of the table; Rocketbox stays neutral.
        rng: Draws Vitruvian's identity.
    """
    head = _rocketbox(split, index, rng) if name == "rocketbox" else _vitruvian(expression, rng)
    to_model = normalising_similarity(CM * head.anchors).after(Similarity(scale=CM))

    def posed(weights: np.ndarray) -> np.ndarray:
        return to_model.apply(head.neutral + vitruvian_offsets(weights) if name == "vitruvian" else head.neutral)

    tree, of_face = ict_face()
    gap, nearest = tree.query(head.neutral)
    neutral, now = to_model.apply(head.neutral), to_model.apply(head.now)
    none = np.zeros(len(head.triangles), dtype=bool)
    sitter = Sitter(
        name=f"{name}-{split}-{index:05d}",
        family=name,
        neutral=neutral,
        vertices=now,
        triangles=head.triangles,
        seen=visible_triangles(Mesh(now, head.triangles)),
        cap=none,
        bag=none,
        lips=np.zeros((0, 3), dtype=np.int64),
        face=of_face[nearest] & (gap < FACE_REACH_CM),
        eyes=eyes_of(neutral, head.triangles),
        lips_open=False,
        anchors=to_model.apply(head.anchors),
        moved_anchors=to_model.apply(head.moved_anchors),
        mm_per_unit=10.0 / to_model.scale,
        expression=head.expression,
        comparable=False,
        poseable=name == "vitruvian",
        bald=name == "vitruvian",
        facts=head.facts,
    )
    return sitter, posed


@dataclass(frozen=True)
class _Outsider:
    """A head out of family in its own frame, cm: at rest and with the expression (52,) that it plays.

    Attributes:
        neutral, now: (V, 3).
        triangles: (F, 3).
        anchors, moved_anchors: (39, 3).
    """

    neutral: np.ndarray
    now: np.ndarray
    triangles: np.ndarray
    anchors: np.ndarray
    moved_anchors: np.ndarray
    expression: np.ndarray
    facts: dict


def _rocketbox(split: str, index: int, rng: np.random.Generator) -> _Outsider:
    who = outsider_facts()["split"][split][index]
    mesh = outsider_mesh("rocketbox", split, index, rng)
    anchors, triangles = np.array(outsider_facts()["anchors"][who]), outward(mesh.vertices, mesh.triangles)
    still = np.zeros(len(ARKIT))
    return _Outsider(mesh.vertices, mesh.vertices, triangles, anchors, anchors, still, {"avatar": who})


def _vitruvian(expression: np.ndarray, rng: np.random.Generator) -> _Outsider:
    arrays = outsider_arrays("vitruvian")
    neutral = vitruvian_neutral(rng)
    inside = np.isin(arrays["component"], IRISES)
    triangles = arrays["triangles"].astype(np.int64)
    triangles = with_full_eyeballs(arrays["template"], triangles[~inside[triangles].any(1)])
    now = neutral + vitruvian_offsets(expression)
    place = np.array(outsider_facts()["anchors"]["vitruvian"])
    return _Outsider(neutral, now, triangles, neutral[place], now[place], expression, {})


def with_full_eyeballs(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) with eyeballs that are convex: Vitruvian's are hollow behind the cornea, no solid."""
    for eye in eyes_of(vertices, triangles):
        hull = ConvexHull(vertices[eye.vertices])
        corners = eye.vertices[hull.simplices]
        a, b, c = (vertices[corners[:, k]] for k in range(3))
        turned = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(1) < 0
        corners[turned] = corners[turned][:, ::-1]
        triangles = np.concatenate([triangles[~np.isin(triangles[:, 0], eye.vertices)], corners])
    return triangles


def outward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Triangles (F, 3) with those components turned over that enclose a negative volume."""
    triangles, label = triangles.copy(), components(triangles)
    for k in range(label.max() + 1):
        own = label == k
        centred = vertices - vertices[np.unique(triangles[own])].mean(0)
        if signed_volume(centred, triangles[own]) < 0:
            triangles[own] = triangles[own][:, ::-1]
    return triangles


def vitruvian_offsets(expression: np.ndarray) -> np.ndarray:
    """Offsets (V, 3) cm that play an expression (52,): 0.6 of a channel's shapes at full weight, 1 for closed lids."""
    arrays = outsider_arrays("vitruvian")
    names, pointer = list(arrays["expression_names"]), arrays["expression_ptr"]
    offsets = np.zeros_like(arrays["template"], dtype=float)
    for channel, shapes in outsider_facts()["shapes"].items():
        weight = float(expression[ARKIT.index(channel)])
        for shape, share in shapes.items() if weight else ():
            k = names.index(shape)
            rows = slice(pointer[k], pointer[k + 1])
            delta = arrays["expression_delta"][rows].astype(float)
            np.add.at(offsets, arrays["expression_index"][rows], weight * share * delta)
    return offsets
