"""Test people with their hidden truth: what a fitted head is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.evaluate.metrics import Truth
from headfield.frames import ANCHOR_NAMES
from headfield.parametric.neck import NECK_ANCHORS
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.person import Person, dress, family, make_person
from headfield.synth.solid import Solid
from headfield.types import Mesh

LIPS_MM = 6.0
"""Skin within this distance of the lip landmarks' contours (on the neutral head) is the region *lips*."""

LIDS_MM = 5.0
"""Skin and eyeball within this distance of the lids' rims (on the neutral head) is the region *lids*."""

NECK_MM = 10.0
"""Skin below a level so far above the throat and neck-side anchors is the region *neck*."""

SCALP = ("forehead_top", "crown_front", "head_back")
"""Anchors whose surroundings are the scalp, where hair would stand."""

BEARD_UNITS = 0.004
"""Skin under a beard thicker than this (1 mm) belongs to the region *hair*."""

_STEPS = [(i, j) for i in range(5) for j in range(5 - i)]
_SIXTEEN = np.array([(4 - i - j, i, j) for i, j in _STEPS]) / 4.0


def frozen_person(name: str, split: str, index: int, hair: str, truth: str = "v1") -> Person:
    """A person of the frozen population.

    Args:
        name: Family.
        split: ``dev`` or ``test``.
        index: Number in the split.
        hair: ``bald`` takes it off, ``drawn`` as the population has it (40 % wear some), ``all`` gives hair to
            everyone by going on drawing.
        truth: ``v1`` or ``v2``: the same identity as the first weights' data have it, or as those of the second do.
    """
    head, sheet = family(name)
    key = IdentityKey(name, split, index, frozen()["seed"])
    if hair == "bald":
        return make_person(key, head, sheet, hair_share=0.0, truth=truth)
    if hair == "drawn":
        return make_person(key, head, sheet, truth=truth)
    person = make_person(key, head, sheet, hair_share=1.0, truth=truth)
    rng = np.random.default_rng([*key.rng("hair").integers(0, 2**31, 2)])
    while person.hair is None:
        bare = make_person(key, head, sheet, hair_share=0.0, truth=truth)
        names, weights = zip(*frozen()["hair"]["classes"].items())
        drawn = str(rng.choice(names, p=np.array(weights) / np.sum(weights)))
        person = dress(bare, drawn, "none", rng)
    return person


def truth_of(person: Person, solid: Solid) -> Truth:
    """The truth of a person at one instant (`solid` is one of the person's)."""
    skin, normals, triangles = solid.vertices, solid.normals, solid.sheet.triangles
    shown = (solid.shown[triangles] > 0.5).sum(1) >= 2
    if solid.joins:  # under a rounded join the surface is the join's; what is too deep in its slit is none
        skin, _, moved = solid.settle(skin, normals)
        shown &= np.isfinite(moved)[triangles].all(1)
    visible = shown | solid.sheet.cap
    regions = region_masks(person)
    parts = [_Part(skin, triangles, visible, solid.sheet.cap, regions)]
    if solid.hair is not None:
        hair = solid.hair
        buried = hair.contains(skin)[triangles]
        crossed = buried.any(1) & ~buried.all(1)
        whole = parts[0].pick(~np.any(buried, axis=1))
        pieces = parts[0].split(crossed & visible)
        under = hair.contains(pieces.centres())
        parts = [whole, pieces.pick(~under)]
        none = np.zeros(len(hair.triangles), dtype=bool)
        worn = {name: np.full(len(hair.vertices), name == "hair") for name in regions}
        coat = _Part(hair.vertices, hair.triangles, ~none, none, worn)
        parts.append(coat.pick(hair.visible & ~hair.mixed))
        pieces = coat.split(hair.mixed)
        owner = np.repeat(hair.owner[hair.mixed], 16)
        centres = pieces.centres()
        parts.append(pieces.pick(~solid.inside_skin(centres) & ~hair.contains(centres, but=owner)))
    joined = _join(parts)
    regions = {name: mask for name, mask in joined.masks.items() if name != "face" and mask.any()}
    return Truth(Mesh(joined.vertices, joined.triangles), joined.visible, joined.cap, joined.masks["face"], regions)


