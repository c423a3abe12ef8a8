"""Heads of families that no model was trained on, as sitters for captures: with anchors, eyes and expressions.

Vitruvian has shapes of its own, which are played by the channels of the table (``outsiders.json``); its weights do not
compare with a training family's, so what its face does is measured in millimetres. Rocketbox's heads cannot move. Their
anchors come from ICT-FaceKit's template wrapped round each (once, frozen in the same file).
"""

from __future__ import annotations

from collections.abc import Callable

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
    if name == "rocketbox":
        who = outsider_facts()["split"][split][index]
        mesh = outsider_mesh(name, split, index, rng)
        anchors, neutral, now = np.array(outsider_facts()["anchors"][who]), mesh.vertices, mesh.vertices
        triangles, expression, moved = outward(neutral, mesh.triangles), np.zeros(len(ARKIT)), anchors
        facts = {"avatar": who}
    else:
        arrays = outsider_arrays(name)
        neutral = vitruvian_neutral(rng)
        inside = np.isin(arrays["component"], IRISES)
        triangles = arrays["triangles"].astype(np.int64)
        triangles = with_full_eyeballs(arrays["template"], triangles[~inside[triangles].any(1)])
        now = neutral + vitruvian_offsets(expression)
        place = np.array(outsider_facts()["anchors"][name])
        anchors, moved = neutral[place], now[place]
        facts = {}
    to_model = normalising_similarity(CM * anchors).after(Similarity(scale=CM))
    at_rest = neutral

    def posed(weights: np.ndarray) -> np.ndarray:
        return to_model.apply(at_rest + vitruvian_offsets(weights) if name == "vitruvian" else at_rest)

    tree, of_face = ict_face()
    gap, nearest = tree.query(neutral)
    neutral, now, anchors, moved = (to_model.apply(points) for points in (neutral, now, anchors, moved))
    none = np.zeros(len(triangles), dtype=bool)
    sitter = Sitter(
        name=f"{name}-{split}-{index:05d}",
        family=name,
        neutral=neutral,
        vertices=now,
        triangles=triangles,
        seen=visible_triangles(Mesh(now, triangles)),
        cap=none,
        bag=none,
        lips=np.zeros((0, 3), dtype=np.int64),
        face=of_face[nearest] & (gap < FACE_REACH_CM),
        eyes=eyes_of(neutral, triangles),
        lips_open=False,
        anchors=anchors,
        moved_anchors=moved,
        mm_per_unit=10.0 / to_model.scale,
        expression=expression,
        comparable=False,
        poseable=name == "vitruvian",
        bald=name == "vitruvian",
        facts=facts,
    )
    return sitter, posed


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
