"""NPHM's recipe on toy heads: losses fall, posed heads teach the deformation and leave codes and fields alone."""

import json

import numpy as np
import pytest
import torch
from test_loop import config, toy_store, weights_of  # noqa: F401  (toy_store is a fixture)

from headfield.models import release
from headfield.models.nphm.model import Nphm
from headfield.train.loop import one_step, run
from headfield.train.release import release_run
from headfield.train.trainer import start
from headfield.types import Codes


def test_losses_fall_and_a_release_is_the_same_model(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="nphm", steps=200, heads=6, rate=3e-3))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    posed = [line["deformation"] for line in lines if "deformation" in line]
    print("surface", lines[0]["surface"], lines[-1]["surface"], "deformation", posed[0], posed[-1])
    assert lines[-1]["surface"] < 0.5 * lines[0]["surface"] and posed[-1] < 0.7 * posed[0]
    released = release_run(tmp_path / "run", toy_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, Nphm) and model.fingerprint == released.fingerprint
    points = torch.rand(1, 50, 3) - 0.5
    codes = model.mean_codes()
    torch.testing.assert_close(model.signed_distance(points, codes), released.signed_distance(points, codes))


def test_posed_heads_teach_the_deformation_alone(toy_store, tmp_path):  # noqa: F811
    trainer = start(
        config(toy_store, tmp_path / "run", model="nphm", posed_share=1.0, expressions_from=0.0, weight_decay=0.0)
    )
    before = weights_of(trainer)
    one_step(trainer)
    after = weights_of(trainer)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and all(name.startswith("deformer.") for name in moved)
    literal = start(config(toy_store, tmp_path / "paper", model="nphm", losses="paper", heads=6))
    first = one_step(literal)
    assert literal.weights.squared and first["anchors"] < 0.1 and np.isfinite(list(first.values())).all()


def test_a_trained_head_opens_its_mouth_by_the_forward_warp(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="nphm", steps=150, heads=6, rate=3e-3))
    run(trainer)
    model = trainer.model.eval()
    chin = torch.tensor([[[0.0, -0.4, 0.1]]])
    opened = torch.zeros(1, 52)
    opened[0, 24] = 1.0
    with torch.no_grad():
        moved = model.from_canonical(chin, Codes(trainer.codes[:1].detach(), opened)) - chin
    print("the chin of a toy head drops by", moved[0, 0].numpy())
    assert -0.1 < float(moved[0, 0, 1]) < -0.02  # truth: 0.05


@pytest.mark.parametrize("name", ["12-anchors-small", "26-anchors-small", "no-symmetry-small"])
def test_rows_of_the_papers_table_4_are_trained_by_their_presets(name, toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="nphm", preset=name, steps=20, rate=2e-3))
    lines = [one_step(trainer) for _ in range(20)]
    rest = [line for line in lines if "surface" in line]
    print("surface", rest[0]["surface"], rest[-1]["surface"])
    assert rest[-1]["surface"] < 0.8 * rest[0]["surface"]
    assert ("symmetry" in rest[0]) == trainer.model.config.symmetric
    far = trainer.model.anchors(Codes(trainer.codes[:1].detach())) - trainer.model.mean_anchors
    assert far.shape == (1, 39, 3) and bool((far != 0).any(-1).all())  # MLP_pos learns all places
