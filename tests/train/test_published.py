"""Published NPHM checkpoints: made here of random numbers under the published names, read as the same functions."""

import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

import headfield
from headfield import frames
from headfield.cli import main
from headfield.errors import ConfigError, WeightsError
from headfield.models.nphm.published import nphm_of
from headfield.train.published import convert_published
from headfield.types import Codes

SHARED, OWN, HIDDEN, LAYERS = 6, 4, 40, 4
EX, INNER, EX_HIDDEN, EX_LAYERS = 5, 8, 48, 6
PARTS, NETWORKS = 40, 24
SEEN, EX_SEEN = 3 + SHARED + OWN, 3 + INNER + EX
CODE = SHARED + PARTS * OWN


def published_anchors() -> np.ndarray:
    """Ours in the published order: the right side first, but for the pairs 26/27 and 28/29."""
    anchors = frames.reference_anchors().copy()
    for first in [*range(0, 26, 2), 30]:
        anchors[[first, first + 1]] = anchors[[first + 1, first]]
    return anchors + np.random.default_rng(0).normal(0, 0.01, anchors.shape)


def linear(rng, *shape):
    return torch.as_tensor(rng.uniform(-1, 1, shape) / np.sqrt(shape[-1] if len(shape) > 1 else 50)).float()


def deep_sdf(rng, prefix, seen, hidden, layers, outputs, *networks) -> OrderedDict:
    """Layers of DeepSDF under the published names: the one before the skip is narrower by what the skip brings back."""
    state, widths = OrderedDict(), [hidden] * layers
    widths[layers // 2 - 1] -= seen
    widths.append(outputs)
    before = seen
    for layer, width in enumerate(widths):
        state[f"{prefix}{layer}.weight"] = linear(rng, *networks, width, before)
        state[f"{prefix}{layer}.bias"] = linear(rng, *networks, width)
        before = width + (seen if layer + 1 == layers // 2 else 0)
    return state


def checkpoints(seed=0) -> tuple[dict, dict]:
    rng = np.random.default_rng(seed)
    identity = deep_sdf(rng, "ensembled_deep_sdf.lin", SEEN, HIDDEN, LAYERS, 1, NETWORKS)
    for layer, (before, after) in zip((0, 2, 4), ((SHARED, 16), (16, 16), (16, 117))):
        scale = 0.03 if layer == 4 else 1.0
        identity[f"mlp_pos.{layer}.weight"] = scale * linear(rng, after, before)
        identity[f"mlp_pos.{layer}.bias"] = scale * linear(rng, after)
    moves = deep_sdf(rng, "defDeepSDF.lin", EX_SEEN, EX_HIDDEN, EX_LAYERS, 3)
    moves["compressor.0.weight"] = linear(rng, INNER, CODE + 117)
    moves["compressor.0.bias"] = linear(rng, INNER)
    codes = 0.1 * rng.standard_normal((300, CODE)).astype("f4") * rng.uniform(0.2, 1, CODE).astype("f4")
    faces = 0.1 * rng.standard_normal((80, EX)).astype("f4")
    table = lambda values: OrderedDict(weight=torch.as_tensor(values))  # noqa: E731
    return (
        {"epoch": 7, "decoder_state_dict": identity, "latent_codes_state_dict": table(codes)},
        {"epoch": 7, "decoder_state_dict": moves, "latent_codes_state_dict": table(faces)},
    )


def run_deep_sdf(state, prefix, x, layers, network=None):
    """DeepSDF as its paper and the published code say: the input again at the middle layer, both divided by sqrt(2)."""
    inputs = x
    for layer in range(layers + 1):
        weight, bias = state[f"{prefix}{layer}.weight"].double(), state[f"{prefix}{layer}.bias"].double()
        if network is not None:
            weight, bias = weight[network], bias[network]
        if layer == layers // 2:
            x = torch.cat([x, inputs], -1) / np.sqrt(2)
        x = x @ weight.T + bias
        if layer < layers:
            x = torch.nn.functional.softplus(x, beta=100)
    return x


def published_anchors_of(state, code):
    x = code[:SHARED].double()
    for layer in (0, 2, 4):
        x = state[f"mlp_pos.{layer}.weight"].double() @ x + state[f"mlp_pos.{layer}.bias"].double()
        x = torch.relu(x) if layer < 4 else x
    return x.view(39, 3) + torch.as_tensor(published_anchors())


def published_field(state, code, points):
    """The published field in its mode for meshes, up to the positive factor that its 1e-6 makes; and that factor."""
    code, points, anchors = code.double(), points.double(), published_anchors_of(state, code)
    values = []
    for part in range(39):
        local = points - anchors[part]
        if part < 32 and part % 2:
            local = local * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.double)
        own = code[SHARED + part * OWN : SHARED + (part + 1) * OWN]
        x = torch.cat([local, code[:SHARED].expand(len(points), -1), own.expand(len(points), -1)], -1)
        network = part // 2 if part < 32 else part - 16
        values.append(run_deep_sdf(state, "ensembled_deep_sdf.lin", x, LAYERS, network)[:, 0])
    values.append(torch.ones(len(points), dtype=torch.double))
    distance = (points[:, None] - anchors).norm(dim=-1)
    weight = torch.exp(torch.cat([-((distance + 1e-5) ** 2), torch.full((len(points), 1), -0.2)], 1) / 0.1**2)
    total = weight.sum(1)
    return (weight * torch.stack(values, 1)).sum(1) / (total + 1e-6), total / (total + 1e-6)


def published_warp(state, moves, code, expression, points):
    seen = torch.cat([code.double(), published_anchors_of(state, code).flatten()])
    inner = moves["compressor.0.weight"].double() @ seen + moves["compressor.0.bias"].double()
    x = torch.cat([points.double(), torch.cat([inner, expression.double()]).expand(len(points), -1)], -1)
    return points + run_deep_sdf(moves, "defDeepSDF.lin", x, EX_LAYERS)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    for name, content in zip(("identity.tar", "expression.tar"), checkpoints()):
        torch.save(content, folder / name)
    np.save(folder / "anchors_39.npy", published_anchors()[None])
    return folder


def test_the_field_the_anchors_and_the_warp_are_the_published_ones():
    first, second = checkpoints()
    state, moves = first["decoder_state_dict"], second["decoder_state_dict"]
    codes = first["latent_codes_state_dict"]["weight"]
    model, ours = nphm_of(state, moves, published_anchors().ravel(), codes)
    model = model.double()
    points = torch.as_tensor(np.random.default_rng(1).uniform(frames.BOX[0], frames.BOX[1], (400, 3)))
    for code, our_code in zip(codes[:3], ours[:3].double()):
        expected, factor = published_field(state, code, points)
        found = model.signed_distance(points[None], Codes(our_code[None]))[0]
        miss = (found * factor - expected).abs().max()
        print(f"field: largest miss {float(miss):.1e} of {float(expected.abs().max()):.2f}")
        assert miss < 1e-4 and ((found < 0) == (expected < 0)).all()  # the published code adds 1e-5 to distances
        anchors = model.anchors(Codes(our_code[None]))[0]
        theirs = published_anchors_of(state, code)
        for name, (ours_at, theirs_at) in {"left corner": (0, 1), "right corner": (1, 0), "back": (26, 26)}.items():
            torch.testing.assert_close(anchors[ours_at], theirs[theirs_at], msg=name)
        expression = torch.as_tensor(np.random.default_rng(2).normal(0, 0.1, EX))
        moved = model.from_canonical(points[None], Codes(our_code[None], expression[None]))[0]
        torch.testing.assert_close(moved, published_warp(state, moves, code, expression, points))


def test_a_release_has_normal_codes_and_goes_through_the_library(files, tmp_path, capsys):
    words = ["convert-weights", str(files / "identity.tar"), "--expression", str(files / "expression.tar")]
    assert main([*words, "--anchors", str(files / "anchors_39.npy"), "-o", str(tmp_path / "mine")]) == 0
    assert (
        "licence" in capsys.readouterr().out and "not to be passed on" in (tmp_path / "mine" / "README.md").read_text()
    )
    model = headfield.load(tmp_path / "mine")
    assert model.architecture == "nphm" and model.expression_space.kind == "learned"
    first, second = checkpoints()
    codes = first["latent_codes_state_dict"]["weight"]
    _, ours = nphm_of(first["decoder_state_dict"], second["decoder_state_dict"], published_anchors().ravel(), codes)
    torch.testing.assert_close(model.latent(torch.zeros(1, CODE))[0], ours.mean(0), atol=1e-5, rtol=1e-4)
    drawn = torch.as_tensor(model.prior.draw(4000, np.random.default_rng(0)))
    spread, published = model.latent(drawn).std(0), ours.std(0)
    print("spread of drawn codes over that of the published ones:", float((spread / published).median()))
    assert 0.85 < float((spread / published).median()) < 1.15
    assert main([*words, "--anchors", str(files / "anchors_39.npy"), "-o", str(tmp_path / "mine")]) == 2


def test_statistics_stand_in_for_codes(files, tmp_path):
    first, _ = checkpoints()
    torch.save(first["decoder_state_dict"], tmp_path / "bare.pt")
    with pytest.raises(WeightsError, match="--statistics"):
        convert_published("nphm", tmp_path / "bare.pt", None, files / "anchors_39.npy", tmp_path / "out")
    codes = first["latent_codes_state_dict"]["weight"].numpy()
    np.save(tmp_path / "mean.npy", codes.mean(0))
    np.save(tmp_path / "std.npy", codes.std(0))
    given = (tmp_path / "mean.npy", tmp_path / "std.npy")
    model = convert_published("nphm", tmp_path / "bare.pt", None, files / "anchors_39.npy", tmp_path / "out", given)
    assert len(model.expression_space) == 0 and model.signed_distance(torch.zeros(1, 1, 3), model.mean_codes()).shape
    # z_1 of the published order is our part 1's: the second of its pair
    own = slice(SHARED + OWN, SHARED + 2 * OWN)
    torch.testing.assert_close(
        model.latent_mean[own], torch.as_tensor(codes.mean(0))[SHARED : SHARED + OWN], atol=1e-6, rtol=1e-5
    )


class Hostile:
    def __reduce__(self):
        return (print, ("executed",))


def test_what_is_refused(files, tmp_path, capsys):
    anchors = files / "anchors_39.npy"

    def refused(path, match, anchors=anchors, **more):
        with pytest.raises(WeightsError, match=match):
            convert_published("nphm", path, more.get("expression"), anchors, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    torch.save({"decoder_state_dict": Hostile()}, tmp_path / "code.tar")
    refused(tmp_path / "code.tar", "code in it")
    (tmp_path / "bare.pkl").write_bytes(pickle.dumps(Hostile()))
    refused(tmp_path / "bare.pkl", "bare pickle")
    assert "executed" not in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("hello.txt", "hello")
    refused(tmp_path / "other.zip", "cannot be read as tensors")
    with zipfile.ZipFile(tmp_path / "bomb.tar", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(700 * 10**6))
    refused(tmp_path / "bomb.tar", "unpacks to 700 MB")
    refused(tmp_path / "missing.tar", "cannot be opened")
    refused(files / "expression.tar", "no tensor mlp_pos.0.weight")
    first, second = checkpoints()
    second["decoder_state_dict"]["compressor.0.weight"] = torch.zeros(INNER, CODE + 116)
    torch.save(second, tmp_path / "narrow.tar")
    refused(files / "identity.tar", "compressor.0.weight has the sizes", expression=tmp_path / "narrow.tar")
    first["decoder_state_dict"]["mlp_pos.0.weight"][0, 0] = float("nan")
    torch.save(first, tmp_path / "nan.tar")
    refused(tmp_path / "nan.tar", "not finite")
    np.save(tmp_path / "shuffled.npy", published_anchors()[::-1])
    refused(files / "identity.tar", "not NPHM's 39 mean anchors", anchors=tmp_path / "shuffled.npy")
    np.save(tmp_path / "short.npy", np.zeros((65, 3)))
    refused(files / "identity.tar", "expected 117 finite numbers", anchors=tmp_path / "short.npy")
    with pytest.raises(ConfigError, match="no published checkpoints of imhead"):
        convert_published("imhead", files / "identity.tar", None, anchors, tmp_path / "out")
