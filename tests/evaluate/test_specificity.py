"""Specificity: the nearest head is the nearest, a copy is no distance away, and more spread leads farther."""

from types import SimpleNamespace

import numpy as np
import pytest
from stub_head import PlainHead

from headfield.errors import ConfigError
from headfield.evaluate import specificity
from headfield.evaluate.options import Options
from headfield.evaluate.papers import SPREADS, SWEEPS
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.specificity import TrainingHeads, drawn_code, run_specificity
from headfield.fit.normal_equations import codes_of
from headfield.frames import MM_PER_UNIT
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target, sample_surface


@pytest.fixture(scope="module")
def stub():
    return PlainHead()


@pytest.fixture(scope="module")
def training(stub):
    """Five heads of the stub, as if it had been trained on them."""
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((5, stub.config.identity))
    meshes = tuple(mesh_of(stub, codes_of(stub, code, None), 64, normals=False) for code in codes)
    points = [sample_surface(mesh, 400, rng).points for mesh in meshes]
    anchors = np.repeat(stub.anchors(stub.mean_codes()).numpy(), 5, axis=0)
    return TrainingHeads(anchors + 1e-3 * rng.standard_normal(anchors.shape), points, meshes)


def test_a_copy_is_no_distance_away_and_others_as_far_as_by_hand(training):
    for index, mesh in enumerate(training.meshes):
        by_hand = [MM_PER_UNIT * Target(mesh).closest(points)[0].mean() for points in training.points]
        assert by_hand[index] < 1e-3 < min(np.delete(by_hand, index))
        assert training.nearest_mm(mesh, training.anchors[index]) == pytest.approx(by_hand[index], abs=1e-3)
        assert training.apart_mm(index) == pytest.approx(min(np.delete(by_hand, index)), rel=1e-3)
    assert np.isnan(TrainingHeads(training.anchors, training.points).apart_mm(0))


def test_the_more_spread_the_farther_on_the_same_way(stub, training, monkeypatch):
    monkeypatch.setattr(specificity, "load", lambda name: stub)
    monkeypatch.setattr(specificity, "training_heads", lambda *words: training)
    near, far = (drawn_code(stub, 3, sd) for sd in (0.5, 2.0))
    assert np.allclose(4 * near, far) and not np.allclose(near, drawn_code(stub, 4, 0.5))
    options = Options(resolution=64, baselines=False)
    for case in range(2):
        found = [run_specificity(protocol_named(name), case, options).values for name in SWEEPS["specificity"]]
        nearest = [values["nearest"]["ours"] for values in found]
        print("nearest, mm", nearest)
        assert nearest == sorted(nearest) and nearest[-1] > 1.2 * nearest[0]
        assert np.isnan(found[0]["apart"]["ours"])  # the same for every model: told beside the first one's
    again = run_specificity(protocol_named("specificity-2"), 1, options).values
    assert again["nearest"]["ours"] == nearest[-1]


def test_the_trivial_answers_stand_beside(stub, training, monkeypatch):
    """The mean head is the same at every spread; the PCA's draws grow with it; so far are training heads apart."""
    like = SimpleNamespace(
        n_identity=2, triangles=training.meshes[0].triangles, anchors=lambda vertices: training.anchors[0],
        vertices=lambda weights: training.meshes[0].vertices * (1 + 0.05 * np.abs(weights).max()),
    )  # fmt: skip
    monkeypatch.setattr(specificity, "load", lambda name: stub)
    monkeypatch.setattr(specificity, "training_heads", lambda *words: training)
    monkeypatch.setattr(specificity, "training_pca", lambda *words, **more: like)
    options = Options(model="a stub", resolution=64)
    found = [run_specificity(protocol_named(name), 1, options).values for name in SWEEPS["specificity"]]
    assert len({values["nearest"]["mean"] for values in found}) == 1
    assert len({values["apart"]["ours"] for values in found}) == 1 and found[0]["apart"]["ours"] > 0
    linear = [values["nearest"]["pca"] for values in found]
    assert linear == sorted(linear) and linear[0] < linear[-1]


def test_a_store_gives_its_own_heads_and_is_refused_without_two():
    rng = np.random.default_rng(0)
    record = lambda hair: SimpleNamespace(family="own", hair=hair, beard="none")  # noqa: E731
    records = [record("bald"), record("long"), record("bald"), record("bald")]
    arrays = {"anchors": rng.random((39, 3)), "points": rng.integers(0, 65535, (1, 50, 3), dtype=np.uint16)}
    box = np.array([[-1.0, -1, -1], [1, 1, 1]])
    store = SimpleNamespace(path="store", box=box, select=lambda split: records, open=lambda record: arrays)
    found = specificity._of_store(store, None)
    assert found.anchors.shape == (3, 39, 3) and found.points[0].shape == (50, 3) and not found.meshes
    assert len(specificity._of_store(store, 2).points) == 2
    records[2:] = []
    with pytest.raises(ConfigError, match="store has 1 bald training heads"):
        specificity._of_store(store, None)


def test_the_sweep_has_a_level_each():
    assert [protocol_named(name).level for name in SWEEPS["specificity"]] == list(SPREADS)
    assert len(protocol_named("specificity-1").cases("test")) == 1000
    assert not protocol_named("specificity-1").pictured
