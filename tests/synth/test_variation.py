"""Faces of one's own: deterministic, bounded, kept off lids and lips, carried by the skin, beyond a linear family."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headfield.errors import ConfigError
from headfield.frames import MM_PER_UNIT, mirror_points
from headfield.parametric.normalise import normalising_similarity
from headfield.synth import generate as room
from headfield.synth.config import SynthConfig
from headfield.synth.folds import DEEPEST, fold_heights
from headfield.synth.gaze import eyes_of
from headfield.synth.generate import generate
from headfield.synth.hair import reference_warp
from headfield.synth.hairstyle import OVERLAID
from headfield.synth.identities import IdentityKey
from headfield.synth.person import family, make_person
from headfield.synth.sheet import make_sheet
from headfield.synth.variation import LARGEST, draw_variation, drawn_age
from headfield.synth.variation_zones import EYE_SHIFT
from headfield.types import ARKIT, Similarity

SEEDS = range(3)


@pytest.fixture(scope="module", params=["ict", "anny"])
def plain(request):
    """A head, its sheet, and one person as the family makes them."""
    if request.param == "anny":
        pytest.importorskip("anny", reason="anny's heads need the extra synth")
    else:
        request.getfixturevalue("ict")
    head, sheet = family(request.param)
    return make_person(IdentityKey(request.param, "train", 0, 1), head, sheet, 0.0)


def drawn(person, seed: int, age: float = 70.0):
    return draw_variation(
        np.random.default_rng(seed), person.head, person.sheet, person.skin(), person.anchors, age
    )  # fmt: skip


def weights(*names: str) -> np.ndarray:
    return np.isin(ARKIT, names).astype(float)


def area_vectors(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return np.cross(b - a, c - a)


def test_the_same_generator_makes_the_same_face(plain):
    skin = plain.skin(weights("jawOpen"))
    first, again, other = (drawn(plain, seed).apply(skin) for seed in (4, 4, 5))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.parametrize("seed", SEEDS)
def test_amplitudes_are_bounded_and_no_triangle_turns_over(plain, seed):
    skin = plain.skin()
    varied = drawn(plain, seed).apply(skin)
    moved = np.linalg.norm(varied - skin, axis=1)
    face = np.asarray(plain.head.face_mask)
    assert moved[face].max() < LARGEST + 1.6 * DEEPEST  # ears, which move farther, are no part of the face
    assert moved.max() < 3 * LARGEST and moved[face].mean() > 0.3 / MM_PER_UNIT
    triangles = plain.sheet.triangles
    assert ((area_vectors(skin, triangles) * area_vectors(varied, triangles)).sum(1) > 0).all()
    cap = np.unique(triangles[plain.sheet.cap])
    assert np.abs(varied - skin)[cap].max() < 0.02 / MM_PER_UNIT  # the cut stays a plane


@pytest.mark.parametrize("seed", SEEDS)
def test_eyeballs_and_the_lips_line_move_rigidly_in_every_expression(plain, seed):
    variation, head = drawn(plain, seed), plain.head
    for expression in (None, weights("jawOpen"), weights("eyeBlinkLeft", "eyeBlinkRight"), weights("mouthRollLower")):
        skin = plain.skin(expression)
        added = variation.apply(skin) - skin
        for eye in eyes_of(plain.skin(), plain.sheet.triangles):
            assert np.ptp(added[eye.vertices], axis=0).max() < 1e-9
            assert np.linalg.norm(added[eye.vertices[0]]) < EYE_SHIFT
        upper, lower = ([61, 62, 63], [67, 66, 65])
        lips = head.landmarks68(skin + added) - head.landmarks68(skin)
        rolled = 0.04 * np.linalg.norm(head.landmarks68(skin)[upper] - head.landmarks68(skin)[lower], axis=1)
        assert (np.linalg.norm(lips[upper] - lips[lower], axis=1) <= rolled + 0.05 / MM_PER_UNIT).all()


def test_left_and_right_differ_by_less_than_both_from_the_family(plain):
    variation = drawn(plain, 0, age=20.0)
    added = variation.carried + variation.fixed
    face = np.asarray(plain.head.face_mask)
    image = mirror_points(added[plain.head.mirror])
    odd = np.sqrt(((added - image) ** 2).sum(1)[face].mean())
    even = np.sqrt(((added + image) ** 2).sum(1)[face].mean())
    assert 0.1 / MM_PER_UNIT < odd < even


def test_it_turns_with_a_turned_head_and_with_the_jaw(plain):
    variation = drawn(plain, 1)
    skin = plain.skin(weights("jawOpen"))
    varied = variation.apply(skin)
    turn = Similarity(Rotation.from_euler("XYZ", [0.4, -0.7, 0.2]).as_matrix(), np.array([0.3, -1.0, 0.2]))
    assert np.abs(variation.apply(turn.apply(skin)) - turn.apply(varied)).max() < 1e-6
    # lengths are kept where the skin turns, and the skull does not turn with the jaw
    neutral = plain.skin()
    at_rest, posed = variation.apply(neutral) - neutral, varied - skin
    chin = np.flatnonzero((variation.fixed == 0).all(1))
    assert np.abs(np.linalg.norm(at_rest[chin], axis=1) - np.linalg.norm(posed[chin], axis=1)).max() < 1e-9
    assert np.abs(at_rest - posed)[variation.skull].max() < 0.1 / MM_PER_UNIT
    assert np.abs(at_rest - posed).max() > 0.05 / MM_PER_UNIT


def test_another_frame_holds_the_same_variation(plain):
    variation, to_metres = drawn(plain, 2), plain.placement.inverse()
    skin = plain.skin(weights("jawOpen"))
    there = variation.in_frame(to_metres).apply(to_metres.apply(skin))
    assert np.abs(plain.placement.apply(there) - variation.apply(skin)).max() < 1e-8


def test_folds_come_with_age_and_are_not_deep(plain):
    skin, place = plain.skin(), reference_warp(plain.anchors)(plain.skin())

    def heights(age):
        rng = np.random.default_rng(3)
        found = fold_heights(place, skin, plain.anchors, plain.sheet, age, rng)
        return found, rng.random()

    (young, after_young), (middle, _), (old, after_old) = (heights(age) for age in (20, 50, 80))
    assert (young == 0).all() and after_young == after_old  # as much is drawn for everybody
    assert np.linalg.norm(middle) < np.linalg.norm(old) and old.min() >= -DEEPEST and old.min() < -0.3 * DEEPEST


def test_ages_are_the_families_where_they_know():
    assert drawn_age({"age_years": 8.4}, np.random.default_rng(0)) == 8.4
    assert all(18 <= drawn_age({}, np.random.default_rng(seed)) <= 85 for seed in range(20))


def test_a_pca_as_large_as_the_family_leaves_something(ict):
    """Of 16 modes of the family: 17 heads span them, and others of them leave nothing, unless they are varied."""
    rng, modes, sheet = np.random.default_rng(0), 16, make_sheet(ict)

    def heads(count: int, varied: bool) -> np.ndarray:
        rows = []
        for _ in range(count):
            identity = np.zeros(ict.n_identity)
            identity[:modes] = rng.standard_normal(modes)
            # the skin above the neck, whose relaid rows are not linear
            skin = ict.raw_vertices(identity)[: ict.plan.n_linear]
            rows.append((identity, skin))
        if not varied:
            return np.array([skin[np.asarray(ict.face_mask)[: len(skin)]].ravel() for _, skin in rows])
        out = []
        for identity, skin in rows:
            key = IdentityKey("ict", "train", len(out), 7)
            raw = ict.raw_vertices(identity)
            placement = normalising_similarity(ict.anchors(raw))
            model = placement.apply(raw)
            variation = draw_variation(key.rng("variation"), ict, sheet, model, ict.anchors(model), 40.0)
            out.append(placement.inverse().apply(variation.apply(model))[: len(skin)])
        return np.array([skin[np.asarray(ict.face_mask)[: len(skin)]].ravel() for skin in out])

    def residual_mm(varied: bool) -> float:
        train, test = heads(modes + 4, varied), heads(2, varied)
        mean = train.mean(0)
        basis = np.linalg.svd(train - mean, full_matrices=False)[2][:modes]
        left = (test - mean) - (test - mean) @ basis.T @ basis
        return 1000 * float(np.sqrt((left**2).sum(1).mean() * 3 / left.shape[1]))

    assert residual_mm(False) < 1e-3 and residual_mm(True) > 0.3


def test_people_of_the_first_truth_stay_as_they_are(ict):
    key, sheet = IdentityKey("ict", "train", 2, 1), make_sheet(ict)
    first, second = make_person(key, ict, sheet, 1.0), make_person(key, ict, sheet, 1.0, "v2")
    assert first.variation is None and np.array_equal(
        first.bare(), first.placement.apply(ict.raw_vertices(first.identity))
    )
    assert np.array_equal(first.identity, second.identity)
    assert second.hair_class in (first.hair_class, *OVERLAID) and first.beard_class == second.beard_class
    assert np.allclose(second.anchors, ict.anchors(second.bare())) and not np.allclose(first.anchors, second.anchors)
    with pytest.raises(ConfigError, match="v1 or v2"):
        make_person(key, ict, sheet, 0.0, "v3")


def test_a_store_of_the_second_truth_says_so(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "family", lambda name: (toy, make_sheet(toy)))
    small = {"identities": 1, "family": "ict", "expressions": 1, "hair": 0.0, "points": 256, "samples": 128}
    for truth in ("v1", "v2"):
        generate(SynthConfig(truth=truth, **small), tmp_path / truth, False)
    headers = [json.loads((tmp_path / name / "store.json").read_text())["settings"] for name in ("v1", "v2")]
    assert "truth" not in headers[0] and headers[1]["truth"] == "v2"
    arrays = [np.load(tmp_path / name / "ict" / "ict-train-00000" / "anchors.npy") for name in ("v1", "v2")]
    assert not np.array_equal(*arrays)
