"""A rigged head template without data: an egg on a neck with two eyes; files of FLAME's and GNM's keys made of it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial import cKDTree
from trimesh.creation import icosphere

from headfield.parametric.places import find_places
from headfield.types import Similarity

AZIMUTHS, RINGS = 48, 44
EYES = np.array([[0.0315, 0.019, 0.012], [-0.0315, 0.019, 0.012]])
BALL = 0.013


@dataclass(frozen=True)
class ToyTemplate:
    """Vertices (S, 3) in metres in FLAME's frame, triangles (F, 3), and which vertices are the eyeballs'."""

    vertices: np.ndarray
    triangles: np.ndarray
    skin: np.ndarray
    balls: tuple[np.ndarray, np.ndarray]


def toy_template() -> ToyTemplate:
    """An egg with the reference head's size; open below the neck and at the lids."""
    low, high = -0.175, 0.128
    t = (np.arange(RINGS) + 0.0) / RINGS
    y = low + (high - low) * t
    inside = np.sqrt(np.clip(1.0 - ((y - 0.005) / 0.125) ** 2, 0.0, 1.0))
    blend = 1.0 / (1.0 + np.exp((y + 0.095) / 0.008))  # 1 on the neck
    rx = np.maximum((1 - blend) * 0.082 * inside, 0) + blend * (0.060 + 0.15 * np.clip(-0.11 - y, 0, 1))
    rz = np.maximum((1 - blend) * 0.100 * inside, 0) + blend * (0.060 + 0.10 * np.clip(-0.11 - y, 0, 1))
    cz = -0.03 - 0.035 * blend
    angle = 2 * np.pi * np.arange(AZIMUTHS) / AZIMUTHS
    rings = np.stack(
        [
            rx[:, None] * np.sin(angle),
            np.broadcast_to(y[:, None], (RINGS, AZIMUTHS)),
            cz[:, None] + rz[:, None] * np.cos(angle),
        ],
        -1,
    )
    vertices = np.concatenate([rings.reshape(-1, 3), [[0.0, high, -0.03]]])
    triangles = []
    for r in range(RINGS - 1):
        for a in range(AZIMUTHS):
            b = (a + 1) % AZIMUTHS
            p, q, s, u = r * AZIMUTHS + a, r * AZIMUTHS + b, (r + 1) * AZIMUTHS + a, (r + 1) * AZIMUTHS + b
            # the two halves are each other's mirror image
            triangles += [(p, q, u), (p, u, s)] if a < AZIMUTHS // 2 else [(p, q, s), (q, u, s)]
    top = (RINGS - 1) * AZIMUTHS
    triangles += [(top + a, top + (a + 1) % AZIMUTHS, len(vertices) - 1) for a in range(AZIMUTHS)]
    triangles = np.array(triangles)
    nose = np.exp(-(((vertices - [0.0, -0.014, 0.068]) / [0.012, 0.016, 0.03]) ** 2).sum(1))
    vertices = vertices + nose[:, None] * [0.0, 0.0, 0.014]
    centres = vertices[triangles].mean(1)
    lid = np.zeros(len(triangles), bool)
    eyes = EYES + [0.0, 0.0, 0.02]
    for eye in eyes:
        lid |= (np.abs(centres[:, :2] - eye[:2]) < [0.0105, 0.0062]).all(1) & (centres[:, 2] > 0)
    skin = triangles[~lid]
    ball = icosphere(subdivisions=2)
    parts, balls = [skin], []
    for eye in eyes:
        balls.append(np.arange(len(ball.vertices)) + len(vertices))
        parts.append(np.array(ball.faces) + len(vertices))
        vertices = np.concatenate([vertices, eye + [0, 0, 0.003] + BALL * np.array(ball.vertices)])
    return ToyTemplate(vertices, np.concatenate(parts), skin, tuple(balls))


def smooth_basis(vertices: np.ndarray, count: int, size: float, seed: int) -> np.ndarray:
    """Slowly varying random offsets (S, 3, count)."""
    rng = np.random.default_rng(seed)
    waves, phase = rng.normal(0, 25, (count, 3)), rng.uniform(0, 6, count)
    return size * np.sin(vertices @ waves.T + phase)[:, None, :] * rng.standard_normal((1, 3, count))


def weights_of(toy: ToyTemplate, joints: int, head: int, eyes: tuple[int, int]) -> np.ndarray:
    """Skinning weights (S, joints): the head by height, the eyes whole."""
    weights = np.zeros((len(toy.vertices), joints))
    up = np.clip((toy.vertices[:, 1] + 0.14) / 0.05, 0.0, 1.0)
    weights[:, head], weights[:, 0] = up, 1.0 - up
    for ball, joint in zip(toy.balls, eyes):
        weights[ball] = 0.0
        weights[ball, joint] = 1.0
    return weights


