"""What a scan vouches for."""

import numpy as np

from headfield.surface.seen import seen_mask


def sphere(count=4000, seed=0):
    direction = np.random.default_rng(seed).standard_normal((count, 3))
    return direction / np.linalg.norm(direction, axis=1, keepdims=True)


def test_half_a_scan_sees_half_a_head():
    normals = sphere()
    scan = sphere(6000, 1)
    scan = scan[scan[:, 2] > 0] * 1.002
    seen = seen_mask(normals, normals, scan, radius=0.08)
    assert seen[normals[:, 2] > 0.02].mean() > 0.995
    assert not seen[normals[:, 2] < -0.1].any()


def test_points_before_a_thin_sheet_say_nothing_about_its_back():
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 40), np.linspace(0, 1, 40)), -1).reshape(-1, 2)
    front, back = np.c_[grid, np.full(1600, 0.01)], np.c_[grid, np.full(1600, -0.01)]
    normals = np.r_[np.tile([0, 0, 1.0], (1600, 1)), np.tile([0, 0, -1.0], (1600, 1))]
    scan = front + [0.003, 0.002, 0.002]
    seen = seen_mask(np.r_[front, back], normals, scan, radius=0.06)
    assert seen[:1600].all() and not seen[1600:].any()


def test_strays_nans_and_nothing():
    normals = sphere()
    strays = np.array([[0, 0, 3.0], [np.nan, 0, 0], [0, np.inf, 0]])
    assert not seen_mask(normals, normals, strays, radius=0.1).any()
    assert not seen_mask(normals, normals, np.empty((0, 3))).any()
    touching = np.array([[0, 0, 1.01], [0, 1.0, 0], [1.0, 0, 0], [0, 0, -1.0]])
    assert not seen_mask(normals, normals, touching, radius=0.1).any()
    assert seen_mask(normals, normals, touching, radius=0.1, least=1).sum() > 0


def test_default_radius_follows_the_scan():
    normals = sphere(20_000)
    whole = sphere(3000, 2)
    seen, half = (seen_mask(normals, normals, scan).mean() for scan in (whole, whole[whole[:, 0] > 0]))
    assert seen > 0.99 and half < 0.75 * seen  # a half and its rim: 0.53
