"""Combed hair: strands leave their parting at right angles, and ridges run along them, about as wide everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from trimesh.creation import icosphere

from headfield.frames import MM_PER_UNIT
from headfield.synth.combing import WIDTHS_MM, Combing, flow, groove, ridges
from headfield.synth.noise import relief

UP = np.array([0.0, 1.0, 0.0])
STEP = 1.0 / MM_PER_UNIT
"""1 mm."""


def combing(parting=0.4, axis=UP, **more):
    """Hair with a parting of this length before the crown."""
    end = np.array([0.02, 0.55, -0.4])
    return Combing(end + [0.0, 0.0, parting], end, axis, **more)


@pytest.fixture(scope="module")
def scalp():
    """Places (N, 3) and normals of the upper half of an egg of a skull's size."""
    normals = np.array(icosphere(subdivisions=4).vertices)
    normals = normals[normals[:, 1] > -0.2]
    places = np.array([0.0, 0.15, -0.2]) + 0.4 * normals
    return places, normals


def strand_of(how, places, normals):
    return flow(how, places, normals, np.random.default_rng(0)).strand


def slopes(field, places, normals):
    """Tangent gradient (N, 3) of a periodic field of places, per unit length."""
    helper = np.where(np.abs(normals[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]])
    first = np.cross(normals, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    out = np.zeros_like(places)
    for direction in (first, np.cross(normals, first)):
        change = field(places + 0.1 * STEP * direction) - field(places - 0.1 * STEP * direction)
        change = (change + np.pi) % (2 * np.pi) - np.pi
        out += (change / (0.2 * STEP))[:, None] * direction
    return out


@pytest.mark.parametrize("axis", [UP, np.array([0.0, 0.5, -np.sqrt(0.75)])])
def test_spacing_is_that_of_finite_differences(scalp, axis):
    places, normals = scalp
    how = combing(axis=axis, wander=0.0)
    gradient = np.linalg.norm(slopes(lambda at: strand_of(how, at, normals), places, normals), axis=1)
    told = flow(how, places, normals, np.random.default_rng(0)).spacing
    clear = (told > 0.02) & (told < 5.0)  # at the crown itself, and where a strand stands upright, there is no width
    assert clear.mean() > 0.9
    error = np.abs(told[clear] * gradient[clear] - 1)
    print(f"spacing against finite differences: {np.quantile(error, 0.95):.1e} at the 95th percentile")
    assert np.quantile(error, 0.95) < 0.02


def test_strands_leave_the_parting_at_right_angles(scalp):
    how = combing(wander=0.0)
    along = np.linspace(0.25, 0.75, 9)[:, None]
    line = how.end + along * (how.start - how.end)
    beside = np.concatenate([line + [side * 0.01, 0, 0] for side in (-1, 1)])
    up = np.tile(UP, (len(beside), 1))
    gradient = slopes(lambda at: strand_of(how, at, up), beside, up)
    forward = np.abs(gradient[:, 2]) / np.linalg.norm(gradient, axis=1)
    print(f"least share of the gradient along the parting {forward.min():.3f}")
    assert forward.min() > 0.98  # constant to both sides
    deep, aside = groove(how, np.concatenate([line, beside]))
    assert (aside[9:18] * aside[18:] < 0).all() and deep[:9].max() > deep[9:].max()


def test_ridges_run_along_the_strands(scalp):
    """Per millimetre they change far more across strands than along them; the old bumps change alike."""
    places, normals = scalp
    how = combing(wander=0.0)
    across = slopes(lambda at: strand_of(how, at, normals), places, normals)
    size = np.linalg.norm(across, axis=1, keepdims=True)
    keep = (size[:, 0] > 1.5) & (size[:, 0] < 20)  # off the crown
    across /= np.maximum(size, 1e-9)
    along = np.cross(normals, across)

    def combed(at):
        return ridges(flow(how, at, normals, np.random.default_rng(0)), WIDTHS_MM, np.random.default_rng(1))

    def ratio(field):
        change = [np.square(field(places + 0.5 * STEP * d) - field(places - 0.5 * STEP * d)) for d in (across, along)]
        return [float(np.mean(part[..., keep])) for part in change]

    (wide, long), (bump_wide, bump_long) = ratio(combed), ratio(lambda at: relief(at, 9, 20, np.random.default_rng(1)))
    print(f"across : along, combed {wide / long:.0f}, bumps {bump_wide / bump_long:.1f}")
    assert wide / long > 8 * bump_wide / bump_long
    value = combed(places)[:, keep]
    print(f"mean {value.mean(1)}, standard deviation {value.std(1)}")
    assert np.abs(value.mean(1)).max() < 0.3 and np.abs(value.std(1) - 1).max() < 0.3


def test_knots_on_both_sides_are_combed_alike(scalp):
    places, normals = scalp
    how = combing(0.03, np.array([0.8, 0.6, 0.0]), wander=0.0, mirrored=True)
    mirror = np.array([-1.0, 1.0, 1.0])
    right = places[:, 0] < -1e-6
    one = flow(how, places[right], normals[right], np.random.default_rng(0))
    other = flow(how, places[right] * mirror, normals[right] * mirror, np.random.default_rng(0))
    assert np.allclose(one.spacing, other.spacing) and np.allclose(one.along, other.along)