def flame_arrays(toy: ToyTemplate, expression: int = 6) -> dict:
    """The entries of a FLAME file."""
    count = len(toy.vertices)
    rng = np.random.default_rng(0)
    shapes = np.zeros((count, 3, 300 + expression))
    shapes[:, :, :8] = smooth_basis(toy.vertices, 8, 0.0015, 1)
    shapes[:, :, 300:] = smooth_basis(toy.vertices, expression, 0.0015, 2)
    weights = weights_of(toy, 5, 1, (3, 4))
    jaw = np.clip((-0.03 - toy.vertices[:, 1]) / 0.02, 0, 1) * np.clip(toy.vertices[:, 2] / 0.03, 0, 1)
    weights[:, 2] = jaw * weights[:, 1]
    weights[:, 1] -= weights[:, 2]
    places = np.array([[0, -0.13, -0.06], [0, -0.08, -0.05], [0, -0.02, -0.01], *toy_eyes(toy)])
    regressor = np.zeros((5, count))
    for joint, near in enumerate(cKDTree(toy.vertices).query(places, k=6)[1]):
        regressor[joint, near] = 1 / 6
    return {
        "v_template": toy.vertices,
        "f": toy.triangles.astype(np.uint32),
        "shapedirs": shapes,
        "posedirs": 1e-4 * rng.standard_normal((count, 3, 36)),
        "J_regressor": csc_matrix(regressor),
        "J": regressor @ toy.vertices,
        "weights": weights,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def toy_eyes(toy: ToyTemplate) -> np.ndarray:
    """Centres of the eyeballs (2, 3)."""
    return np.array([toy.vertices[ball].mean(0) for ball in toy.balls])


def write_flame(path: Path, toy: ToyTemplate, **changes) -> Path:
    """A FLAME file; a change to None leaves an entry out."""
    content = {key: value for key, value in (flame_arrays(toy) | changes).items() if value is not None}
    path.write_bytes(pickle.dumps(content, 2))
    return path


def toy_landmarks(toy: ToyTemplate) -> tuple[np.ndarray, np.ndarray]:
    """Corners (68, 3) and weights (68, 3): the reference head's landmarks, by place."""
    found = find_places(toy.vertices, toy.skin, similarity=Similarity(scale=0.25))
    return found.landmark_corners, found.landmark_weights


def gnm_arrays(toy: ToyTemplate, unit: float = 1.0) -> dict:
    """The entries of a GNM file whose lengths are metres times `unit`."""
    count = len(toy.vertices)
    identity = np.moveaxis(smooth_basis(toy.vertices, 6, 0.0015, 3), 2, 0)
    expression = np.moveaxis(smooth_basis(toy.vertices, 5, 0.0015, 4), 2, 0)
    joints = np.array([[0, -0.13, -0.06], [0, -0.08, -0.05], *toy_eyes(toy)])
    quads = np.concatenate([toy.triangles, toy.triangles[:, :1]], 1)
    rng = np.random.default_rng(5)
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (unit * toy.vertices).astype(np.float32),
        "template_joint_positions": (unit * joints).astype(np.float32),
        "vertex_identity_basis": (unit * identity).astype(np.float32),
        "joint_identity_basis": (unit * 1e-3 * rng.standard_normal((6, 4, 3))).astype(np.float32),
        "expression_basis": (unit * expression).astype(np.float32),
        "identity_names": np.array([f"head_{k:03d}" for k in range(4)] + ["teeth_000", "teeth_001"]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "expression_names": np.array([f"lower_face_region_{k:03d}" for k in range(5)]),
        "joint_parent_indices": np.array([-1, 0, 1, 1]),
        "skinning_weights": weights_of(toy, 4, 1, (2, 3)).T.astype(np.float32),
        "quads": quads.astype(np.int32),
        "triangles": toy.triangles.astype(np.int32),
        "pose_correctives_regressor": np.zeros((36, 3 * count), np.float32),
        "bone_aligned_template_joint_orientations": np.broadcast_to(np.eye(3, dtype=np.float32), (4, 3, 3)),
        "mirror_indices": np.arange(count, dtype=np.int32),
        "vertex_groups": np.zeros((2, count), np.float32),
        "vertex_group_names": np.array(["skin", "eyes"]),
    }


def write_landmarks(path: Path, toy: ToyTemplate) -> Path:
    """A file of 68 landmarks as GNM's: index and weight thrice a line, the jaw line in an order of its own."""
    corners, weights = toy_landmarks(toy)
    order = np.concatenate([np.random.default_rng(0).permutation(17), np.arange(17, 68)])
    lines = [" ".join(f"{i} {w:.6f}" for i, w in zip(corners[k], weights[k])) for k in order]
    path.write_text("\n".join(lines) + "\n")
    return path
