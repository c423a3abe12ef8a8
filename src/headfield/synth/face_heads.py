"""Many dense clouds of synthetic heads, made once: what the face finder's training cuts its scans from.

Identities of the training split only, with hair and beards, closed eyes and strong expressions, partly smoothed as
capture pipelines smooth.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from headfield.parametric.topology import vertex_normals
from headfield.synth.expressions import tame
from headfield.synth.hair_sphere import mesh_averaging
from headfield.synth.identities import identity_keys
from headfield.synth.person import Person, family, make_person
from headfield.synth.sheet import lip_gap
from headfield.synth.solid import OPEN_LIPS
from headfield.types import ARKIT

POINTS = 24_000
"""Points of a head's cloud; about 2.5 mm apart."""

_SMOOTHEST = 24
"""Smoothing steps at most: about 3 mm (standard deviation) on the face of both families."""

_VARIANTS = 2
"""Clouds of each person."""

_BLINK = [ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]
_JAW = ARKIT.index("jawOpen")


@dataclass(frozen=True)
class FaceHeads:
    """Clouds of H heads in the model frame.

    Attributes:
        points: (H, 24000, 3) float16.
        normals: (H, 24000, 3) int8, 127 times the unit normal.
        hair: (H, 24000) bool.
        anchors: (H, 39, 3) float32 neutral anchors.
    """

    points: np.ndarray
    normals: np.ndarray
    hair: np.ndarray
    anchors: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def save(self, path: Path) -> None:
        """Write to an uncompressed npz."""
        np.savez(path, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @staticmethod
    def load(path: Path) -> FaceHeads:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as content:
            return FaceHeads(**{name: content[name] for name in FaceHeads.__dataclass_fields__})


def make_face_heads(people: int, seed: int, report=lambda done, total: None) -> FaceHeads:
    """Clouds of the first people of the training split, two of each.

    Args:
        people: How many, half of each family.
        seed: Of expressions, smoothing and sampling; identities are the frozen ones.
        report: Called with (people done, people in all).
    """
    rows = []
    keys = identity_keys("mix", "train", people)
    for number, key in enumerate(keys):
        head, sheet = family(key.family)
        person = make_person(key, head, sheet, hair_share=0.5)
        rng = np.random.default_rng([seed, key.stream, key.index])
        rows += [_cloud(person, rng) for _ in range(_VARIANTS)]
        report(number + 1, len(keys))
    points, normals, hair, anchors = (np.stack(column) for column in zip(*rows))
    return FaceHeads(points.astype(np.float16), normals, hair, anchors.astype(np.float32))


def face_expression(person: Person, rng: np.random.Generator) -> np.ndarray:
    """An expression (52,) as captures show them: a third at rest, eyes closed in two fifths."""
    weights = np.zeros(len(ARKIT))
    if rng.random() > 0.33:
        drawn = person.expressions(12)[1:]
        chosen = drawn[rng.choice(len(drawn), rng.integers(1, 4), replace=False)]
        weights = np.clip(chosen.sum(0), 0, 1)
        if rng.random() < 0.2:
            weights[_JAW] = rng.uniform(0.3, 1.0)
    if rng.random() < 0.4:
        weights[_BLINK] = rng.uniform(0.7, 1.0)
    return tame(weights)


@cache
def _averaging(name: str):
    head, sheet = family(name)
    return mesh_averaging(sheet.triangles, int(sheet.triangles.max()) + 1)


def _cloud(person: Person, rng: np.random.Generator):
    """Points, normals, hair and anchors of one head."""
    skin = person.skin(face_expression(person, rng))
    steps = 0 if rng.random() < 0.4 else int(rng.integers(1, _SMOOTHEST + 1))
    smooth = skin
    for _ in range(steps):
        smooth = 0.5 * smooth + 0.5 * (_averaging(person.key.family) @ smooth)
    sheet = person.sheet
    lips_open = lip_gap(person.head, skin) - person.rest_gap > OPEN_LIPS
    keep = ~sheet.cap if lips_open else ~sheet.cap & ~sheet.bag
    vertices, triangles = smooth, sheet.triangles[keep]
    hair = np.zeros(len(triangles), dtype=bool)
    if person.hair is not None:
        added = person.hair.triangles
        triangles = np.concatenate([triangles, added + len(vertices)])
        vertices = np.concatenate([vertices, person.hair.vertices])
        hair = np.r_[hair, np.ones(len(added), dtype=bool)]
    points, triangle = _sampled(vertices, triangles, POINTS, rng)
    normals = vertex_normals(vertices, triangles)[triangles[triangle]].mean(1)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    return points, np.rint(127 * normals).astype(np.int8), hair[triangle], person.anchors


def _sampled(vertices, triangles, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points (count, 3) uniformly on a mesh, and the triangle of each."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    triangle = np.searchsorted(np.cumsum(area) / area.sum(), rng.random(count)).clip(max=len(triangles) - 1)
    u, v = rng.random((2, count))
    flip = u + v > 1
    u, v = np.where(flip, 1 - u, u)[:, None], np.where(flip, 1 - v, v)[:, None]
    return a[triangle] + u * (b - a)[triangle] + v * (c - a)[triangle], triangle
