"""One synthetic person: skin, hair and beard in the model frame, ready for any expression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headfield.frames import MM_PER_UNIT
from headfield.parametric.normalise import log_size, normalising_similarity
from headfield.synth.beard import Beard, draw_beard_class, make_beard
from headfield.synth.expressions import draw_expressions
from headfield.synth.hair import draw_hair, draw_hair_class
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.occlusion import Occluder, escaping_share, sphere_directions
from headfield.synth.solid import CLOSED_MOUTH_SHARE, OPEN_LIPS, Hair, Sheet, Solid, vertex_normals
from headfield.types import ARKIT, Similarity

MARGIN = 15.0 / MM_PER_UNIT
"""The box must enclose every head with this much to spare (15 mm), model units."""


@dataclass
class Person:
    """One person of the population.

    Attributes:
        key: Name and seed.
        head: The parametric family.
        identity: (I,) its vector.
        sheet: The skin's topology.
        placement: Metres of the family's own frame -> model frame; from the neutral head, for all expressions.
        anchors: (39, 3) neutral skin anchors, model frame.
        hair_class, beard_class: Labels.
        hair: Static hair, or None.
        beard: Thickness field of the beard, or None.
    """

    key: IdentityKey
    head: object
    identity: np.ndarray
    sheet: Sheet
    placement: Similarity
    anchors: np.ndarray
    hair_class: str = "bald"
    beard_class: str = "none"
    hair: Hair | None = None
    beard: Beard | None = None

    @property
    def log_size(self) -> float:
        """Log of the size relative to the reference adult."""
        return log_size(self.placement)

    def skin(self, expression: np.ndarray | None = None) -> np.ndarray:
        """Skin vertices (V, 3) in the model frame, with the beard, without the hair.

        Args:
            expression: (52,) ARKit weights, None = neutral.
        """
        vertices = self.placement.apply(self.head.raw_vertices(self.identity, expression))
        return vertices if self.beard is None else self.beard.apply(vertices)

    def solid(self, expression: np.ndarray | None = None) -> Solid:
        """The whole head with an expression (52,), None = neutral, whose mouth counts as closed."""
        skin = self.skin(expression)
        lips_open = expression is not None and lip_gap(self.head, skin) - self.rest_gap > OPEN_LIPS
        return Solid(self.sheet, skin, self.hair, lips_open)

    @cached_property
    def rest_gap(self) -> float:
        """Gap between the inner lips at rest, model units."""
        return lip_gap(self.head, self.skin())

    @cached_property
    def neutral(self) -> Solid:
        """The whole head at rest."""
        return self.solid()

    def expressions(self, count: int) -> np.ndarray:
        """The person's expression rows (1 + count, 52) float32; row 0 is neutral."""
        drawn = draw_expressions(self.key.rng("expressions"), count, np.asarray(self.head.expression_mask))
        return np.concatenate([np.zeros((1, len(ARKIT)), np.float32), drawn])


def box() -> np.ndarray:
    """The frozen box (2, 3) of the store, model units."""
    return np.array(frozen()["box"], dtype=float)


def has_room(vertices: np.ndarray) -> bool:
    """Whether vertices (V, 3) stay 15 mm inside the box."""
    low, high = box()
    return bool((vertices.min(0) >= low + MARGIN).all() and (vertices.max(0) <= high - MARGIN).all())


def lip_gap(head, vertices: np.ndarray) -> float:
    """Widest gap between the inner lips of vertices (V, 3), by the three inner pairs of the 68 landmarks."""
    landmarks = head.landmarks68(vertices)
    return float(np.linalg.norm(landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]], axis=1).max())


def make_sheet(head) -> Sheet:
    """The skin's topology of a family, with the face sampled more densely."""
    triangles = np.ascontiguousarray(head.triangles, dtype=np.int64)
    face = np.asarray(head.face_mask)[triangles].all(1)
    density = np.where(face, frozen()["surface"]["face_density"], 1.0)
    interior, cap = np.asarray(head.interior, dtype=bool), np.asarray(head.cap, dtype=bool)
    return Sheet(triangles, interior, cap, density, *_mouth_bag(head, triangles, interior))


