"""Lips of a baked mouth: a slit that is drawn together at rest, left alone where it parts, on a sheet and on a head."""

import numpy as np
import pytest

from headfield.frames import MM_PER_UNIT, anchor_indices
from headfield.surface.lip_line import PARTED, LipLine
from headfield.surface.rays import RayScene

MM = 1 / MM_PER_UNIT
ROWS, COLUMNS, BEHIND = 12, 61, 3


def _mouth(gap: float, ragged: float = 0.0) -> np.ndarray:
    """Two lips (V, 3), 50 mm wide and with corners, that are `gap` mm apart in the middle; behind each hangs a wall."""
    x = np.linspace(-25, 25, COLUMNS)
    open_by = gap * (1 - (x / 25) ** 2) / 2
    rows = []
    for side in (1, -1):
        rag = ragged * np.sin(7 * x + side)
        for row in range(-BEHIND, ROWS):
            y = side * (open_by + rag * (row <= 0)) + side * max(row, 0) * 1.0
            rows.append(np.stack([x, y, np.full(COLUMNS, 2.0 * min(row, 0))], axis=1))
    return np.concatenate(rows) * MM


def _triangles() -> np.ndarray:
    def sheet(first: int, flip: bool) -> list:
        found = []
        for row in range(BEHIND + ROWS - 1):
            for column in range(COLUMNS - 1):
                a = first + row * COLUMNS + column
                quad = [(a, a + 1, a + COLUMNS), (a + 1, a + COLUMNS + 1, a + COLUMNS)]
                found += [t[::-1] for t in quad] if flip else quad
        return found

    return np.array(sheet(0, False) + sheet((BEHIND + ROWS) * COLUMNS, True))


@pytest.fixture
def line():
    neutral = _mouth(1.5, ragged=0.1)
    depth = np.where(neutral[:, 2] < 0, 2.0 * MM, 0.0)
    return LipLine.of(_mouth(20), neutral, depth, _triangles(), np.ones(len(neutral), dtype=bool))


def _gap(vertices: np.ndarray) -> float:
    """Between the rims in the middle half of the mouth, mm, the largest."""
    rims = vertices.reshape(2, BEHIND + ROWS, COLUMNS, 3)[:, BEHIND, COLUMNS // 4 : -COLUMNS // 4]
    return float(np.linalg.norm(rims[0] - rims[1], axis=1).max()) * MM_PER_UNIT


def test_lips_meet_at_rest_and_only_what_is_near_them_moves(line):
    neutral = _mouth(1.5, ragged=0.1)
    shut = line.met(neutral)
    print(f"gap: {_gap(neutral):.2f} -> {_gap(shut):.2f} mm")
    assert _gap(shut) < 0.15 < _gap(neutral)
    assert np.array_equal(shut[:, 0], neutral[:, 0]), "nothing slides along the mouth"
    untouched = np.ones(len(neutral), dtype=bool)
    untouched[np.concatenate(line.drawn)] = False
    assert untouched.sum() > 0.3 * len(neutral) and np.array_equal(shut[untouched], neutral[untouched])


def test_parted_lips_stay_parted_and_nothing_jumps_in_between(line):
    wide = _mouth(1.5 + 2 * PARTED * MM_PER_UNIT)
    middle = np.abs(wide[:, 0]) < 8 * MM
    assert np.array_equal(line.met(wide)[middle], wide[middle])
    gaps = [_gap(line.met(_mouth(gap))) for gap in np.linspace(1.5, 5.0, 36)]
    assert (np.diff(gaps) > -0.02).all() and np.diff(gaps).max() < 0.5, "opens steadily"


def test_a_mouth_without_a_slit_has_no_lip_line():
    neutral = _mouth(1.5)
    everywhere = np.ones(len(neutral), dtype=bool)
    assert LipLine.of(_mouth(20), neutral, np.zeros(len(neutral)), _triangles(), everywhere) is None


def test_nobody_looks_between_the_lips_of_a_baked_head(baked, bald):
    anchors = bald.model.anchors(bald.codes)[0].detach().numpy().astype(float)
    corners = anchors[anchor_indices(["mouth_corner_left", "mouth_corner_right"])]
    lips = anchors[anchor_indices(["upper_lip", "lower_lip"])]
    middle = lips.mean(0)
    x = np.linspace(corners[1, 0], corners[0, 0], 61)[9:-9]
    y = np.linspace(lips[1, 1], lips[0, 1], 61)
    places = np.array([(a, b, middle[2] + 1.0) for a in x for b in y])
    scene = RayScene(baked.neutral.astype(float), baked.triangles)
    hit = scene.first_hit(places, np.broadcast_to([0.0, 0.0, -1.0], places.shape))
    depth = (middle[2] - (places[:, 2] - hit.distance)) * MM_PER_UNIT
    print(f"rays that go in more than 12 mm: {(depth > 12).mean():.4f}")
    assert (depth > 12).mean() < 0.012  # 0.084 with the first weights, before lips were drawn together
