"""MonoNPHM's recipe on toy heads: losses fall, the 65 anchors of a store are learned, a release is the same field."""

import json
from dataclasses import replace

import numpy as np
import torch
from test_loop import config, toy_store  # noqa: F401  (toy_store is a fixture)

from headfield import frames
from headfield.models import release
from headfield.models.mononphm.anchors import mean_anchors65
from headfield.models.mononphm.model import MonoNphm
from headfield.train.batches import _mirrored
from headfield.train.loop import one_step, run
from headfield.train.recipes import mononphm as recipe
from headfield.train.release import release_run
from headfield.train.trainer import Trainer, start
from headfield.types import Codes


def test_losses_fall_and_a_release_is_the_same_model(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="mononphm", steps=120, heads=6, rate=3e-3))
    run(trainer)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    posed = [line["correspondence"] for line in lines if "correspondence" in line]
    for name in ("surface", "normal", "signed", "anchors"):
        print(name, [round(line[name], 4) for line in lines])
    print("correspondence", [round(value, 4) for value in posed])
    assert lines[-1]["surface"] < 0.5 * lines[0]["surface"] and posed[-1] < 0.8 * posed[0]
    released = release_run(tmp_path / "run", toy_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, MonoNphm) and model.fingerprint == released.fingerprint
    points, opened = torch.rand(1, 50, 3) - 0.5, torch.eye(52)[24:25]
    for codes in (model.mean_codes(), Codes(model.mean_codes().identity, opened)):
        torch.testing.assert_close(model.signed_distance(points, codes), released.signed_distance(points, codes))
    raw, mean = trainer.model.eval(), Codes(trainer.codes.mean(0, keepdim=True), opened)
    found = model.signed_distance(points, Codes(model.mean_codes().identity, opened))
    torch.testing.assert_close(found, raw.signed_distance(points, mean).detach(), atol=1e-4, rtol=1e-3)


def test_all_65_anchors_are_learned_where_a_store_holds_them(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "run", model="mononphm", heads=6))
    batch = trainer.batches.draw(0, 0.0, 4)[0]
    assert batch.anchors65 is None  # a store of the first layout
    scale = np.array([0.8, 0.9, 1.0, 1.1])[:, None, None]
    truth = torch.as_tensor(scale * mean_anchors65(frames.reference_anchors())).float()
    model, identity = trainer.model, 0.3 * torch.randn(4, model_size(trainer))
    batch = replace(batch, anchors=truth[:, :39], anchors65=truth)
    loss = recipe.total_loss(model, batch, identity, recipe.loss_weights("default"))[1]["anchors"]
    away = (model.anchors65(identity) - truth).norm(dim=-1).mean().detach()
    assert abs(loss - float(away)) < 1e-6
    optimiser = torch.optim.Adam(model.landmarks.parameters(), 3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        (model.anchors65(identity) - truth).norm(dim=-1).mean().backward()
        optimiser.step()
    left = (model.anchors65(identity) - truth).norm(dim=-1).mean(0).detach()
    print(f"65 anchors {float(away):.3f} away, then {float(left.mean()):.3f}")
    assert float(left[39:].mean()) < 0.5 * float(away)


def test_a_store_s_65_anchors_are_drawn_and_mirrored(toy_store):  # noqa: F811
    truth = mean_anchors65(frames.reference_anchors()) + 0.01 * np.arange(65)[:, None]
    names = ("surface", "normals", "posed", "neutral", "samples")
    head = {name: np.zeros((2, 3)) for name in names} | {"anchors": truth[:39], "anchors65": truth}
    turned = _mirrored(head | {"expression": np.zeros(52)})["anchors65"]
    for j, name in enumerate(frames.ANCHOR65_NAMES):
        other = name.replace("left", "*").replace("right", "left").replace("*", "right")
        wanted = truth[frames.ANCHOR65_NAMES.index(other)] * [-1, 1, 1]
        np.testing.assert_allclose(turned[j], wanted, atol=1e-6)


def test_the_published_weights_train_a_model_without_a_gate(toy_store, tmp_path):  # noqa: F811
    trainer = start(config(toy_store, tmp_path / "paper", model="mononphm", losses="paper", heads=6))
    assert trainer.weights.squared and np.isfinite(list(one_step(trainer).values())).all()
    torch.manual_seed(0)
    open_gate = MonoNphm(replace(trainer.model.config, gated=False))
    batch = trainer.batches.draw(0, 0.0, 4)[0]
    terms = recipe.total_loss(open_gate, batch, torch.zeros(len(batch), model_size(trainer)), trainer.weights)[1]
    assert terms["rest"] > 0 and terms["ambient"] > 0


def model_size(trainer: Trainer) -> int:
    return trainer.model.config.identity
