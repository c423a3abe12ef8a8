"""Shoulders are told from the head by how their surface lies."""

import numpy as np
import pytest

from headfield.evaluate.truth import frozen_person
from headfield.fit.mean_field import mean_field_of, neck_plane
from headfield.fit.shoulders import on_body
from headfield.models.release import load
from headfield.synth.scanner import SHOULDERS, HeadTruth, ScanOptions, scan_head


@pytest.mark.parametrize("variant", ["full", "frontal"])
@pytest.mark.parametrize("shoulders", [True, False])
def test_shoulders_are_found_and_heads_left_alone(variant, shoulders):
    person = frozen_person("anny", "dev", 2, "bald")
    options = ScanOptions(points=30_000, shoulders=shoulders, strays=0.0)
    scan, truth = scan_head(HeadTruth.of_person(person), variant, np.random.default_rng(3), options)
    placed = truth.model_from_scan.apply(scan.points)
    found = on_body(placed, mean_field_of(load("imhead-open-small")))
    if not shoulders:
        assert not found.any()
        return
    cut = neck_plane(person.anchors)
    body = truth.labels == SHOULDERS
    above = body & (placed @ cut[:3] + cut[3] > 0)
    assert found[above].mean() > 0.85
    assert found[~body].mean() < 0.05


def test_hardly_any_points_are_no_shoulders():
    assert not on_body(np.zeros((3, 3)), mean_field_of(load("imhead-open-small"))).any()
