"""Published MonoNPHM checkpoints: made here of random numbers under the published names, read as the same functions."""

from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded
from test_loop import config, toy_store  # noqa: F401  (toy_store is a fixture)

import headfield
from headfield import frames
from headfield.cli import main
from headfield.errors import ConfigError, WeightsError
from headfield.models.mononphm.anchors import mean_anchors_in_30_pairs, reading
from headfield.models.mononphm.config import PRESETS, MonoNphmConfig, mononphm_tiny
from headfield.models.mononphm.model import MonoNphm
from headfield.models.mononphm.published import mononphm_of
from headfield.train.loop import one_step
from headfield.train.published import convert_published
from headfield.train.trainer import start
from headfield.types import Codes

SHARED, OWN, HIDDEN, LAYERS, OMEGA = 6, 4, 20, 4, 2
EX, INNER, EX_HIDDEN, EX_LAYERS = 5, 8, 24, 6
NETWORKS, CODE = 36, SHARED + 66 * OWN
IN_30_PAIRS = replace(mononphm_tiny(), pairs=30)


def published_anchors() -> np.ndarray:
    """Places in the published pairing, the right side first but for two pairs."""
    anchors = mean_anchors_in_30_pairs(frames.reference_anchors())
    for first in [*range(0, 26, 2), *range(30, 60, 2)]:
        anchors[[first, first + 1]] = anchors[[first + 1, first]]
    return anchors + np.random.default_rng(0).normal(0, 0.005, anchors.shape)


def linear(rng, state, name, outputs, inputs, scale=1.0):
    """A linear layer under a published name."""
    state[f"{name}.weight"] = torch.as_tensor(scale * rng.uniform(-2, 2, (outputs, inputs)) / np.sqrt(inputs)).float()
    state[f"{name}.bias"] = torch.as_tensor(scale * rng.uniform(-0.3, 0.3, outputs)).float()


