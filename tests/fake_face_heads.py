"""Two coarse heads made of balls, with nose and eyes, for whoever needs clouds of heads and no data."""

import numpy as np

from headfield.frames import ANCHOR_NAMES, REFERENCE_ANCHORS, reference_anchors
from headfield.synth.face_heads import POINTS, FaceHeads


def fake_face_heads() -> FaceHeads:
    points, normals = [], []
    for number in range(2):
        rng = np.random.default_rng(number)
        directions = rng.standard_normal((POINTS, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        head = np.array([0.0, 0.05, -0.12]) + directions * [0.3, 0.45, 0.38 + 0.01 * number]
        for name, height in (("nose_tip", 0.1), ("eye_inner_left", -0.03), ("eye_inner_right", -0.03)):
            away = np.linalg.norm(head - REFERENCE_ANCHORS[name], axis=1)
            head = head + (height * np.exp(-((away / 0.06) ** 2)))[:, None] * directions
        points.append(head)
        normals.append(directions)
    return FaceHeads(
        np.stack(points).astype(np.float16),
        np.rint(127 * np.stack(normals)).astype(np.int8),
        np.zeros((2, POINTS), dtype=bool),
        np.stack([reference_anchors().reshape(len(ANCHOR_NAMES), 3)] * 2).astype(np.float32),
    )
