"""The deformer alone: what moves, what stays bit for bit, exact resume, and the release on top of released weights."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from test_loop import config, toy_store, weights_of  # noqa: F401  (toy_store is a fixture)

import headfield
from headfield.errors import ConfigError, WeightsError
from headfield.train.batches import Batches, Drawing
from headfield.train.deformer import shared_weights
from headfield.train.loop import one_step, run, save
from headfield.train.release import release_deformer, release_run
from headfield.train.trainer import CHECKPOINT, start


@pytest.fixture(scope="module")
def whole(toy_store, tmp_path_factory):  # noqa: F811
    """A complete run and its release."""
    folder = tmp_path_factory.mktemp("whole")
    run(start(config(toy_store, folder / "run")))
    release_run(folder / "run", toy_store, folder / "released")
    return folder


def alone(store, out, whole, **changes):
    return config(store, out, only="deformer", start=whole / "run" / CHECKPOINT,
                  decay_from=0.0, rate=1e-2, steps=4, **changes)  # fmt: skip


def test_only_the_deformer_moves_and_a_killed_run_resumes(toy_store, whole, tmp_path):  # noqa: F811
    trainer = start(alone(toy_store, tmp_path / "a", whole))
    before = weights_of(trainer)
    run(trainer)
    after, shared = weights_of(trainer), shared_weights(trainer.model)
    assert set(shared) == {"ensemble.mlp.first", "ensemble.mlp.skip"}
    for name, value in before.items():
        if name in shared:
            columns = shared[name]
            assert torch.equal(value[..., :-columns], after[name][..., :-columns])
            assert not torch.equal(value[..., -columns:], after[name][..., -columns:])
        else:
            moved = name.startswith("deformer.") and name != "deformer.mlp.last_bias"
            assert torch.equal(value, after[name]) != moved, name
    first = start(alone(toy_store, tmp_path / "b", whole))
    first.config.out.mkdir()
    for _ in range(2):
        one_step(first)
    save(first)
    one_step(first)  # killed here: this step is lost
    second = start(alone(toy_store, tmp_path / "b", whole))
    assert second.step == 2
    run(second)
    for name, value in weights_of(second).items():
        assert torch.equal(value, after[name]), name


def test_held_rows_are_never_drawn_and_always_measured(toy_store, whole, tmp_path):  # noqa: F811
    trainer = start(alone(toy_store, tmp_path / "run", whole, held_rows=1))
    for step in range(5):
        for batch in trainer.batches.draw(step, 1.0, 2):
            assert torch.equal(batch.expression[:, 24], torch.full((len(batch),), 0.5))  # row 1; row 2 is held
    run(trainer)
    line = json.loads((tmp_path / "run" / "held_out.jsonl").read_text().splitlines()[-1])
    assert {"warp", "moved", "way", "surface", "surface_p90"} <= set(line) and line["way"] > 1.0


def test_correspondences_alone_move_no_part_network(toy_store, whole, tmp_path):  # noqa: F811
    trainer = start(alone(toy_store, tmp_path / "run", whole, warp_share=0.5))
    before = weights_of(trainer)
    terms = [one_step(trainer) for _ in range(2)]
    assert all(set(term) == {"correspondence", "moving"} for term in terms)
    for name, value in weights_of(trainer).items():
        assert name.startswith("deformer.") or torch.equal(value, before[name]), name
    assert "surface" in one_step(trainer)


def test_the_release_keeps_heads_at_rest_bit_for_bit(toy_store, whole, tmp_path):  # noqa: F811
    run(start(alone(toy_store, tmp_path / "run", whole)))
    release_deformer(tmp_path / "run", toy_store, whole / "released", tmp_path / "again")
    old, new = headfield.load(whole / "released"), headfield.load(tmp_path / "again")
    points = torch.rand(1, 60, 3) - 0.5
    codes = old.mean_codes()
    assert torch.equal(old.signed_distance(points, codes), new.signed_distance(points, codes))
    assert torch.equal(old.prior.means, new.prior.means) and torch.equal(old.anchors(codes), new.anchors(codes))
    jaw, tongue = (replace(codes, expression=torch.eye(52)[[channel]]) for channel in (24, 51))
    assert not torch.equal(old.signed_distance(points, jaw), new.signed_distance(points, jaw))
    assert torch.allclose(new.signed_distance(points, tongue), new.signed_distance(points, codes), atol=1e-7)
    assert json.loads((tmp_path / "again" / "config.json").read_text())["deformer"]["step"] == 4
    assert "trained again" in (tmp_path / "again" / "README.md").read_text()
    other = start(config(toy_store, tmp_path / "other", seed=5))
    run(other)
    release_run(tmp_path / "other", toy_store, tmp_path / "other_released")
    with pytest.raises(WeightsError, match="released from that checkpoint"):
        release_deformer(tmp_path / "run", toy_store, tmp_path / "other_released", tmp_path / "no")


def test_refusals(toy_store, whole, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match="needs --start"):
        start(config(toy_store, tmp_path / "x", only="deformer"))
    with pytest.raises(ConfigError, match="other sizes"):
        start(alone(toy_store, tmp_path / "x", whole, preset="small"))


def test_batches_need_an_expression_that_is_not_held(toy_store):  # noqa: F811
    from headfield.io.store import Store

    store = Store(toy_store)
    drawing = Drawing(heads=4, points=8, samples=8, mirror=False, held_rows=2)
    batches = Batches(store, store.select(split="train"), drawing)
    drawn = batches.draw(0, 1.0, 4)
    assert all(batch.expression is None for batch in drawn)
    assert np.sum([len(batch) for batch in drawn]) == 4
