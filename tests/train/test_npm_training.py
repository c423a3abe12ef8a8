"""NPM's recipe on toy heads: losses fall, each network learns from what is its own, and a release is the same field."""

import json

import numpy as np
import torch
from test_loop import config, toy_store, weights_of  # noqa: F401  (toy_store is a fixture)

from headfield.models import release
from headfield.models.npm.model import Npm
from headfield.train.loop import one_step, run
from headfield.train.release import release_run
from headfield.train.trainer import start
from headfield.types import Codes


def test_losses_fall_and_a_release_is_the_same_model(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="npm", steps=150, heads=6, rate=3e-3))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    posed = [line["deformation"] for line in lines if "deformation" in line]
    for name in ("surface", "normal", "anchors"):
        print(name, lines[0][name], lines[-1][name])
    print("deformation", posed[0], posed[-1])
    assert lines[-1]["surface"] < 0.5 * lines[0]["surface"] and posed[-1] < 0.7 * posed[0]
    released = release_run(tmp_path / "run", toy_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, Npm) and model.fingerprint == released.fingerprint
    points = torch.rand(1, 50, 3) - 0.5
    opened = torch.eye(52)[24:25]
    for codes in (model.mean_codes(), Codes(model.mean_codes().identity, opened)):
        torch.testing.assert_close(model.signed_distance(points, codes), released.signed_distance(points, codes))
    raw = trainer.model.eval()
    mean = Codes(trainer.codes.mean(0, keepdim=True), opened)  # what was trained, before its codes were whitened
    with torch.no_grad():
        torch.testing.assert_close(
            model.signed_distance(points, Codes(model.mean_codes().identity, opened)),
            raw.signed_distance(points, mean),
            atol=1e-4,
            rtol=1e-4,
        )


def test_each_network_learns_from_what_is_its_own(toy_store, tmp_path):  # noqa: F811
    posed = {"posed_share": 1.0, "expressions_from": 0.0, "weight_decay": 0.0}
    for changes, movers in ((posed, {"deformer"}), ({"weight_decay": 0.0}, {"field", "landmarks", "codes"})):
        trainer = start(config(toy_store, tmp_path / movers.copy().pop(), model="npm", **changes))
        before = weights_of(trainer)
        for _ in range(2):
            one_step(trainer)
        after = weights_of(trainer)
        assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == movers
    literal = start(config(toy_store, tmp_path / "paper", model="npm", losses="paper", heads=6))
    assert literal.weights.squared and np.isfinite(list(one_step(literal).values())).all()