def region_masks(person: Person) -> dict[str, np.ndarray]:
    """Vertex masks (V,) of a person's skin: ``face``, ``lips``, ``lids``, ``neck``, and ``hair`` for a beard."""
    bare = person.bare()
    worn = np.zeros(len(bare), dtype=bool)
    if person.beard is not None:
        worn = np.asarray(person.beard.thickness) > BEARD_UNITS
    throat = person.anchors[NECK_ANCHORS, 1].mean() + NECK_MM / millimetres(person)
    return {
        "face": np.asarray(person.head.face_mask, dtype=bool),
        "lips": lip_mask(person),
        "lids": _near_contours(person, ((36, 42), (42, 48)), LIDS_MM),
        "neck": bare[:, 1] < throat,
        "hair": worn,
    }


def lip_mask(person: Person) -> np.ndarray:
    """Skin vertices (V,) of the lips: near the contours through landmarks 48-59 and 60-67 of the neutral head."""
    return _near_contours(person, ((48, 60), (60, 68)), LIPS_MM)


def _near_contours(person: Person, rings: tuple[tuple[int, int], ...], reach_mm: float) -> np.ndarray:
    """Skin vertices (V,) within a distance of closed contours through ranges of the neutral head's 68 landmarks."""
    from headfield.neighbours import PointTree

    bare = person.bare()
    landmarks = person.head.landmarks68(bare)
    share = np.linspace(0, 1, 5)[:-1, None, None]
    contours = []
    for first, end in rings:
        ring = landmarks[first:end]
        contours.append((ring * (1 - share) + np.roll(ring, -1, axis=0) * share).reshape(-1, 3))
    reach = reach_mm / millimetres(person)
    return PointTree(np.concatenate(contours)).query(bare, distance_upper_bound=reach)[0] < reach


def millimetres(person: Person) -> float:
    """True millimetres of one model unit on this person."""
    return 1000.0 / person.placement.scale


def scalp_mask(vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Vertices (V,) of a head whose nearest anchor (of anchors (39, 3)) is one of the scalp's."""
    from headfield.neighbours import PointTree

    of_scalp = np.array([name.startswith(SCALP) for name in ANCHOR_NAMES])
    return of_scalp[PointTree(anchors).query(vertices)[1]]


@dataclass(frozen=True)
class _Part:
    """Some triangles with what is known about them; `masks` are of vertices (V,), by region."""

    vertices: np.ndarray
    triangles: np.ndarray
    visible: np.ndarray
    cap: np.ndarray
    masks: dict[str, np.ndarray]

    def pick(self, which: np.ndarray) -> _Part:
        """The part with only some of its triangles, `which` (F,) bool or indices; the vertices all stay."""
        return _Part(self.vertices, self.triangles[which], self.visible[which], self.cap[which], self.masks)

    def centres(self) -> np.ndarray:
        """Centroids (F, 3) of the triangles."""
        return self.vertices[self.triangles].mean(1)

    def split(self, which: np.ndarray) -> _Part:
        """Those triangles, each in sixteen: where hair meets skin, part of a triangle is inside the other."""
        corners = self.triangles[which]
        number = {step: k for k, step in enumerate(_STEPS)}
        pieces = [(number[i, j], number[i + 1, j], number[i, j + 1]) for i in range(4) for j in range(4 - i)]
        pieces += [(number[i + 1, j], number[i + 1, j + 1], number[i, j + 1]) for i in range(3) for j in range(3 - i)]

        def spread(values: np.ndarray) -> np.ndarray:
            mixed = np.einsum("kc,tc...->tk...", _SIXTEEN, np.asarray(values, float)[corners])
            return mixed.reshape(-1, *mixed.shape[2:])

        triangles = (np.arange(len(corners))[:, None, None] * len(_STEPS) + np.array(pieces)).reshape(-1, 3)
        masks = {name: spread(mask) > 0.5 for name, mask in self.masks.items()}
        visible, cap = (np.repeat(flag[which], 16) for flag in (self.visible, self.cap))
        return _Part(spread(self.vertices), triangles, visible, cap, masks)


def _join(parts: list[_Part]) -> _Part:
    offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
    triangles = np.concatenate([part.triangles + offset for part, offset in zip(parts, offsets)])
    visible, cap = (np.concatenate([getattr(part, name) for part in parts]) for name in ("visible", "cap"))
    masks = {name: np.concatenate([part.masks[name] for part in parts]) for name in parts[0].masks}
    return _Part(np.concatenate([part.vertices for part in parts]), triangles, visible, cap, masks)
