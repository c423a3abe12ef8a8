"""Scans for the face finder's training: clouds of heads cut, holed, warped, sparse, dirty, and of faceless things.

Everything is drawn from points alone, in a few milliseconds: whole heads, masks with ragged rims, depth maps, heads
whose scalp or back is missing, shoulders, caps, tables, holes, noise, strays; heads without a face; other things.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.frames import anchor_indices
from headfield.synth.face_heads import FaceHeads
from headfield.synth.noise import relief
from headfield.synth.not_faces import draw_thing

KINDS = {"whole": 0.27, "mask": 0.33, "depth": 0.2, "faceless": 0.08, "thing": 0.12}
"""Shares of what is drawn."""

_CENTRE = np.array([0.0, -0.03, -0.1])
"""Middle of the face's rim: masks are cut about the direction from here to the nose."""

_HOLES = anchor_indices(["eye_inner_left", "eye_outer_left", "eye_inner_right", "eye_outer_right"])
_LIPS = anchor_indices(["upper_lip", "lower_lip"])
_UNIT_MM = 1 / 250.0


@dataclass(frozen=True)
class FaceCloud:
    """A drawn scan in the frame of its head.

    Attributes:
        points: (N, 3) model frame, with noise.
        places: (N, 3) where those points truly lie in the model frame.
        face: (N,) bool, points of the face.
        head: (N,) bool, points of a head whose face is there.
        kind: Of KINDS.
    """

    points: np.ndarray
    places: np.ndarray
    face: np.ndarray
    head: np.ndarray
    kind: str


def draw_cloud(heads: FaceHeads, rng: np.random.Generator, kind: str | None = None) -> FaceCloud:
    """A random scan.

    Args:
        heads: To cut from.
        rng: Source of randomness.
        kind: Of KINDS; None draws one.
    """
    kind = kind or str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "thing":
        points = draw_thing(_draw_count(rng), rng)
        none = np.zeros(len(points), dtype=bool)
        return _dirty(FaceCloud(points, points, none, none, kind), rng)
    index = int(rng.integers(len(heads)))
    some = _share_of(heads.points[index], kind, rng)
    points = heads.points[index, some].astype(np.float32)
    normals = heads.normals[index, some].astype(np.float32) / 127
    anchors = heads.anchors[index].astype(np.float32)
    face = _is_face(points, normals) & ~heads.hair[index, some]
    if rng.random() < 0.5:  # training copies are mirrored, too: shapes alone do not tell left from right
        flip = np.array([-1, 1, 1], dtype=np.float32)
        points, normals, anchors = points * flip, normals * flip, anchors * flip
    points = _warped(points, rng)
    if kind == "faceless":
        points, normals, face = _without_face(points, normals, face, rng)
    keep = _covered(points, normals, anchors, kind, rng)
    points, normals, face = points[keep], normals[keep], face[keep]
    chosen = rng.choice(len(points), min(_draw_count(rng), len(points)), replace=False)
    places, normals, face = points[chosen], normals[chosen], face[chosen]
    head = np.full(len(places), kind != "faceless")
    noise = rng.choice([0.0, 0.2, 0.6, 1.2]) * _UNIT_MM * rng.standard_normal(len(places))
    if rng.random() < 0.3:
        noise += rng.uniform(0.2, 1.2) * _UNIT_MM * relief(places, 10, rng.uniform(25, 80), rng, 12)
    cloud = FaceCloud(places + noise[:, None] * normals, places, face & head, head, kind)
    return _dirty(_beside(cloud, anchors, rng) if kind != "mask" or rng.random() < 0.1 else cloud, rng)


def _draw_count(rng: np.random.Generator) -> int:
    """Between 900 and 8,000 points, half of the scans dense."""
    return int(np.exp(rng.uniform(np.log(900), np.log(8000)))) if rng.random() < 0.5 else 8000


