"""Shoulders are told from the head by how their surface lies."""

from functools import cache

import numpy as np
import pytest
import torch

from headfield.errors import DataError
from headfield.evaluate.truth import frozen_person
from headfield.fit.mean_field import mean_field_of, neck_plane
from headfield.fit.shoulders import NEAR, on_body
from headfield.frames import ANCHOR_NAMES
from headfield.models.release import load
from headfield.synth.person import dress
from headfield.synth.scanner import HAIR, SHOULDERS, HeadTruth, ScanOptions, scan_head


@cache
def mean_field():
    return mean_field_of(load("imhead-open-small"))


def scanned(hair="bald", beard="none", variant="full", shoulders=True):
    """Points in the model frame (N, 3), their labels, and their height over the true cut of the neck."""
    person = frozen_person("anny", "dev", 2, "bald")
    person = dress(person, hair, beard, np.random.default_rng(5))
    assert (person.hair_class, person.beard_class) == (hair, beard)
    options = ScanOptions(points=30_000, shoulders=shoulders, strays=0.0, loose_hair=0.0)
    scan, truth = scan_head(HeadTruth.of_person(person), variant, np.random.default_rng(3), options)
    placed, cut = truth.model_from_scan.apply(scan.points), neck_plane(person.anchors, 0.5)
    return placed, truth.labels, placed @ cut[:3] + cut[3]


@pytest.mark.parametrize("variant", ["full", "frontal"])
@pytest.mark.parametrize("shoulders", [True, False])
@pytest.mark.parametrize(("hair", "beard"), [("bald", "none"), ("neck", "none"), ("bald", "full")])
def test_shoulders_are_found_and_heads_left_alone(variant, shoulders, hair, beard):
    placed, labels, height = scanned(hair, beard, variant, shoulders)
    found, body, above = on_body(placed, mean_field()), labels == SHOULDERS, height > 0
    if not shoulders:
        assert not found.any()
        return
    assert found[body & above].mean() > 0.95
    assert found[~body & above].mean() < 0.05, "the fold between neck and shoulder goes with them"
    if hair != "bald":
        assert found[labels == HAIR].mean() < 0.02, "hair hangs down to the shoulders and stays"


@pytest.mark.parametrize("index", [2, 4])
def test_the_upper_side_of_a_chin_is_no_shoulder(index):
    """It leans as shoulders do, most of all under a beard, but does not hang together with them."""
    try:
        person = frozen_person("ict", "dev", index, "all")
    except DataError as error:
        pytest.skip(str(error))
    scan, truth = scan_head(HeadTruth.of_person(person), "frontal", np.random.default_rng([5, index]))
    placed = truth.model_from_scan.apply(scan.points)
    chin = np.linalg.norm(placed - person.anchors[ANCHOR_NAMES.index("chin")], axis=1) < 0.1
    found = on_body(placed, mean_field())
    assert chin.sum() > 200 and not found[chin].any()
    assert found[truth.labels == SHOULDERS].mean() > 0.5


@pytest.mark.parametrize("raised_mm", [-5.0, 10.0])
def test_a_table_round_the_neck_is_found(raised_mm):
    placed, _, height = scanned(shoulders=False)
    rng = np.random.default_rng(0)
    table = rng.uniform(-1.0, 1.0, (15_000, 3))
    table[:, 1] = placed[:, 1].min() + raised_mm / 250.0
    table = table[np.hypot(table[:, 0], table[:, 2] + 0.1) > 0.3]
    clear = mean_field().lookup(torch.from_numpy(table.astype(np.float32)))[0].numpy() > NEAR  # of the neck's own rim
    found = on_body(np.concatenate([placed, table]), mean_field())
    assert clear.mean() > 0.5 and found[len(placed) :][clear].mean() > 0.99
    assert found[len(placed) :].mean() > 0.95
    assert found[: len(placed)][height > 0].mean() < 0.1, "a rim of the neck goes with it"


def test_hardly_any_points_are_no_shoulders():
    assert not on_body(np.zeros((3, 3)), mean_field()).any()
