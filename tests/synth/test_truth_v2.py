"""Truth v2: people with faces of their own, which expressions carry along, and whose eyes are sealed."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.frames import BOX, MM_PER_UNIT
from headfield.parametric.topology import vertex_normals
from headfield.synth.identities import IdentityKey
from headfield.synth.person import make_person
from headfield.synth.sampling import sample_row
from headfield.synth.sheet import make_sheet
from headfield.types import ARKIT

SEEDS = (0, 1, 2)


def weights(**channels):
    return np.array([channels.get(name.removesuffix("Left").removesuffix("Right"), 0.0) for name in ARKIT])


@pytest.fixture(scope="module")
def pairs(by_both_truths):
    """The same people by the first truth and by the second, bald."""
    return [by_both_truths(seed) for seed in SEEDS]


def added(first, second, expression=None):
    """What the second truth adds to the skin (V, 3), mm, in the first's frame."""
    raw = first.head.raw_vertices(first.identity, expression)
    return first.placement.scale * MM_PER_UNIT * (second.variation.apply(raw) - raw)


def test_who_is_drawn_again_is_the_same(pairs):
    head, sheet = pairs[0][1].head, pairs[0][1].sheet
    again = make_person(pairs[0][1].key, head, sheet, 0.0, "v2")
    assert np.array_equal(again.skin(), pairs[0][1].skin()) and np.array_equal(again.anchors, pairs[0][1].anchors)
    assert not np.allclose(pairs[1][1].skin(), pairs[0][1].skin())


def test_faces_are_their_own_by_millimetres(pairs):
    for first, second in pairs:
        face = np.asarray(first.head.face_mask, dtype=bool)
        size = np.linalg.norm(added(first, second), axis=1)
        typical, most = np.median(size[face]), size.max()
        print(f"{second.key.id}: face median {typical:.2f} mm, most anywhere {most:.1f} mm")
        assert 0.2 < typical < 4.0 and most < 15.0


def test_no_linear_family_holds_them(ict):
    """What the identity modes of ICT leave of a variation, and of the head before it."""
    head, sheet = ict, make_sheet(ict)
    rest = head.raw_vertices(np.zeros(head.n_identity))
    modes = np.stack([(head.raw_vertices(row) - rest).ravel() for row in np.eye(head.n_identity)], axis=1)
    for index in SEEDS:
        person = make_person(IdentityKey("ict", "train", index, 0), head, sheet, 0.0, "v2")
        own = head.raw_vertices(person.identity)
        left = [
            np.linalg.norm(shape.ravel() - rest.ravel() - modes @ np.linalg.lstsq(modes, (shape - rest).ravel())[0])
            for shape in (own, person.variation.apply(own))
        ]
        size = np.linalg.norm(person.variation.apply(own) - own)
        print(f"left of the variation: {left[1] / size:.0%}, of the family's head {left[0] / size:.1%}")
        assert left[1] > 0.4 * size and left[0] < 0.5 * left[1]


def test_expressions_carry_it_along_and_turn_nothing_over(pairs):
    """An opened jaw turns what was added to the chin, keeps its size, and flips no more triangles than the family's."""
    expression = weights(jawOpen=0.6, eyeBlink=0.7)
    for first, second in pairs:
        still, moved = added(first, second), added(first, second, expression)
        sizes = [np.linalg.norm(part, axis=1) for part in (still, moved)]
        assert np.abs(sizes[0] - sizes[1]).max() < 0.02 * sizes[0].max()
        triangles = first.sheet.triangles[~first.sheet.interior & ~first.sheet.cap]
        for pose in (None, expression):
            before, after = (vertex_normals(person.bare(pose), triangles) for person in (first, second))
            flipped = (before * after).sum(1)[np.unique(triangles)] < 0
            assert flipped.mean() < 0.001, f"{flipped.sum()} vertices face the other way"


def test_rows_of_sealed_people_lie_on_their_surface(pairs):
    person = pairs[0][1]
    for expression in (None, weights(eyeBlink=0.5)):
        solid = person.neutral if expression is None else person.solid(expression)
        assert solid.joins
        surface = solid.sample_surface(3000, np.random.default_rng(0))
        off = np.abs(solid.signed_distance(surface.points)[0]) * MM_PER_UNIT
        print(f"off the surface by {np.quantile(off, 0.99):.4f} mm at the 99th percentile, {off.max():.3f} at most")
        assert np.quantile(off, 0.99) < 0.05
        row = sample_row(solid, person.neutral, 1000, 500, BOX, np.random.default_rng(0))
        assert row.canonical_valid.mean() > 0.9


def test_lids_and_lips_are_sampled_densely(pairs):
    """Points of truth v2 lie on lids and lips half as often again as those of the first truth."""
    first, second = pairs[0]
    head = first.head
    shares = []
    for person in (first, second):
        points = person.neutral.sample_surface(6000, np.random.default_rng(0)).points
        places = head.landmarks68(person.skin())[36:]  # eyes and lips
        away = np.linalg.norm(points[:, None] - places[None], axis=2).min(1)
        shares.append(float((away < 0.016).mean()))
    print(f"within 4 mm of the landmarks of eyes and lips: {shares[0]:.1%} of all points, then {shares[1]:.1%}")
    assert shares[1] > 1.5 * shares[0]
