"""Releases: whitening changes nothing but the coordinates, folders round-trip, unsafe or foreign files are refused."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import headfield
from headfield.errors import ConfigError, OutputError, WeightsError
from headfield.models import release
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.models.prior import Prior
from headfield.surface.head import Head
from headfield.train.whiten import class_covariances, shrunk_covariance, whiten
from headfield.types import Codes


def awake(seed: int = 0) -> ImHead:
    """A tiny model with every weight away from its special start."""
    torch.manual_seed(seed)
    model = ImHead(imhead_tiny())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


def test_whitening_keeps_every_head():
    model, generator = awake(), torch.Generator().manual_seed(1)
    mix = torch.randn(16, 16, generator=generator)
    codes = torch.randn(200, 16, generator=generator) @ mix + 2.0
    points = torch.rand(1, 100, 3, generator=generator) - 0.5
    expression = torch.rand(1, 52, generator=generator)
    before = model.signed_distance(points, Codes(codes[:1], expression))
    classes = ["bald"] * 120 + ["long"] * 55 + ["rare"] * 5 + [None] * 20
    new = whiten(model, codes, classes, np.zeros(200))
    after = model.signed_distance(points, Codes(new[:1], expression))
    assert torch.allclose(before, after, atol=2e-4)
    assert new.mean(0).abs().max() < 1e-3
    assert (np.linalg.eigvalsh(np.cov(new.numpy().T)) < 2.0).all()
    assert model.prior.names == ("all", "bald", "long")  # five heads make no class, nor do the nameless
    assert torch.allclose(model.prior.means[1], new[:120].mean(0), atol=1e-4)


def test_a_class_of_more_heads_than_numbers_is_not_pooled():
    """What only hair varies stays still on bald heads, though both classes are small: 24 heads for 16 numbers."""
    spread = np.geomspace(2.0, 0.1, 16)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        bald = rng.standard_normal((24, 16)) * np.r_[0.05, spread[1:]]
        long = rng.standard_normal((24, 16)) * spread + 4.0
        of_bald, of_long = class_covariances(np.concatenate([bald, long]), np.repeat(["b", "l"], 24), ["b", "l"])
        print("hair's variance, bald and long:", of_bald[0, 0], of_long[0, 0])
        assert of_bald[0, 0] < of_long[0, 0] / 4  # pooled they are equal; apart a tenth and less
        few = class_covariances(np.concatenate([bald[:12], long]), np.repeat(["b", "l"], [12, 24]), ["b", "l"])[0]
        assert np.isfinite(few).all() and np.linalg.eigvalsh(few).min() > 0.0  # fewer heads than numbers


def test_classes_keep_their_own_spread():
    """Bald heads vary little where hair does; after whitening they still do, also when drawn, also on disk."""
    rng = np.random.default_rng(3)
    hair = np.zeros(16)
    hair[0] = 4.0
    bald = rng.standard_normal((400, 16)) * np.r_[0.05, np.ones(15)]
    long = rng.standard_normal((400, 16)) * np.r_[1.5, np.ones(15)] + hair
    mix = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    codes = torch.as_tensor(np.concatenate([bald, long]) @ mix).float()
    model = awake()
    new = whiten(model, codes, ["bald"] * 400 + ["long"] * 400, np.zeros(800)).numpy()
    for index, members in ((1, new[:400]), (2, new[400:])):
        one = model.prior.component(index)
        assert np.allclose(one.spread @ one.spread.T, np.cov(members.T), atol=0.15)
        assert np.allclose(one.precision @ one.spread @ one.spread.T, np.eye(16), atol=1e-6)
        # half the squared distance of a class's own heads is half the number of dimensions
        assert np.mean([one.cost(row) for row in members]) == pytest.approx(8.0, rel=0.15)
    assert np.mean([model.prior.component(1).cost(row) for row in new[400:]]) > 3 * 8
    drawn = model.prior.draw(500, np.random.default_rng(0), component=1)
    assert np.median([model.prior.component(1).cost(row) for row in drawn]) == pytest.approx(8.0, rel=0.2)
    mixed = model.prior.draw(200, np.random.default_rng(0))
    kinds = [np.argmin([model.prior.component(k).cost(row) for k in model.prior.classes]) for row in mixed]
    assert 60 < np.sum(kinds) < 140


def test_shrinkage_is_between_sample_and_sphere():
    codes = np.random.default_rng(0).standard_normal((20, 40)) * np.linspace(0.1, 3, 40)
    shrunk = shrunk_covariance(codes)
    centred = codes - codes.mean(0)
    sample = centred.T @ centred / 20
    assert np.linalg.matrix_rank(sample) < 40 and np.linalg.eigvalsh(shrunk).min() > 0
    assert np.trace(shrunk) == pytest.approx(np.trace(sample))
    off = ~np.eye(40, dtype=bool)
    ratio = shrunk[off] / sample[off]
    assert np.allclose(ratio, ratio[0]) and 0 < ratio[0] < 1


@pytest.mark.parametrize("half", [False, True])
def test_folder_round_trip(tmp_path, half):
    model = awake()
    model.prior = Prior(("all", "bald"), torch.randn(2, 16), (1.0,), spreads=torch.stack([torch.eye(16)] * 2) * 0.5)
    release.write(tmp_path / "tiny", model, "card", {"training": {"steps": 1}}, half=half)
    again = headfield.load(tmp_path / "tiny")
    points = torch.rand(1, 50, 3) - 0.5
    codes = Codes(torch.ones(1, 16), torch.full((1, 52), 0.3))
    error = (model.signed_distance(points, codes) - again.signed_distance(points, codes)).abs().max()
    assert error < (5e-3 if half else 1e-7)
    assert torch.equal(again.prior.spreads, model.prior.spreads) and again.prior.names == ("all", "bald")
    assert np.array_equal(again.box, model.box) and again.config == model.config
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    with pytest.raises(OutputError, match="exists"):
        release.write(tmp_path / "tiny", model, "card")
    with pytest.raises(TypeError):
        release.write(tmp_path / "other", model, "card", {"no json": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]  # nothing half-written


def test_refusals(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    model = awake()
    release.write(tmp_path / "good", model, "card")
    weights, config = (tmp_path / "good" / name for name in (release.WEIGHTS, release.CONFIG))
    kept = weights.read_bytes(), config.read_text()

    with pytest.raises(WeightsError, match="Looked in"):
        headfield.load("nothing-of-this-name")
    with pytest.raises(WeightsError, match="no folder here"):
        headfield.load("runs/not a hub id")
    weights.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(WeightsError, match="Pickles are never opened"):
        headfield.load(tmp_path / "good")
    assert not (tmp_path / "executed").exists()
    (tmp_path / "model.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(WeightsError, match="pickle"):
        headfield.load(tmp_path / "model.pt")
    weights.write_bytes(kept[0][:-1000])
    with pytest.raises(WeightsError, match="not a readable safetensors"):
        headfield.load(tmp_path / "good")
    weights.write_bytes(kept[0])
    facts = json.loads(kept[1])
    config.write_text(json.dumps(facts | {"architecture": "nphm"}))
    with pytest.raises(WeightsError, match="nphm"):
        headfield.load(tmp_path / "good")
    for spoilt in (
        {"architecture": "imhead", "format": 1},
        facts | {"box": None},
        facts | {"neck_tilt": 7},
        facts | {"config": {"new": 1}},
    ):
        config.write_text(json.dumps(spoilt))
        weights.touch()
        with pytest.raises(WeightsError, match="is not the config.json of a released imhead"):
            headfield.load(tmp_path / "good")
    config.write_text(json.dumps(facts | {"config": facts["config"] | {"part_hidden": 24}}))
    weights.touch()
    with pytest.raises(WeightsError, match=r"does not fit config.json: \S+ has the sizes \(.*\), expected \(.*\)\.$"):
        headfield.load(tmp_path / "good")
    config.write_text(json.dumps(facts))
    count = len(model.state_dict())
    for tensors, message in (
        ({"foreign": torch.zeros(2)}, f"{count} tensors expected, 1 found, the first that is missing is [a-z_.]+"),
        (model.state_dict() | {"extra": torch.zeros(2)}, f"{count + 1} found, the first that is unknown is extra"),
    ):
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, weights)
        with pytest.raises(WeightsError, match=message) as caught:
            headfield.load(tmp_path / "good")
        assert len(str(caught.value)) - len(str(weights)) < 160
    assert not (tmp_path / "executed").exists()


def test_mirrored_is_an_involution_and_a_reflection():
    head = Head(awake(), Codes(torch.ones(1, 16))).with_expression({"mouthSmileLeft": 0.7, "jawOpen": 0.2})
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (200, 3)).astype(np.float32)
    flipped = points * np.array([-1, 1, 1], dtype=np.float32)
    assert np.allclose(head.mirrored().signed_distance(flipped), head.signed_distance(points), atol=1e-6)
    assert np.array_equal(head.mirrored().mirrored().signed_distance(points), head.signed_distance(points))
    assert np.abs(head.mirrored().signed_distance(points) - head.signed_distance(points)).max() > 1e-4


def test_expression_names():
    head = Head(awake(), Codes(torch.ones(1, 16)))
    with pytest.raises(ConfigError, match="mouthSmileLeft"):
        head.with_expression({"mouthSmileleft": 1.0})
    with pytest.raises(ConfigError, match=r"\(52,\)"):
        head.with_expression(np.zeros(3))
    with pytest.raises(ConfigError, match="finite"):
        head.with_expression({"jawOpen": float("nan")})


def test_spreads_that_components_share_are_kept_once(tmp_path):
    """Of a code of 1,344 numbers each takes 7 MB."""
    model = ImHead(imhead_tiny())
    shared = torch.tril(torch.rand(16, 16)) + torch.eye(16)
    spreads = torch.stack([torch.eye(16), shared, 2 * torch.eye(16), shared])
    model.prior = Prior(("all", "bald", "short", "long"), torch.randn(4, 16), (0.5, 0.3, 0.2), spreads=spreads)
    release.write(tmp_path / "few", model, "card")
    stored = load_file(tmp_path / "few" / release.WEIGHTS)["prior.spreads"]
    assert stored.shape == (2, 16, 16)
    assert torch.equal(release.load(tmp_path / "few").prior.spreads, spreads)
    model.prior = Prior(("all",), torch.zeros(1, 16), spreads=torch.eye(16)[None])
    release.write(tmp_path / "one", model, "card")
    assert torch.equal(release.load(tmp_path / "one").prior.spreads, torch.eye(16)[None])
    facts = json.loads((tmp_path / "few" / release.CONFIG).read_text())
    for wrong in ([0, 1], [0, 1, 7, 1], "no"):
        facts["prior"]["spread_of"] = wrong
        (tmp_path / "few" / release.CONFIG).write_text(json.dumps(facts))
        with pytest.raises(WeightsError, match="not the config.json"):
            release._load_folder.__wrapped__(tmp_path / "few", 0)  # past the cache
