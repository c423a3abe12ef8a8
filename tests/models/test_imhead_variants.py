"""imHead as printed, and its ablations (paper, Table 3): code sizes, the field against its equations, derivatives."""

from dataclasses import replace

import pytest
import torch
from seeded import seeded

from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd
from headfield.models.imhead.config import imhead, imhead_tiny, literal
from headfield.models.imhead.model import ImHead
from headfield.types import Codes

TINY = imhead_tiny()
VARIANTS = {
    "literal": literal(TINY),
    "local": replace(TINY, compact=False, identity=39 * 4),
    "shared": replace(TINY, compact=False, shared_code=3, part_code=5, identity=3 + 39 * 2),
    "blended": replace(TINY, fused=False, part_features=1),
    "one frame": replace(TINY, local_frames=False),
    "no ambient": replace(TINY, ambient=0),
}


def made(name: str) -> ImHead:
    torch.manual_seed(seeded(0))
    model = ImHead(VARIANTS[name]).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.05)
        model.deformer.mlp.last.normal_(std=0.1)
        if model.fusion is not None:
            model.fusion.first[:, :, 3:].normal_(std=0.3)
    return model


def codes_of(model: ImHead) -> Codes:
    draws = torch.Generator().manual_seed(seeded(1))
    identity = torch.randn(1, model.config.identity, generator=draws).double()
    return Codes(identity, torch.rand(1, model.config.expression, generator=draws).double())


def places(count: int = 40) -> torch.Tensor:
    return torch.rand(1, count, 3, generator=torch.Generator().manual_seed(seeded(2))).double() - 0.5


def test_code_sizes_of_the_papers_table_3():
    for config in (
        replace(imhead(), compact=False, part_code=8, identity=312),
        replace(imhead(), compact=False, identity=1248),
        replace(imhead(), compact=False, shared_code=96, part_code=128, identity=1344),
    ):
        model = ImHead(config)
        learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert model.prior.means.shape == (1, config.identity) and not any("decompose" in name for name in learned)
    with pytest.raises(ConfigError, match="39 x"):
        replace(imhead(), compact=False)
    with pytest.raises(ConfigError, match="return 1 number"):
        replace(imhead(), fused=False)


def test_parts_see_their_own_numbers_and_the_shared_ones():
    model = made("shared")
    codes = codes_of(model).identity
    parts = model.part_codes(codes)[0]
    for part in (0, 17, 38):
        own = codes[0, 3 + 2 * part : 5 + 2 * part]
        torch.testing.assert_close(parts[part], torch.cat([codes[0, :3], own]))
    torch.testing.assert_close(
        made("local").part_codes(codes_of(made("local")).identity).flatten(), codes_of(made("local")).identity[0]
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_derivatives_and_dense_evaluation(name):
    model, points = made(name), places()
    codes = codes_of(model)
    value = model.signed_distance(points, codes)
    torch.testing.assert_close(value, model.signed_distance(points, codes, dense=True))
    ours, expected = model.value_and_jacobian(points[0], codes), by_autograd(model, points[0], codes)
    for field in ("value", "gradient", "identity", "expression"):
        torch.testing.assert_close(getattr(ours, field), getattr(expected, field), atol=1e-9, rtol=1e-7)
    assert ours.identity.abs().max() > 1e-4 and ours.expression.abs().max() > 1e-4
    mean, spread = (
        0.1 * codes.identity[0],
        torch.linalg.qr(torch.randn(2 * [model.config.identity], dtype=torch.double))[0],
    )
    new = replace(codes, identity=(codes.identity - mean) @ spread)  # spread is orthogonal
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points, new), value, atol=1e-8, rtol=1e-6)


def test_blended_distances_are_the_mean_of_the_parts():
    model, points = made("blended"), places()
    condition = model.condition(codes_of(model))
    canonical, _ = model.to_canonical(points, condition)
    weights = model.blend_weights(canonical, condition)
    alone = []
    for part in range(39):
        only = replace(
            model.ensemble.weights(canonical, condition.blend_anchors),
            weights=torch.eye(39)[part].double().expand(1, 40, 39),
        )
        ensemble = model.ensemble
        kept = ensemble.weights
        ensemble.weights = lambda *_, only=only: only
        try:
            alone.append(model.signed_distance(points, condition)[0])
        finally:
            ensemble.weights = kept
    expected = (weights[0] * torch.stack(alone, 1)).sum(1)
    torch.testing.assert_close(model.signed_distance(points, condition)[0], expected)


def test_the_literal_fusion_net_takes_its_input_again_and_the_deformer_the_whole_code():
    model, points = made("literal"), places()
    codes = codes_of(model)
    condition = model.condition(codes)
    canonical, ambient = model.to_canonical(points, condition)
    features, _ = model.ensemble(
        canonical, ambient, condition.ensemble, condition.blend_anchors, condition.slot_origins
    )
    net, inputs = model.fusion, torch.cat([canonical[0], features], 1)
    hidden = torch.nn.functional.softplus(inputs @ net.first[0].T + net.biases[0][0], beta=100)
    again = torch.cat([hidden, inputs], 1) / 2**0.5 @ torch.cat([net.deeper[0][0], net.skip[0]], 1).T + net.biases[1][0]
    expected = torch.nn.functional.softplus(again, beta=100) @ net.last[0].T + net.last_bias[0]
    torch.testing.assert_close(model.signed_distance(points, codes)[0], expected[:, 0])
    assert model.deformer.mlp.first_condition.shape[2] == TINY.identity + TINY.deformer_expression
    weights = model.blend_weights(canonical, condition)
    distance = ((canonical[:, :, None] - condition.blend_anchors[:, None]) ** 2).sum(-1)
    torch.testing.assert_close(weights, torch.softmax(-(distance + 1e-4).sqrt() / 0.04, -1))


def test_the_literal_head_at_rest_is_that_of_an_expression_of_zeros():
    model, points = made("literal"), places()
    codes = codes_of(model)
    rest, zeros = Codes(codes.identity), Codes(codes.identity, torch.zeros_like(codes.expression))
    assert torch.equal(model.signed_distance(points, rest), model.signed_distance(points, zeros))
    assert (model.to_canonical(points, rest)[0] - points).abs().max() > 1e-3  # learned, not given
    at_rest, expressive = model.weights_by_use()
    assert "deformer.mlp.last" in at_rest and not expressive
    assert model.fingerprint != ImHead(TINY).fingerprint


def test_parts_without_frames_do_not_move_with_their_anchors():
    points = places()
    for name, same in (("one frame", True), ("blended", False)):
        model = made(name)
        codes = codes_of(model)
        anchors = model.anchors(codes) + 0.1
        moved = replace(codes, anchors=anchors)
        assert torch.equal(model.signed_distance(points, codes), model.signed_distance(points, moved)) == same