def _mouth_bag(head, triangles: np.ndarray, interior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangles (F,) that little light reaches in a head at rest and that hang together with the inner lips, and
    the vertices (V,) of them that none reaches."""
    bag, deep = np.zeros(len(triangles), dtype=bool), np.zeros(int(triangles.max()) + 1, dtype=bool)
    if not interior.any():
        return bag, deep
    vertices = head.raw_vertices(head.draw_identity(np.random.default_rng(0)))
    vertices = normalising_similarity(head.anchors(vertices)).apply(vertices)
    normals = vertex_normals(vertices, triangles)
    asked = np.unique(triangles[interior])
    light = np.full(len(vertices), 0.5)
    light[asked] = escaping_share(
        [Occluder(vertices, triangles)], vertices[asked] + 4e-4 * normals[asked], sphere_directions(128), normals[asked]
    )
    dark = light < CLOSED_MOUTH_SHARE
    chosen = np.flatnonzero(interior & dark[triangles].all(1))
    corners = triangles[chosen]
    links = coo_matrix(
        (np.ones(2 * len(corners)), (np.r_[corners[:, 0], corners[:, 1]], np.r_[corners[:, 1], corners[:, 2]])),
        shape=(len(vertices),) * 2,
    )
    label = connected_components(links, directed=False)[1][corners[:, 0]]
    lips = head.landmarks68(vertices)[60:68].mean(0)
    near = np.linalg.norm(vertices[corners].mean(1) - lips, axis=1) < 0.1  # 25 mm: reaches the bag, not eyes or nose
    bag[chosen[label == np.bincount(label[near]).argmax()]] = True
    deep[triangles[bag]] = True
    deep[triangles[~bag]] = False
    distance = np.linalg.norm(vertices[: len(deep)] - lips, axis=1)
    # 12 mm behind the lips and unlit in this head: nearly so in all, and closed mouths hide all but a lit rim
    return bag, deep & (light[: len(deep)] < 0.01) & (distance > 0.048)


def make_person(key: IdentityKey, head, sheet: Sheet | None = None, hair_share: float | None = None) -> Person:
    """Draw one person.

    Args:
        key: Who.
        head: The parametric family, of the key's name.
        sheet: From `make_sheet(head)`, to share it among people.
        hair_share: Share of people with hair or beard, None = frozen.
    """
    identity = key.draw(head)
    raw = head.raw_vertices(identity)
    placement = normalising_similarity(head.anchors(raw))
    sheet = make_sheet(head) if sheet is None else sheet
    skin = placement.apply(raw)
    anchors = head.anchors(skin)
    rng = key.rng("hair")
    share = frozen()["hair"]["share"] if hair_share is None else hair_share
    hair_class, worn = draw_hair_class(rng, share)
    describe = head.describe(identity)
    beard_class = draw_beard_class(rng, describe, hair_class) if worn else "none"
    if describe.get("age_years", 30) < 3 and hair_class != "bald":
        hair_class = "short"
    return dress(Person(key, head, identity, sheet, placement, anchors), hair_class, beard_class, rng)


def dress(person: Person, hair_class: str, beard_class: str, rng: np.random.Generator) -> Person:
    """The bare person with a random beard and hair of these classes.

    Args:
        person: Without hair and beard.
        hair_class, beard_class: See `hairstyle.HAIR_CLASSES`, `beard.BEARD_CLASSES`.
        rng: Source of randomness.
    """
    beard = make_beard(beard_class, person.sheet, person.skin(), person.anchors, rng)
    bare, person = person, replace(person, hair_class=hair_class, beard_class=beard_class, beard=beard)
    if hair_class == "bald":
        return person
    for _ in range(8):
        parts = draw_hair(hair_class, person.sheet, bare.skin(), person.anchors, rng)
        if all(has_room(part.vertices) for part in parts):
            return replace(person, hair=Hair(parts, person.sheet, person.skin()))
    return replace(person, hair_class="bald")  # a very large head: nothing of this class fits the box