def _share_of(points: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Indices of the points worth working on: as many as are kept in the end, with some to spare."""
    if kind == "mask":
        return np.flatnonzero(points[:, 2] > -0.2)
    return rng.integers(0, len(points), 12_000 if kind == "whole" else 18_000)


def _is_face(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Points (N,) of the face: between chin and hairline, before the ears, turned outwards."""
    x, y, z = points.T
    return (np.abs(x) < 0.27) & (y > -0.42) & (y < 0.34) & (z > -0.02) & (normals[:, 2] > -0.2)


def _warped(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Heads of more shapes than the families know: stretched by some percent and bent by slow waves of some mm."""
    stretch = 1 + 0.03 * rng.standard_normal(3)
    stretch = stretch / np.cbrt(stretch.prod())
    waves = rng.standard_normal((3, 8))
    waves *= 2 * np.pi / (rng.uniform(60, 200, 8) * _UNIT_MM) / np.linalg.norm(waves, axis=0)
    sway = rng.uniform(0, 2.0) * _UNIT_MM * rng.standard_normal((8, 3)) / 2
    phase = points @ waves.astype(np.float32) + rng.uniform(0, 2 * np.pi, 8).astype(np.float32)
    return points * stretch.astype(np.float32) + np.cos(phase) @ sway.astype(np.float32)


def _without_face(points, normals, face, rng: np.random.Generator):
    """A head without its face: the back alone, or an egg in the face's place (a mannequin)."""
    if rng.random() < 0.4:
        keep = points[:, 2] < rng.uniform(-0.25, 0.0)
        return points[keep], normals[keep], face[keep]
    return egg_faced(points), normals, face


def egg_faced(points: np.ndarray) -> np.ndarray:
    """Points (N, 3) of a head in the model frame with the face smoothed to an egg, as mannequins have it."""
    offset = points - _CENTRE
    radius = np.linalg.norm(offset, axis=1)
    x, y, z = (offset / radius[:, None]).T
    basis = np.stack([np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1)
    smooth = basis @ np.linalg.lstsq(basis[::20], radius[::20], rcond=None)[0]
    share = np.clip((points[:, 2] + 0.15) / 0.1, 0, 1)[:, None]
    return points + share * (smooth / radius - 1)[:, None] * offset


def ragged_rim(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which points (N,) of a head in the model frame lie on a face-only mask with a random, ragged rim."""
    offset = points - _CENTRE
    radius = np.linalg.norm(offset, axis=1)
    around = np.arctan2(offset[:, 1], offset[:, 0])
    waves = np.arange(1, 9)
    cosines, sines = rng.normal(0, rng.uniform(1.0, 5.0), (2, 8)) / np.sqrt(waves)
    rim = rng.uniform(55, 92) + np.cos(around[:, None] * waves) @ cosines + np.sin(around[:, None] * waves) @ sines
    rim = rim + rng.uniform(-12, 8) * np.abs(np.sin(around))
    return (np.degrees(np.arccos(np.clip(offset[:, 2] / radius, -1, 1))) < rim) & (radius < 0.75)


def _covered(points, normals, anchors, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Which points (N,) the scanner covered."""
    keep = np.ones(len(points), dtype=bool)
    if kind == "mask":
        keep &= ragged_rim(points, rng)
    elif kind == "depth":
        keep &= _seen_from(points, normals, _camera(55.0, 40.0, rng), rng)
    elif rng.random() < 0.6:
        cut = rng.choice(["back", "top", "frontal", "neck"])
        tilt = 0.15 * rng.standard_normal(3)
        bumps = 0.02 * relief(points, 20, 80, rng, 4)
        if cut == "back":
            keep &= points @ ([0, 0, 1] + tilt) + bumps > rng.uniform(-0.45, -0.05)
        elif cut == "top":
            keep &= points @ ([0, -1, 0.3] + tilt) + bumps > rng.uniform(-0.45, -0.15)
        elif cut == "neck":
            keep &= points @ ([0, 1, 0] + tilt) + bumps > rng.uniform(-0.6, -0.35)
        else:
            first, second = _camera(75.0, 20.0, rng), _camera(30.0, 20.0, rng)
            keep &= _seen_from(points, normals, first, rng) | _seen_from(points, normals, second, rng)
    if rng.random() < 0.25:
        for place in (anchors[_HOLES[:2]].mean(0), anchors[_HOLES[2:]].mean(0), anchors[_LIPS].mean(0))[
            : int(rng.integers(2, 4))
        ]:
            wide = (points - place) / ([0.06, 0.03, 0.08] * rng.uniform(0.5, 1.2, 3))
            keep &= (wide**2).sum(1) > 1
    for _ in range(int(rng.integers(0, 4)) if rng.random() < 0.5 else 0):
        centre = points[rng.integers(len(points))]
        keep &= (((points - centre) / rng.uniform(0.02, 0.15, 3)) ** 2).sum(1) > 1
    return keep if keep.sum() > 500 else np.ones(len(points), dtype=bool)


def _camera(sideways: float, upwards: float, rng: np.random.Generator) -> np.ndarray:
    """A direction (3,) from the head to a camera, at most so many degrees aside and up."""
    aside, up = np.radians(rng.uniform(-sideways, sideways)), np.radians(rng.uniform(-upwards, upwards))
    return np.array([np.sin(aside) * np.cos(up), np.sin(up), np.cos(aside) * np.cos(up)])


def _seen_from(points, normals, direction, rng: np.random.Generator) -> np.ndarray:
    """Points (N,) that a far camera sees: turned to it, and not hidden in a picture of 40 x 40 cells."""
    basis = np.linalg.svd(direction[None])[2][1:]
    flat = np.floor((points @ basis.T) * 35).astype(int) + 64
    cell = flat[:, 0] * 128 + flat[:, 1]
    near = points @ direction
    front = np.full(128 * 128, -np.inf)
    np.maximum.at(front, cell.clip(0, 128 * 128 - 1), near)
    return (near > front[cell.clip(0, 128 * 128 - 1)] - 0.08) & (normals @ direction > rng.uniform(0.1, 0.3))


def _beside(cloud: FaceCloud, anchors: np.ndarray, rng: np.random.Generator) -> FaceCloud:
    """The cloud with shoulders, a cap, a piece of a table or a thing beside it, in half of the cases."""
    added = []
    count = len(cloud.points)
    if rng.random() < 0.35:
        neck = anchors[anchor_indices(["throat", "neck_side_left", "neck_side_right"])].mean(0)
        added.append(_torso(int(rng.uniform(0.3, 1.2) * count), neck, cloud.kind, rng))
    if rng.random() < 0.08:
        table = rng.uniform(-1.2, 1.2, (int(0.5 * count), 3)) * [1, 0, 1] + [0, rng.uniform(-1.1, -0.5), 0]
        added.append(table)
    if rng.random() < 0.08:
        added.append(rng.uniform(0.3, 0.8) * draw_thing(int(0.3 * count), rng) + rng.uniform(-1, 1, 3))
    if rng.random() < 0.12:
        added.append(_cap(int(0.4 * count), rng))
    if not added:
        return cloud
    extra = np.concatenate(added)
    none = np.zeros(len(extra), dtype=bool)
    return FaceCloud(
        np.concatenate([cloud.points, extra]),
        np.concatenate([cloud.places, extra]),
        np.concatenate([cloud.face, none]),
        np.concatenate([cloud.head, none]),
        cloud.kind,
    )


def _torso(count: int, neck: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Points on shoulders and chest, from the front only in a depth map."""
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    if kind == "depth":
        directions[:, 2] = np.abs(directions[:, 2])
    half = np.array([rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.8), rng.uniform(0.38, 0.55)])
    body = half * (np.abs(directions) ** 2.6).sum(1)[:, None] ** (-1 / 2.6) * directions
    body[:, 1] += 0.35 * np.exp(-((body[:, 0] / 0.36) ** 2)) * np.maximum(directions[:, 1], 0) * half[1]
    body += 0.012 * relief(body, 40, 120, rng, 12)[:, None] * directions
    body += neck + [0.0, -half[1] * rng.uniform(0.85, 1.1), -rng.uniform(0.0, 0.2)]
    return body[body[:, 1] > neck[1] - rng.uniform(0.2, 1.0)]


def _cap(count: int, rng: np.random.Generator) -> np.ndarray:
    """A tight cap or a helmet over the skull."""
    directions = rng.standard_normal((count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions[directions @ [0, 1, -0.35] > rng.uniform(-0.1, 0.25)]
    grown = rng.uniform(1.0, 1.15)
    return np.array([0.0, 0.15, -0.16]) + grown * directions * np.array([0.31, 0.37, 0.4])


def _dirty(cloud: FaceCloud, rng: np.random.Generator) -> FaceCloud:
    """The cloud with some strays that cleaning left over."""
    if rng.random() < 0.6:
        return cloud
    count = int(rng.uniform(0, 0.05) * len(cloud.points))
    low, high = cloud.points.min(0), cloud.points.max(0)
    stray = rng.uniform(low, high, (count, 3))
    none = np.zeros(count, dtype=bool)
    return FaceCloud(
        np.concatenate([cloud.points, stray]),
        np.concatenate([cloud.places, stray]),
        np.concatenate([cloud.face, none]),
        np.concatenate([cloud.head, none]),
        cloud.kind,
    )
