"""Eyes are closed up: a pit in an eye is filled, a sound head stays as it is, and nothing is ever taken away."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from headfield.frames import MM_PER_UNIT
from headfield.surface.focus import eye_boxes
from headfield.surface.mesh_head import functions_of, mesh_of
from headfield.surface.seal import BLEND, RADIUS, STEP, _closed, _grids, _places, eyeballs
from headfield.types import Codes

PIT = 3.0 / MM_PER_UNIT


@dataclass
class Pierced:
    """A head model with a pit of 3 mm radius in the front of its left eyeball."""

    model: object
    centre: torch.Tensor

    @property
    def box(self):
        return self.model.box

    def condition(self, codes):
        return self.model.condition(codes)

    def signed_distance(self, points, codes):
        return torch.maximum(self.model.signed_distance(points, codes), PIT - (points - self.centre).norm(dim=-1))

    def value_and_gradient(self, points, codes):
        value, gradient = self.model.value_and_gradient(points, codes)
        away = points - self.centre
        distance = away.norm(dim=-1)
        inside = (PIT - distance > value)[..., None]
        gradient = torch.where(inside, -away / distance[..., None].clamp(min=1e-9), gradient)
        return torch.maximum(value, PIT - distance), gradient


@pytest.fixture(scope="module")
def model(bald):
    return bald.model


@pytest.fixture(scope="module")
def codes(bald):
    return bald.codes


@pytest.fixture(scope="module")
def whole(model, codes):
    return mesh_of(model, codes, 128, sealed_eyes=False)


@pytest.fixture(scope="module")
def pierced(model, codes, whole):
    """With the pit at the pole of the ball, where no lid is before it."""
    anchors = model.anchors(codes)[0].numpy().astype(float)
    ball = eyeballs(_grids(functions_of(model, codes)[0], eye_boxes(model, codes)), anchors)[0]
    pole = ball.centre + [0.0, 0.0, ball.radius]
    front = whole.vertices[np.linalg.norm(whole.vertices - pole, axis=1).argmin()]
    return Pierced(model, torch.tensor(front, dtype=torch.float32))


def _mm(mesh, places: np.ndarray) -> np.ndarray:
    return cKDTree(mesh.vertices).query(places)[0] * MM_PER_UNIT


def test_a_pit_in_an_eye_is_filled(codes, whole, pierced):
    eye = whole.vertices[np.linalg.norm(whole.vertices - pierced.centre.numpy(), axis=1) < PIT]
    torn = mesh_of(pierced, codes, 128, sealed_eyes=False)
    mended = mesh_of(pierced, codes, 128)
    before, after = _mm(torn, eye).mean(), _mm(mended, eye).mean()
    print(f"eyeball to mesh, mm: pierced {before:.2f}, sealed {after:.2f}")
    assert len(eye) > 5 and before > 1.0 and after < 0.6 * before


def test_a_sealed_field_only_adds_and_only_round_the_eyes(model, codes, whole, pierced):
    field, _ = functions_of(pierced, codes)
    sealed, with_slope = functions_of(pierced, codes, True)
    rng = np.random.default_rng(0)
    low, high = eye_boxes(model, codes).min((0, 1)), eye_boxes(model, codes).max((0, 1))
    points = rng.uniform(low - 0.03, high + 0.03, (20_000, 3)).astype(np.float32)
    before, after = field(points), sealed(points)
    assert (after <= before).all() and (after < before - 2 * BLEND).any()
    margin = 0.016  # the samples of a seal end within 4 mm of its box
    boxes = eye_boxes(model, codes) + np.array([[-margin], [margin]])
    outside = ~((points[:, None] >= boxes[:, 0]) & (points[:, None] <= boxes[:, 1])).all(2).any(1)
    assert outside.any() and np.array_equal(after[outside], before[outside])
    again, slope = with_slope(points)
    np.testing.assert_allclose(again, after, atol=1e-5)
    assert np.isfinite(slope).all()


def test_a_sound_head_stays_as_it_is(model, codes, whole):
    """Away from the lids' rims: the middle of the eyeball, brows and cheeks."""
    field, _ = functions_of(model, codes)
    sealed, _ = functions_of(model, codes, True)
    boxes = eye_boxes(model, codes)
    held = ((whole.vertices[:, None] >= boxes[:, 0]) & (whole.vertices[:, None] <= boxes[:, 1])).all(2).any(1)
    skin = whole.vertices[held].astype(np.float32)
    change = (field(skin) - sealed(skin)) * MM_PER_UNIT
    print(f"change of the surface in the boxes, mm: median {np.median(change):.3f}, p90 {np.quantile(change, 0.9):.3f}")
    assert np.median(change) < 0.05


def test_the_closing_fills_what_is_narrower_than_its_ball_and_nothing_else():
    """A block with two slits; the oracle is geometry: 1 mm is closed up, 4 mm stays open, flat skin does not move."""
    mm = 1 / MM_PER_UNIT
    places = _places(np.array([-10.0, -4.0, -6.0]) * mm, np.array([10.0, 4.0, 4.0]) * mm)
    x, _, z = np.moveaxis(places, -1, 0)
    narrow, wide = np.abs(x + 5 * mm) - 0.5 * mm, np.abs(x - 4 * mm) - 2 * mm
    values = np.maximum(z, -np.minimum(narrow, wide))
    closed = _closed(places.reshape(-1, 3), values)
    inner = np.abs(places[..., 1]) < 2 * mm
    deep = inner & (z < -2.5 * mm) & (z > -4 * mm)
    assert (closed[deep & (narrow < 0)] < 0).all(), "the narrow slit is solid"
    assert (closed[deep & (wide < -STEP)] > 0).all(), "the wide one is open"
    flat = inner & (np.abs(z) < RADIUS) & (np.minimum(narrow, wide) > 3 * RADIUS)
    assert flat.any() and np.abs(closed - values)[flat].max() < BLEND


def test_a_model_without_named_anchors_has_no_eyes():
    class Ball:
        box = np.array([[-0.5] * 3, [0.5] * 3])

        def signed_distance(self, points, codes):
            return points.norm(dim=-1) - 0.3

        def value_and_gradient(self, points, codes):
            return points.norm(dim=-1) - 0.3, points / points.norm(dim=-1, keepdim=True)

    codes = Codes(torch.zeros(1, 4))
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3)).astype(np.float32)
    assert np.array_equal(functions_of(Ball(), codes)[0](points), functions_of(Ball(), codes, True)[0](points))
