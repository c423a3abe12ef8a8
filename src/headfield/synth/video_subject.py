"""Who is filmed in a synthetic video: a person of ICT-FaceKit with hair, a face and ways of moving of their own.

The truth is a rig (:mod:`headfield.parametric.rig`) of all 100 identity modes with hair, bumps, stubble and gains of
the expressions on top; what a tracker knows of it, the *template*, is the same family's rig of the first few modes and
nothing else. Joints and tracks are those of both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headfield import frames
from headfield.frames import MM_PER_UNIT
from headfield.parametric.ict_rig import ict_rig
from headfield.parametric.rig import HeadRig
from headfield.parametric.topology import components, vertex_normals
from headfield.synth.hair_shape import full_thickness, height_above
from headfield.synth.hairstyle import HAIRLINE, HairStyle
from headfield.synth.noise import relief, smoothstep, strands
from headfield.synth.variation_fields import ear_share

TEMPLATE_MODES = 6
"""Identity modes that the template knows of the subject."""

SEMANTICS = {
    "background": 0, "skin": 1, "brow_left": 2, "brow_right": 3, "eye_left": 4, "eye_right": 5, "ear_left": 7,
    "ear_right": 8, "nose": 10, "mouth": 11, "lip_upper": 12, "lip_lower": 13, "neck": 14, "hair": 17,
}  # fmt: skip
"""Numbers of semantic pictures, as the face parser of the published preprocessing gives them."""


@dataclass(frozen=True)
class Subject:
    """A person to film.

    Attributes:
        name: Such as ``ict-0``.
        identity: (100,) of the family.
        rig: The truth, in the canonical pose.
        template: What the tracker knows.
        albedo: (V, 3) linear colours of the vertices.
        label: (V,) numbers of SEMANTICS.
        landmarks: (68,) vertices of the 68 landmarks.
        face: (V,) bool, where the template's distance is stated.
    """

    name: str
    identity: np.ndarray
    rig: HeadRig
    template: HeadRig
    albedo: np.ndarray
    label: np.ndarray
    landmarks: np.ndarray
    face: np.ndarray

    def template_distance(self) -> tuple[float, float]:
        """Mean and 95th percentile of the distance of corresponding vertices of truth and template in the face, mm."""
        gap = np.linalg.norm(self.rig.vertices - self.template.vertices, axis=1)[self.face] * MM_PER_UNIT
        return float(gap.mean()), float(np.quantile(gap, 0.95))


def draw_subject(head, seed: int) -> Subject:
    """A subject of ICT-FaceKit.

    Args:
        head: :class:`headfield.parametric.ict.IctHead`.
        seed: Who.
    """
    rng = np.random.default_rng([seed, 2022])
    identity = head.draw_identity(rng)
    plain, template = ict_rig(head, identity), ict_rig(head, identity, TEMPLATE_MODES)
    vertices, triangles = plain.vertices, plain.triangles
    label = _labels(head, plain)
    own = np.unique(triangles[components(triangles) == 0])  # eyeballs stay as they are
    skin = np.zeros(len(vertices), dtype=bool)
    skin[own] = True
    hidden = np.zeros(len(vertices), dtype=bool)
    hidden[triangles[head.interior | head.cap]] = True
    normals = vertex_normals(vertices, triangles)
    thick, hair_noise = _hair(vertices, rng)
    fade = np.where(skin & ~hidden, 1.0, 0.0)
    bumps = np.clip(1.3 * relief(vertices, 24, 70, rng), -3.5, 3.5) / MM_PER_UNIT
    beard = smoothstep((-0.16 - vertices[:, 1]) / 0.06) * smoothstep((vertices[:, 2] - 0.02) / 0.06)
    stubble = 0.4 * relief(vertices, 7, 16, rng) / MM_PER_UNIT * beard
    bare = 1.0 - smoothstep(thick / 0.01)
    moved = vertices + ((thick * (0.8 + 0.12 * hair_noise) + (bumps + stubble) * bare) * fade)[:, None] * normals
    label = np.where((thick > 0.006) & (fade > 0), SEMANTICS["hair"], label)
    gains = rng.uniform(0.75, 1.25, len(plain.channels))
    face = np.asarray(head.face_mask, dtype=bool) & skin & ~hidden
    return Subject(
        name=f"ict-{seed}",
        identity=identity,
        rig=replace(plain, vertices=moved, shapes=plain.shapes * gains[None, :, None]),
        template=template,
        albedo=_albedo(vertices, label, hair_noise, beard, rng),
        label=label,
        landmarks=np.asarray(head.landmark_vertices),
        face=face,
    )


def _hair(vertices: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Thickness (V,) of short hair, at most 13 mm, and strands (V,) of unit variance."""
    top, side, back = rng.uniform([0.03, 0.02, 0.02], [0.05, 0.035, 0.035])
    style = HairStyle(hairline=np.array(HAIRLINE, dtype=float), top=top, side=side, back=back)
    height = height_above(style, vertices)
    thick = full_thickness(style, vertices) * (1.0 - np.exp(-np.maximum(height, 0.0) / style.edge))
    thick = np.minimum(thick, 0.052) * (1.0 - smoothstep(ear_share(vertices) / 0.2))
    return thick, np.clip(strands(vertices, np.array([0.0, 0.55, -0.2]), 9, 22, rng), -2.0, 2.0)


