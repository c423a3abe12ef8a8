"""Thirty kinds of things that are no head, made by code: what a fit must refuse, or call poor.

A kind and a seed always make the same thing; :func:`non_head` turns and moves it and gives it a unit. How each kind is
made stands in the docstring of its function (:mod:`headfield.synth.things`, :mod:`headfield.synth.bodies`). Four more
are parts of a head (:func:`part_of_head`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from headfield.errors import ConfigError
from headfield.frames import ANCHOR_NAMES, METRES_PER_UNIT, UNITS_IN_METRES
from headfield.synth import bodies, things
from headfield.types import Mesh, Scan, Similarity

Random = np.random.Generator

_MADE = vars(things) | vars(bodies)

KINDS: dict[str, Callable[[Random], Mesh]] = {
    name: _MADE[name]
    for name in (
        "ball egg vase cup bowl parcel bottle torso hand foot dog horse cat ape helmet mannequin chair table terrain "
        "crumpled text plant car stairs room noise blobs gear pipes teapot shoe stone"
    ).split()
}
"""Every kind by name; its function's docstring says how it is made."""

PARTS = ("faceless", "back of a head", "ear", "neck")
"""Parts of a head that are no face: see :func:`part_of_head`."""


def non_head(kind: str, seed: int = 0, points: int = 20_000) -> Scan:
    """A scan of a thing that is no head, in any rotation, place and unit, with 0.1 mm of noise.

    Args:
        kind: One of KINDS.
        seed: Of its shape, pose and unit.
        points: Samples of its surface.
    Raises:
        ConfigError: An unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"unknown kind of thing {kind!r}: choose one of {', '.join(KINDS)}.")
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    mesh = KINDS[kind](rng)
    return _scanned(_samples(mesh, points, rng), kind, rng)


def part_of_head(mesh: Mesh, anchors: np.ndarray, kind: str, seed: int = 0, points: int = 20_000) -> Scan:
    """A part of a head, or a head whose face is smoothed away, in any rotation, place and unit.

    Args:
        mesh: A whole head in the model frame.
        anchors: (39, 3) of it.
        kind: One of PARTS: ``faceless`` (every face is smoothed until only its round shape is left), ``back of a head``
            (what lies behind the ears), ``ear`` (35 mm around one), ``neck`` (what lies below the jaw).
        seed: Of its pose and unit.
        points: Samples of the whole head's surface.
    """
    rng = np.random.default_rng([seed, 1000 + PARTS.index(kind)])
    place = dict(zip(ANCHOR_NAMES, np.asarray(anchors, float)))
    ears = np.stack([place[name] for name in ("ear_back_left", "ear_back_right")])
    samples = _samples(mesh, points if kind in ("faceless", "back of a head") else 12 * points, rng)
    if kind == "faceless":
        samples = _smoothed(samples, samples[:, 2] > ears[:, 2].mean() + 0.12)
    elif kind == "back of a head":
        samples = samples[samples[:, 2] < ears[:, 2].mean() - 0.02]
    elif kind == "ear":
        samples = samples[np.linalg.norm(samples - ears[0] - [0, 0, 0.04], axis=1) < 0.16]
    else:
        samples = samples[samples[:, 1] < place["chin"][1] - 0.02]
    return _scanned(METRES_PER_UNIT * samples[:points], kind, rng)


def _smoothed(points: np.ndarray, where: np.ndarray, width: float = 0.09) -> np.ndarray:
    """Points (N, 3) with a part of them drawn to the average of their surroundings, gently at its border."""
    result, tree = points.copy(), cKDTree(points[~where])
    share = np.clip(tree.query(points[where])[0] / width, 0, 1)[:, None]
    for _ in range(4):
        distance, near = cKDTree(result).query(result[where], k=400)
        weight = np.exp(-0.5 * (distance / (0.5 * width)) ** 2)
        average = (weight[..., None] * result[near]).sum(1) / weight.sum(1, keepdims=True)
        result[where] += share * (average - result[where])
    return result


def _samples(mesh: Mesh, count: int, rng: Random) -> np.ndarray:
    """Points all over a mesh's surface; of a cloud, its own."""
    if not len(mesh.triangles):
        return mesh.vertices
    a, b, c = mesh.vertices[mesh.triangles].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    face = rng.choice(len(area), count, p=area / area.sum())
    root, second = np.sqrt(rng.random(count))[:, None], rng.random(count)[:, None]
    return (1 - root) * a[face] + root * (1 - second) * b[face] + root * second * c[face]


def _scanned(points: np.ndarray, name: str, rng: Random) -> Scan:
    unit = list(UNITS_IN_METRES)[rng.integers(len(UNITS_IN_METRES))]
    scale = 1.0 / UNITS_IN_METRES[unit]
    pose = Similarity(Rotation.random(random_state=rng).as_matrix(), scale * rng.normal(0, 0.3, 3), scale)
    return Scan(pose.apply(points + rng.normal(0, 1e-4, points.shape)), name=name)
