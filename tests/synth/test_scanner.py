"""The virtual scanner against the truth it hides."""

from __future__ import annotations

import igl
import numpy as np
import pytest

from headfield.errors import ConfigError
from headfield.frames import UNITS_IN_METRES
from headfield.synth.identities import IdentityKey
from headfield.synth.person import dress, make_person
from headfield.synth.scanner import HAIR, SHOULDERS, SKIN, STRAY, HeadTruth, ScanOptions, scan_head

CLEAN = ScanOptions(noise_mm=0.0, wave_mm=0.0, shoulders=False, holes=0, strays=0.0, loose_hair=0.0)


@pytest.fixture(scope="module")
def truth(toy):
    return HeadTruth.of_person(make_person(IdentityKey("ict", "test", 0, 1), toy, hair_share=0.0))


def _distance(points, truth):
    return np.sqrt(igl.point_mesh_squared_distance(points, truth.vertices, truth.triangles[truth.surface])[0])


@pytest.mark.parametrize("variant", ["full", "frontal", "depth"])
def test_a_clean_scan_lies_on_the_truth(truth, variant):
    scan, known = scan_head(truth, variant, np.random.default_rng(0), CLEAN)
    assert len(scan.points) == (5000 if variant == "depth" else 60000)
    in_model = known.model_from_scan.apply(scan.points)
    assert _distance(in_model, truth).max() < 2e-5
    outward = known.model_from_scan.rotate(scan.normals)
    assert np.allclose(np.linalg.norm(scan.normals, axis=1), 1)
    assert ((in_model - truth.vertices.mean(0)) * outward).sum(1).min() > 0
    back = (in_model[:, 2] < truth.vertices[:, 2].min() + 0.05).mean()
    assert back > 0.03 if variant == "full" else back < 1e-3


def test_noise_has_the_size_it_says(truth):
    options = ScanOptions(**{**CLEAN.__dict__, "noise_mm": 0.5, "unit": "mm"})
    scan, known = scan_head(truth, "depth", np.random.default_rng(0), options)
    error = _distance(known.model_from_scan.apply(scan.points), truth) * known.metres_per_unit * 1000
    assert 0.25 < np.median(error) < 0.45  # 0.67 sigma on the distance for a Gaussian


def test_unit_pose_and_size_are_in_the_truth(truth):
    for seed in range(6):
        scan, known = scan_head(truth, "depth", np.random.default_rng(seed), CLEAN)
        assert known.unit in UNITS_IN_METRES
        metres_per_unit_of_model = UNITS_IN_METRES[known.unit] / known.model_from_scan.scale
        assert np.isclose(metres_per_unit_of_model, truth.metres_per_unit)
        extent = np.ptp(scan.points, axis=0).max() * UNITS_IN_METRES[known.unit]
        assert 0.1 < extent < 0.5
        eye = known.model_from_scan.apply(scan.viewpoint)
        assert eye[2] > 1.5  # before the face


def test_shoulders_strays_and_hair_are_labelled(ict):
    person = make_person(IdentityKey("ict", "test", 0, 1), ict, hair_share=0.0)
    person = dress(person, "medium", "none", np.random.default_rng(0))
    truth = HeadTruth.of_person(person)
    options = ScanOptions(shoulders=True, strays=0.01, points=20000)
    scan, known = scan_head(truth, "full", np.random.default_rng(1), options)
    counts = np.bincount(known.labels, minlength=4)
    assert (counts[[SKIN, HAIR, SHOULDERS]] > 1000).all() and counts[STRAY] >= 200
    distance = _distance(known.model_from_scan.apply(scan.points), truth) * 250
    assert np.quantile(distance[known.labels <= HAIR], 0.99) < 1.0
    assert np.median(distance[known.labels == SHOULDERS]) > 5


def test_holes_take_points_away(truth):
    whole, known = scan_head(truth, "full", np.random.default_rng(0), CLEAN)
    holed, also = scan_head(truth, "full", np.random.default_rng(0), ScanOptions(**{**CLEAN.__dict__, "holes": 4}))
    place = known.model_from_scan.apply(whole.points)[:4000]
    left = also.model_from_scan.apply(holed.points)
    from scipy.spatial import cKDTree

    gap = cKDTree(left).query(place)[0] * 250
    assert gap.max() > 5 and np.median(gap) < 2


def test_same_state_same_scan(truth):
    first, second = (scan_head(truth, "depth", np.random.default_rng(3))[0] for _ in range(2))
    assert np.array_equal(first.points, second.points)


def test_unknown_variant_is_refused(truth):
    with pytest.raises(ConfigError, match="full, frontal or depth"):
        scan_head(truth, "lidar", np.random.default_rng(0))
