"""Who sits for a capture: one head of any family at one instant, with what a test needs to know about it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headfield.parametric.topology import boundary_loops
from headfield.synth.gaze import Eye, eyes_of, with_gaze
from headfield.synth.person import Person
from headfield.synth.sheet import lip_gap
from headfield.synth.solid import OPEN_LIPS, Solid
from headfield.types import ARKIT, Mesh


@dataclass(frozen=True)
class Sitter:
    """A head to capture, in the model frame.

    Attributes:
        name: Such as ``ict-test-00003``.
        family: Of the head.
        neutral, vertices: (V, 3) at rest and now.
        triangles: (F, 3) skin and eyeballs.
        seen: (F,) bool, triangles of the visible surface.
        cap: (F,) bool, the neck's cap.
        bag: (F,) bool, the mouth's inside.
        lips: (M, 3) triangles that span the mouth's rim instead of the bag: a membrane.
        face: (V,) bool.
        eyes: The eyeballs, empty when the family's are part of the skin.
        lips_open: The mouth stands open.
        anchors, moved_anchors: (39, 3) at rest, and where the expression takes them.
        mm_per_unit: True millimetres of a model unit.
        expression: (52,) true weights.
        comparable: Whether these weights are those of the training families; else only what needs no scale is asked.
        poseable: Whether the head can take an expression at all.
        bald: Whether its scalp is bare.
        hair_vertices, hair_triangles: (H, 3), (G, 3) of the hair; empty when bald.
        facts: What is known of the person, for tables.
    """

    name: str
    family: str
    neutral: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    seen: np.ndarray
    cap: np.ndarray
    bag: np.ndarray
    lips: np.ndarray
    face: np.ndarray
    eyes: tuple[Eye, ...]
    lips_open: bool
    anchors: np.ndarray
    moved_anchors: np.ndarray
    mm_per_unit: float
    expression: np.ndarray
    comparable: bool = True
    poseable: bool = True
    bald: bool = True
    hair_vertices: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    hair_triangles: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), dtype=np.int64))
    facts: dict = field(default_factory=dict)

    def mesh(self) -> Mesh:
        """Skin and hair as they are, overlapping: for pictures."""
        triangles = np.concatenate([self.triangles, self.hair_triangles + len(self.vertices)])
        return Mesh(np.concatenate([self.vertices, self.hair_vertices]), triangles)

    def cap_vertices(self) -> np.ndarray:
        """Vertices where the neck ends: of its cap, or the lowest ones of a neck that is open."""
        if self.cap.any():
            return np.unique(self.triangles[self.cap])
        height = self.neutral[:, 1]
        return np.flatnonzero(height < height.min() + 0.12)


def posed(person: Person, expression: np.ndarray) -> np.ndarray:
    """The skin's vertices (V, 3) of a person under an expression (52,), with eyeballs that turn; model frame."""
    skin = person.skin(expression if expression.any() else None)
    return with_gaze(person.skin(), skin, person.sheet.triangles, expression)


def sitter_of(person: Person, expression: np.ndarray) -> Sitter:
    """A person of a training family as a sitter; channels that the family lacks are zero in its truth.

    Args:
        person: Who.
        expression: (52,) ARKit weights.
    """
    expression = np.where(np.asarray(person.head.expression_mask), expression, 0.0)
    neutral, now = posed(person, np.zeros(len(ARKIT))), posed(person, expression)
    lips_open = lip_gap(person.head, now) - person.rest_gap > OPEN_LIPS
    solid = Solid(person.sheet, now, person.hair, lips_open)
    sheet = person.sheet
    hair = person.hair
    return Sitter(
        name=person.key.id,
        family=person.key.family,
        neutral=neutral,
        vertices=now,
        triangles=sheet.triangles,
        seen=solid.seen & ~sheet.cap,
        cap=sheet.cap,
        bag=sheet.bag,
        lips=membrane(neutral, sheet.triangles, sheet.bag),
        face=np.asarray(person.head.face_mask, dtype=bool),
        eyes=eyes_of(neutral, sheet.triangles),
        lips_open=lips_open,
        anchors=person.anchors,
        moved_anchors=person.head.anchors(now),
        mm_per_unit=1000.0 / person.placement.scale,
        expression=expression,
        bald=hair is None,
        hair_vertices=np.zeros((0, 3)) if hair is None else hair.vertices,
        hair_triangles=np.zeros((0, 3), dtype=np.int64) if hair is None else hair.triangles,
        facts=person.head.describe(person.identity) | {"hair": person.hair_class},
    )


def membrane(vertices: np.ndarray, triangles: np.ndarray, bag: np.ndarray) -> np.ndarray:
    """Triangles (M, 3) that close the mouth's rim once its bag (F,) bool is taken away, across from lip to lip.

    Args:
        vertices: (V, 3), +x to the subject's left.
        triangles: (F, 3).
        bag: (F,) bool.
    """
    found: list[tuple[int, int, int]] = []
    for loop in boundary_loops(triangles[bag]) if bag.any() else []:
        corner = int(np.argmax(vertices[loop, 0]))
        loop = loop[corner:] + loop[:corner]
        low, high = 0, len(loop) - 1
        while high - low > 1:  # a strip from one corner of the mouth to the other
            if (high + low) % 2:
                found.append((loop[low], loop[low + 1], loop[high]))
                low += 1
            else:
                found.append((loop[low], loop[high - 1], loop[high]))
                high -= 1
    return np.array(found, dtype=np.int64).reshape(-1, 3)
