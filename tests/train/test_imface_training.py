"""ImFace's recipe on toy heads: losses fall, and a release is the same field."""

import json

import numpy as np
import torch
from test_loop import config, toy_store  # noqa: F401  (toy_store is a fixture)

from headfield.models import release
from headfield.models.imface.model import ImFace
from headfield.train.loop import one_step, run
from headfield.train.release import release_run
from headfield.train.trainer import start
from headfield.types import Codes


def test_losses_fall_and_a_release_is_the_same_model(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="imface", steps=200, heads=6, rate=1e-2))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    posed = [line["correspondence"] for line in lines if "correspondence" in line]
    for name in ("surface", "normal", "signed", "anchors", "correction"):
        print(name, [round(line[name], 4) for line in lines])
    print("correspondence", [round(value, 4) for value in posed])
    assert lines[-1]["surface"] + lines[-1]["signed"] < 0.6 * (lines[0]["surface"] + lines[0]["signed"])
    assert posed[-1] < 0.7 * posed[0]
    released = release_run(tmp_path / "run", toy_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, ImFace) and model.fingerprint == released.fingerprint
    points, opened = torch.rand(1, 50, 3) - 0.5, torch.eye(52)[24:25]
    for codes in (model.mean_codes(), Codes(model.mean_codes().identity, opened)):
        torch.testing.assert_close(model.signed_distance(points, codes), released.signed_distance(points, codes))
    raw, mean = trainer.model.eval(), Codes(trainer.codes.mean(0, keepdim=True), opened)
    found = model.signed_distance(points, Codes(model.mean_codes().identity, opened))
    torch.testing.assert_close(found, raw.signed_distance(points, mean).detach(), atol=1e-4, rtol=1e-3)


def test_the_published_weights_and_an_expression_without_a_gate_are_trained(toy_store, tmp_path):  # noqa: F811
    literal = start(config(toy_store, tmp_path / "paper", model="imface", losses="paper", heads=6))
    first = one_step(literal)
    assert literal.weights.moving == 0.0 and np.isfinite(list(first.values())).all()
    learned = start(config(toy_store, tmp_path / "learned", model="imface", learned_expression=4, steps=25, rate=1e-2))
    run(learned)
    lines = [json.loads(line) for line in (tmp_path / "learned" / "metrics.jsonl").read_text().splitlines()]
    assert "expression_code" in lines[-1] and learned.model.config.expression == 4