def checkpoint(seed=0) -> dict:
    rng, identity, moves = np.random.default_rng(seed), OrderedDict(), OrderedDict()
    for network in range(NETWORKS):
        widths = [SHARED + OWN + 3 + OMEGA, *[HIDDEN] * LAYERS, 1]
        for layer, (before, after) in enumerate(zip(widths, widths[1:])):
            linear(rng, identity, f"deepSDFensemble.layers.{network}.layers.{2 * layer}", after, before)
        linear(rng, identity, f"aggr_app.layers.{network}.layers.0", 7, 16 + SHARED + OWN)  # of colour
    linear(rng, identity, "communcation_bottleneck1", 16, HIDDEN)
    for layer, (before, after) in zip((0, 2, 4), ((SHARED, 16), (16, 16), (16, 195))):
        linear(rng, identity, f"mlp_pos.{layer}", after, before, 0.03 if layer == 4 else 1.0)
    linear(rng, moves, "compressor.0", INNER, CODE + 195)
    seen = 3 + INNER + EX
    for layer in range(EX_LAYERS + 1):
        before = seen if layer == 0 else EX_HIDDEN + (seen if layer == EX_LAYERS // 2 else 0)
        linear(rng, moves, f"defDeepSDF.lin{layer}", EX_HIDDEN if layer < EX_LAYERS else 3 + OMEGA, before,
               0.1 if layer == EX_LAYERS else 1.0)  # fmt: skip
    table = lambda rows, size: torch.as_tensor(0.1 * rng.standard_normal((rows, size))).float()  # noqa: E731
    kinds = {"geo": (120, CODE), "app": (120, CODE), "exp": (80, EX)}
    codes = OrderedDict((f"codebook.{name}.embedding.weight", table(*size)) for name, size in kinds.items())
    adam = {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    return {"epoch": 2500, "id_decoder": identity, "ex_decoder": moves, "optimizer": adam, "latent_codes": codes,
            "latent_codes_val": codes, "optimizer_lat": (adam,)}  # fmt: skip


def run(state, name, x):
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


def softplus(x):
    return torch.nn.functional.softplus(x, beta=100)


def published_anchors_of(identity, code):
    x = torch.relu(run(identity, "mlp_pos.0", code[:SHARED]))
    return run(identity, "mlp_pos.4", torch.relu(run(identity, "mlp_pos.2", x))).view(65, 3) + torch.as_tensor(
        published_anchors()
    )


def published_warp(found, code, expression, points):
    """Canonical places and ambient coordinates of posed points."""
    moves = found["ex_decoder"]
    seen = torch.cat([code, published_anchors_of(found["id_decoder"], code).flatten()])
    seen = torch.cat([run(moves, "compressor.0", seen), expression])
    seen = torch.cat([points, seen.expand(len(points), -1)], -1)
    x = seen
    for layer in range(EX_LAYERS + 1):
        if layer == EX_LAYERS // 2:
            x = torch.cat([x, seen], -1) / np.sqrt(2)
        x = run(moves, f"defDeepSDF.lin{layer}", x)
        x = softplus(x) if layer < EX_LAYERS else x
    return points + x[:, :3], x[:, 3:]


def published_field(found, code, points, omega):
    """The published field (N,) at canonical points and ambient coordinates."""
    identity, anchors = found["id_decoder"], published_anchors_of(found["id_decoder"], code)
    own, values = code[SHARED:].view(66, OWN), []
    for part in range(66):
        delta = points - (anchors[part] if part < 65 else 0.0)
        if part < 60 and part % 2:
            delta = delta * torch.tensor([-1.0, 1.0, 1.0]).double()
        network = part // 2 if part < 60 else part - 30
        x = torch.cat([torch.cat([code[:SHARED], own[part]]).expand(len(points), -1), delta, omega], -1)
        for layer in range(LAYERS + 1):
            x = run(identity, f"deepSDFensemble.layers.{network}.layers.{2 * layer}", x)
            x = softplus(x) if layer < LAYERS else x
        values.append(x[:, 0])
    near, which = torch.cdist(points, anchors).topk(12, largest=False)
    spread = near[:, 7:8] / 3.75
    weight = torch.exp(-0.5 * (torch.cat([near, torch.full_like(spread, 0.75)], 1) / spread) ** 2)
    parts = torch.stack(values, 1).gather(1, torch.cat([which, torch.full_like(which[:, :1], 65)], 1))
    return (weight * parts).sum(1) / (weight.sum(1) + 1e-8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    torch.save(checkpoint(), folder / "checkpoint.tar")
    np.save(folder / "anchors_65.npy", published_anchors())
    return folder


def test_the_field_the_anchors_and_the_warp_are_the_published_ones():
    found = checkpoint()
    codes = found["latent_codes"]["codebook.geo.embedding.weight"]
    model, ours = mononphm_of(found["id_decoder"], found["ex_decoder"], published_anchors().ravel(), codes)
    assert torch.equal(ours, codes) and model.config.pairs == 30
    model = model.double()
    points = torch.as_tensor(np.random.default_rng(1).uniform(frames.BOX[0], frames.BOX[1], (300, 3)))
    for code, expression in zip(codes[:2].double(), torch.randn(2, EX).double()):
        anchors = published_anchors_of(found["id_decoder"], code)
        torch.testing.assert_close(model.anchors65(code[None])[0], anchors, atol=1e-6, rtol=0)
        canonical, omega = published_warp(found, code, expression, points)
        posed = Codes(code[None], expression[None])
        torch.testing.assert_close(model.to_canonical(points[None], posed)[0][0], canonical, atol=1e-8, rtol=1e-6)
        torch.testing.assert_close(model.to_canonical(points[None], posed)[1][0], omega, atol=1e-8, rtol=1e-6)
        field = published_field(found, code, canonical, omega)
        rest = published_field(found, code, points, torch.zeros(300, OMEGA).double())
        torch.testing.assert_close(model.signed_distance(points[None], posed)[0], field, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            model.signed_distance(points[None], Codes(code[None]))[0], rest, atol=1e-4, rtol=1e-4
        )
        assert omega.abs().max() > 1e-2 and (field - rest).abs().max() > 1e-2


def test_the_39_places_go_along_with_the_anchors_about_them():
    mean = frames.reference_anchors()
    places = mean_anchors_in_30_pairs(mean)
    mirror = np.where(np.arange(65) < 60, np.arange(65) ^ 1, np.arange(65))
    np.testing.assert_allclose(frames.mirror_points(places)[mirror], places, atol=1e-6)
    shares = reading(mean, places)
    np.testing.assert_allclose(shares.sum(1), 1.0)
    np.testing.assert_allclose(shares[frames.MIRROR_PART][:, mirror], shares, atol=1e-4)  # both sides alike
    nose, lip = (frames.ANCHOR_NAMES.index(name) for name in ("nose_tip", "lower_lip"))
    assert shares[nose, 62] > 0.99  # one of the 65 is there
    near = np.linalg.norm(places - mean[lip], axis=1) < 0.1  # none is there, but 25 mm about it there are some
    assert shares[lip, near].sum() > 0.9 and shares[lip].max() < 0.7
    torch.manual_seed(seeded(0))
    model = MonoNphm(IN_30_PAIRS)
    codes = Codes(torch.randn(2, model.config.identity))
    torch.testing.assert_close(model.anchors(codes), torch.as_tensor(mean).float().expand(2, -1, -1))
    with torch.no_grad():
        model.landmarks[-1].bias.copy_(torch.tensor([0.01, -0.02, 0.03]).repeat(65))
    moved = model.anchors(codes) - torch.as_tensor(mean).float()
    torch.testing.assert_close(moved, torch.tensor([0.01, -0.02, 0.03]).expand(2, 39, 3), atol=1e-6, rtol=0)
    with pytest.raises(ConfigError, match="pairs is 31: of the 65 anchors 29 or 30 x 2"):
        MonoNphmConfig(pairs=31)


def test_the_published_pairing_is_trained_on_the_39_anchors_of_a_store(toy_store, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(PRESETS, "tiny", lambda: IN_30_PAIRS)
    trainer = start(config(toy_store, tmp_path / "run", model="mononphm", heads=6, rate=3e-3, steps=20))
    lines = [one_step(trainer) for _ in range(20)]
    print("surface", lines[0]["surface"], lines[-1]["surface"], "anchors", lines[0]["anchors"], lines[-1]["anchors"])
    assert trainer.model.config.pairs == 30 and lines[-1]["surface"] < lines[0]["surface"]


def test_a_release_has_normal_codes_and_goes_through_the_library(files, tmp_path, capsys):
    words = ["convert-weights", str(files / "checkpoint.tar"), "--anchors", str(files / "anchors_65.npy")]
    assert main([*words, "-o", str(tmp_path / "mine")]) == 0  # which model it is, the file tells
    assert "mononphm" in capsys.readouterr().out
    assert "not to be passed on" in (tmp_path / "mine" / "README.md").read_text()
    model, found = headfield.load(tmp_path / "mine"), checkpoint()
    assert model.architecture == "mononphm" and model.expression_space.kind == "learned"
    assert len(model.expression_space) == EX
    codes = found["latent_codes"]["codebook.geo.embedding.weight"]
    torch.testing.assert_close(model.latent(torch.zeros(1, CODE))[0], codes.mean(0), atol=1e-5, rtol=1e-4)
    made, ours = mononphm_of(found["id_decoder"], found["ex_decoder"], published_anchors().ravel(), codes)
    torch.testing.assert_close(model.anchors(model.mean_codes()), made.anchors(Codes(ours.mean(0)[None])))
    points = torch.as_tensor(np.random.default_rng(2).uniform(*frames.BOX, (1, 50, 3))).float()
    mean = made.signed_distance(points, Codes(ours.mean(0)[None]))
    torch.testing.assert_close(model.signed_distance(points, model.mean_codes()), mean, atol=1e-4, rtol=1e-3)


def test_what_is_refused(files, tmp_path):
    anchors, whole = files / "anchors_65.npy", files / "checkpoint.tar"

    def refused(kind, match, path=whole, name=None, anchors=anchors, expression=None):
        with pytest.raises(kind, match=match):
            convert_published(name, path, expression, anchors, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def damaged(name, change):
        found = checkpoint()
        change(found)
        torch.save(found, tmp_path / name)
        return tmp_path / name

    refused(ConfigError, "holds the expression network, too", expression=whole)
    refused(WeightsError, "no tensor mlp_pos.0.weight|holds no tensors by name", name="nphm")
    refused(WeightsError, "no id_decoder and ex_decoder", damaged("half.tar", lambda x: x.pop("ex_decoder")))
    refused(WeightsError, "no codes of the heads", damaged("bare.tar", lambda x: x.pop("latent_codes")))
    parts = [
        f"deepSDFensemble.layers.35.layers.{2 * layer}.{kind}" for layer in range(5) for kind in ("weight", "bias")
    ]
    fewer = damaged("fewer.tar", lambda x: [x["id_decoder"].pop(name) for name in parts])
    refused(WeightsError, "has 35 local networks of 4 hidden layers", fewer)
    key = "codebook.geo.embedding.weight"
    narrow = damaged("narrow.tar", lambda x: x["latent_codes"].update({key: x["latent_codes"][key][:, :-1]}))
    refused(WeightsError, f"codes of {CODE - 1} numbers", narrow)
    np.save(tmp_path / "shuffled.npy", np.roll(published_anchors(), 1, axis=0))
    refused(WeightsError, "not MonoNPHM's 65 mean anchors", anchors=tmp_path / "shuffled.npy")
    np.save(tmp_path / "turned.npy", published_anchors()[[*range(60), 61, 60, 62, 63, 64]])
    refused(WeightsError, "anchor 61 .* from where nose_bridge is", anchors=tmp_path / "turned.npy")
    np.save(tmp_path / "short.npy", np.zeros((39, 3)))
    refused(
        WeightsError, "expected 195 finite numbers, the 65 mean anchors of mononphm", anchors=tmp_path / "short.npy"
    )
