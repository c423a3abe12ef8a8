"""The released NPHM: it says what it is, its warp and the way back agree near the surface, its mean head is a head."""

import numpy as np
import torch

import headfield
from headfield import frames
from headfield.surface.mesh_head import mesh_of
from headfield.types import ARKIT, Codes

NAME = "nphm-open-small"


def test_the_way_back_comes_home_near_the_surface():
    """NPHM Eq. 15: points of the skin into an expression and back, residual at most 1e-4 units; 99.93 % measured."""
    model, rng, shares = headfield.load(NAME), np.random.default_rng(0), []
    assert model.prior.means.shape[1] == 1344 and model.expression_space.speaks_arkit
    skin = mesh_of(model, model.mean_codes(), 64).vertices
    points = torch.as_tensor(skin[rng.choice(len(skin), 1500)] + rng.normal(0, 0.004, (1500, 3))).float()[None]
    for index in range(4):
        identity = torch.as_tensor(model.prior.draw(1, rng, 0.7))
        expression = torch.as_tensor(model.expression_space.draw(rng)).float()[None]
        condition = model.condition(Codes(identity, expression))
        posed = model.from_canonical(points, condition)
        found = model.roots(posed, condition)
        shares.append(float((found.residual <= 1e-4).float().mean()))
        most = float((posed - points).norm(dim=-1).max()) * 250
        print(f"expression {index}: moves {most:.1f} mm, {found.steps} steps, home {shares[-1]:.2%}")
    print(f"home in all: {np.mean(shares):.2%}")
    assert np.mean(shares) >= 0.998 and min(shares) >= 0.99


def test_the_mean_head_is_a_head_and_opens_its_mouth():
    model = headfield.load(NAME)
    anchors = model.anchors(model.mean_codes())[0].numpy()
    away = np.linalg.norm(anchors - frames.reference_anchors(), axis=1).mean()
    value = model.signed_distance(torch.as_tensor(anchors)[None], model.mean_codes())[0]
    print("anchors off the reference by", away * 250, "mm, off the skin by", float(value.abs().mean()) * 250, "mm")
    assert away < 0.06 and float(value.abs().median()) < 0.012
    opened = torch.zeros(1, 52)
    opened[0, ARKIT.index("jawOpen")] = 1.0
    chin = torch.as_tensor(anchors[frames.ANCHOR_NAMES.index("chin")]).float()[None, None]
    drop = (chin - model.from_canonical(chin, Codes(model.mean_codes().identity, opened)))[0, 0, 1] * 250
    print("the chin drops by", float(drop), "mm")
    assert 8 < float(drop) < 60