def _labels(head, rig: HeadRig) -> np.ndarray:
    """Semantic numbers (V,) without hair, by the 68 landmarks of the canonical head."""
    vertices, triangles = rig.vertices, rig.triangles
    marks = vertices[np.asarray(head.landmark_vertices)]
    label = np.full(len(vertices), SEMANTICS["skin"])
    label[vertices[:, 1] < marks[8, 1] - 0.03] = SEMANTICS["neck"]
    nose = marks[[30]] + [0.0, 0.03, -0.02]
    away = (vertices - nose) / [0.085, 0.11, 0.1]
    label[(away**2).sum(1) < 1.0] = SEMANTICS["nose"]
    ear = ear_share(vertices) > 0.1
    label[ear] = np.where(vertices[ear, 0] > 0, SEMANTICS["ear_left"], SEMANTICS["ear_right"])
    for name, numbers in (("brow_left", range(22, 27)), ("brow_right", range(17, 22))):
        label[_near_line(vertices, marks[list(numbers)], 0.016)] = SEMANTICS[name]
    lips = {"lip_upper": [48, 49, 50, 51, 52, 53, 54], "lip_lower": [54, 55, 56, 57, 58, 59, 48]}
    inner = {"lip_upper": [60, 61, 62, 63, 64], "lip_lower": [64, 65, 66, 67, 60]}
    for name, outer in lips.items():
        near = _near_line(vertices, 0.5 * (marks[outer][:5] + marks[inner[name]]), 0.024)
        label[near] = SEMANTICS[name]
    hidden = np.zeros(len(vertices), dtype=bool)
    hidden[triangles[head.interior]] = True
    middle = marks[60:68].mean(0)
    size = [0.6 * np.ptp(marks[48:60, 0]), 0.16, 0.3]
    behind = hidden & (np.abs((vertices - middle) / size) < 1).all(1) & (vertices[:, 2] < middle[2] - 0.02)
    behind &= vertices[:, 1] > marks[8, 1] + 0.03  # folds under the chin are hidden skin, too
    label[behind] = SEMANTICS["mouth"]
    kind = components(triangles)
    for part in (1, 2):
        ball = np.unique(triangles[kind == part])
        label[ball] = SEMANTICS["eye_left" if vertices[ball, 0].mean() > 0 else "eye_right"]
    return label


def _near_line(points: np.ndarray, line: np.ndarray, reach: float) -> np.ndarray:
    """Whether points (N, 3) lie within reach of a broken line (M, 3)."""
    near = np.zeros(len(points), dtype=bool)
    for a, b in zip(line[:-1], line[1:]):
        share = np.clip((points - a) @ (b - a) / max(((b - a) ** 2).sum(), 1e-12), 0.0, 1.0)
        near |= ((points - a - share[:, None] * (b - a)) ** 2).sum(1) < reach**2
    return near


_COLOURS = {
    "brow_left": (0.06, 0.04, 0.03), "brow_right": (0.06, 0.04, 0.03), "mouth": (0.12, 0.02, 0.02),
    "lip_upper": (0.42, 0.13, 0.12), "lip_lower": (0.46, 0.15, 0.14),
}  # fmt: skip


def _albedo(vertices: np.ndarray, label: np.ndarray, strand: np.ndarray, beard: np.ndarray, rng) -> np.ndarray:
    """Linear colours (V, 3)."""
    tone = rng.uniform(0.55, 1.0)
    skin = tone * np.array([0.62, 0.36, 0.25])
    albedo = np.repeat(skin[None], len(vertices), 0) * (1 + 0.07 * relief(vertices, 14, 60, rng))[:, None]
    cheeks = frames.reference_anchors()[frames.anchor_indices(["cheek_left", "cheek_right", "nose_tip"])]
    for place in cheeks:
        near = np.exp(-(((vertices - place) / 0.09) ** 2).sum(1))[:, None]
        albedo *= 1 + near * np.array([0.1, -0.12, -0.12])
    albedo *= 1 - 0.3 * beard[:, None] * (0.7 + 0.3 * relief(vertices, 6, 14, rng))[:, None]
    for name, colour in _COLOURS.items():
        albedo[label == SEMANTICS[name]] = colour
    hair = label == SEMANTICS["hair"]
    tint = rng.uniform(0.4, 2.5) * np.array([0.07, 0.045, 0.03])
    albedo[hair] = tint * (1 + 0.25 * strand[hair])[:, None]
    for name in ("eye_left", "eye_right"):
        ball = np.flatnonzero(label == SEMANTICS[name])
        away = vertices[ball] - vertices[ball].mean(0)
        angle = np.degrees(np.arccos(np.clip(away[:, 2] / np.maximum(np.linalg.norm(away, axis=1), 1e-9), -1, 1)))
        iris = np.where(angle < 12, 0.01, np.where(angle < 27, 0.12, 0.72))
        albedo[ball] = iris[:, None] * np.array([1.0, 0.97, 0.94])
    return np.clip(albedo, 0.004, 0.95)
