"""Faces found in a cloud of points by a small network: placements to try, in any frame, unit and rotation.

The cloud is looked at from all around (:mod:`headfield.nn.point_views`). In every picture the network says which cells
are face and where on a head they lie (:mod:`headfield.nn.face_net`); the similarity that brings the cells there is one
guess. The likeliest guesses are looked at again, from the front of the face that they claim, which makes them exact and
tells the right from the wrong: where there is a face it is seen again, where it was thought to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import torch

from headfield.fit.clean import clean
from headfield.fit.gate import FACE_PARTS
from headfield.frames import reference_anchors
from headfield.nn.face_net import FACE_MIDDLE, FACE_REACH, SIZE, FaceMaps, FaceNet
from headfield.nn.point_views import PointViews, view_points, window_of
from headfield.types import Similarity

_POINTS = 7000
"""Points of the cloud that are looked at, at most; the network was trained with as many."""

_FEWEST = 200
"""A cloud of fewer distinct points shows nothing."""

_VIEWS = 24
"""Directions from which the whole cloud is looked at, about 40 degrees apart: a face is known from within 60."""

_QUARTERS = torch.tensor(
    [[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, -1, 0], [1, 0, 0], [0, 0, 1]], [[-1, 0, 0], [0, -1, 0], [0, 0, 1]],
     [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]]
)  # fmt: skip
"""What `PointViews.quarter_turns` does to what is seen: the network knows faces that are rolled by 45 degrees."""

_LOOKS = 32
"""Pictures of which every cell is looked at: those that look most like a face as a whole."""

_DOUBT = 0.5
"""When no proposal of the whole is this confident the cloud is looked at more closely, piece by piece."""

_CLOSER, _SHARE = 6, 0.36
"""Pieces, and the width of each as a share of the whole: a face on a whole body is a few pixels wide at first."""

_GUESSES = 6
"""Guesses that are looked at again."""

_AGAIN = (-25.0, 0.0, 25.0)
"""From how many degrees aside the face is looked at again."""

_ROUNDS = 2
"""How often."""

_SCALES = (0.2, 0.1, 0.06, 0.05, 0.05)
"""Geman-McClure scales of the similarity's steps, model units (0.05 is 12 mm)."""

_DEGREES, _APART = 15.0, 0.08
"""Proposals differ by more than this angle, or by this on the face (model units, 20 mm)."""

_LEAST = 0.02
"""Guesses and proposals below this confidence are not worth a look."""


Window = tuple[torch.Tensor, float]
"""Middle (3,) and half width of what is looked at."""


@dataclass(frozen=True)
class Proposal:
    """Where a face may be.

    Attributes:
        similarity: Scan frame and unit -> model frame. Its scale is the face's own size in the scan: model units per
            scan unit, whatever the unit is (:func:`headfield.fit.placement.unit_of` names the likely one).
        confidence: 0 to 1, how surely a face is there; comparable between scans.
    """

    similarity: Similarity
    confidence: float


def propose(points: np.ndarray, count: int = 5, seed: int = 0) -> list[Proposal]:
    """The likeliest placements of a face in a cloud, best first; any two differ by > 15 degrees or > 20 mm.

    Args:
        points: (N, 3) finite, in any frame and unit; of a mesh, samples of its surface (`fit.run.surface_points`).
        count: At most so many.
        seed: Of the thinning of large clouds.
    Returns:
        Proposals, most confident first; none where there are too few points or nothing looks like a face.
    """
    points = np.asarray(points, dtype=float).reshape(-1, 3)
    points = points[np.isfinite(points).all(1)]
    if len(points) < _FEWEST:
        return []
    cloud, outer, bodies = _cloud(points, seed)
    if len(cloud) < _FEWEST or len(np.unique(cloud.numpy(), axis=0)) < _FEWEST:
        return []
    with torch.inference_mode():
        guesses = _guesses(cloud, [window_of(cloud)])
        for body in _separate(cloud, bodies):  # by itself: nothing hides it, no likelier face takes its turn
            guesses += _guesses(body, [window_of(body)])
        if max((guess.confidence for guess in guesses), default=0.0) < _DOUBT:
            guesses += _guesses(cloud, _closer(cloud, seed))
    found = _distinct(guesses, count, _DEGREES, _APART)
    return [Proposal(guess.similarity.after(outer), guess.confidence) for guess in found]


# ---- the parts -----------------------------------------------------------------------------------------------------


def _cloud(points: np.ndarray, seed: int) -> tuple[torch.Tensor, Similarity, list[torch.Tensor]]:
    """The points (P, 3) float32 to look at, about one in size, the way there, and the indices of separate bodies."""
    if len(points) > 8 * _POINTS:
        points = points[np.random.default_rng(seed).permutation(len(points))[: 8 * _POINTS]]
    cleaned = clean(points, _POINTS, seed)
    chosen = points[cleaned.index]
    middle = np.median(chosen, axis=0)
    extent = float(np.linalg.norm(np.subtract(*np.percentile(chosen, [98, 2], axis=0))))
    scale = 1.0 / extent if extent > 0 else 1.0
    outer = Similarity(np.eye(3), -scale * middle, scale)
    bodies = [torch.from_numpy(np.flatnonzero(cleaned.body == k)) for k in range(min(cleaned.bodies, 3))]
    return torch.from_numpy(outer.apply(chosen).astype(np.float32)), outer, bodies if len(bodies) > 1 else []


@cache
def face_network() -> FaceNet:
    """The trained network, from the package."""
    from safetensors.torch import load_file

    with as_file(files("headfield.fit").joinpath("face_finder.safetensors")) as path:
        state = {name: value.float() for name, value in load_file(path).items()}
    net = FaceNet()
    net.load_state_dict(state, strict=False)  # all but the normalisations' counters, which only training reads
    return net.eval().channels_last()


@cache
def _directions() -> torch.Tensor:
    """Rotations (V, 3, 3) cloud -> camera from all around, each with a roll of its own."""
    rows = np.arange(_VIEWS) + 0.5
    height, turn = 1 - 2 * rows / _VIEWS, np.pi * (1 + np.sqrt(5)) * rows
    flat = np.sqrt(1 - height**2)
    ahead = np.stack([flat * np.cos(turn), height, flat * np.sin(turn)], 1)
    rolls = np.random.default_rng(0).standard_normal((_VIEWS, 3))
    aside = np.cross(rolls, ahead)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    return torch.from_numpy(np.stack([aside, np.cross(ahead, aside), ahead], 1)).float()


def _separate(cloud: torch.Tensor, bodies: list[torch.Tensor]) -> list[torch.Tensor]:
    """The points of every separate body that is clearly smaller than the whole cloud."""
    parts = [cloud[body] for body in bodies]
    return [part for part in parts if window_of(part)[1] < 0.75 * window_of(cloud)[1]]


def _closer(cloud: torch.Tensor, seed: int) -> list[Window]:
    """Smaller windows all over the cloud, each about the point farthest from the others': heads on whole bodies."""
    middle, half = window_of(cloud)
    inside = cloud[(cloud - middle).norm(dim=1) < half]
    chosen = [inside[(inside - middle).norm(dim=1).argmax()]]
    for _ in range(_CLOSER - 1):
        gap = torch.stack([(inside - other).norm(dim=1) for other in chosen]).min(0).values
        chosen.append(inside[gap.argmax()])
    windows = []
    for place in chosen:  # about the middle of what lies around it, which holds more than the rim
        around = cloud[(cloud - place).norm(dim=1) < _SHARE * half]
        windows.append((around.mean(0), _SHARE * half))
    return windows


def _guesses(cloud: torch.Tensor, windows: list[Window]) -> list[Proposal]:
    """The best guesses through some windows, looked at again, best first."""
    guesses = _distinct(_first_guesses(cloud, windows), _GUESSES, 25.0, 0.15)
    for _ in range(_ROUNDS):
        guesses = _seen_again(cloud, guesses) if guesses else []
    return sorted(guesses, key=lambda guess: -guess.confidence)


def _first_guesses(cloud: torch.Tensor, windows: list[Window]) -> list[Proposal]:
    """What the likeliest pictures of the cloud through some windows say."""
    guesses = []
    for middle, half in windows:
        views = view_points(((cloud - middle) / half) @ _directions().mT, SIZE).quarter_turns()
        rotations = (_QUARTERS[:, None] @ _directions()).flatten(0, 1)
        glance = face_network().glance(views.pictures.to(memory_format=torch.channels_last))
        best = torch.topk(glance.shown, _LOOKS).indices
        places, wanted, weights = _correspondences(views.take(best), face_network().maps(glance.take(best)))
        inner, agreement = _similarities(places, wanted, weights)
        likely = torch.sigmoid(glance.shown[best]) * agreement
        for row in torch.nonzero(likely > _LEAST)[:, 0].tolist():
            rotation = rotations[best[row]].double()
            window = Similarity(rotation.numpy(), -(rotation @ middle.double()).numpy() / half, 1.0 / half)
            guesses.append(Proposal(_after(inner, row, window), float(likely[row])))
    return guesses


def _seen_again(cloud: torch.Tensor, guesses: list[Proposal]) -> list[Proposal]:
    """The guesses after a look at each from the front of the face that it claims."""
    angles = torch.tensor(_AGAIN).deg2rad()
    c, s, zero, one = angles.cos(), angles.sin(), torch.zeros_like(angles), torch.ones_like(angles)
    turns = torch.stack([c, zero, -s, zero, one, zero, s, zero, c], 1).view(-1, 1, 3, 3)
    placed = torch.from_numpy(np.stack([guess.similarity.apply(cloud.numpy()) for guess in guesses])).float()
    around = (placed - torch.from_numpy(FACE_MIDDLE).float()) / FACE_REACH
    seen = (around[None] @ turns.transpose(2, 3)).flatten(0, 1)
    pictures = view_points(seen, SIZE)
    maps = face_network()(pictures.pictures.to(memory_format=torch.channels_last))
    places, wanted, weights = _correspondences(pictures, maps)
    views, found = len(_AGAIN), len(guesses)
    places = places.view(views, found, -1, 3) @ turns  # back to the guess' own frame: what was turned by R, by R^T
    together = [part.reshape(views, found, *part.shape[1:]).transpose(0, 1) for part in (wanted, weights)]
    places = (places * FACE_REACH + torch.from_numpy(FACE_MIDDLE).float()).transpose(0, 1)
    inner, agreement = _similarities(places.flatten(1, 2), together[0].flatten(1, 2), together[1].flatten(1, 2))
    likely = torch.sigmoid(maps.shown.view(views, found)).mean(0) * agreement
    return [
        Proposal(_after(inner, row, guess.similarity), float(likely[row]))
        for row, guess in enumerate(guesses)
        if likely[row] > _LEAST
    ]


def _correspondences(views: PointViews, maps: FaceMaps) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where V pictures' cells lie in the window (V, C, 3) and in the model frame (V, C, 3), and how much each counts
    (V, C)."""
    weights = torch.sigmoid(maps.face) * views.surface / (0.02 + maps.spread)
    return views.places.flatten(2).mT, maps.places.flatten(2).mT, weights.flatten(1)


def _similarities(source: torch.Tensor, target: torch.Tensor, weights: torch.Tensor):
    """Robust similarities of V sets of pairs, and how well each explains its own.

    Args:
        source, target: (V, C, 3).
        weights: (V, C).
    Returns:
        Rotations (V, 3, 3), translations (V, 3), scales (V,), float64; the weighted share (V,) of the pairs that agree,
        less where hardly any cell counts.
    """
    source, target, weights = source.double(), target.double(), weights.double() + 1e-12
    robust = torch.ones_like(weights)
    for scale in _SCALES:
        rotation, translation, size = _umeyama(source, target, weights * robust)
        moved = size[:, None, None] * (source @ rotation.mT) + translation[:, None]
        square = (moved - target).square().sum(-1)
        robust = (scale**2 / (square + scale**2)) ** 2
    agreement = (weights * (_SCALES[-1] ** 2 / (square + _SCALES[-1] ** 2))).sum(1) / weights.sum(1)
    cells = weights.sum(1) / weights.max(1).values.clamp(min=1.0)
    return (rotation, translation, size), (agreement * (cells / 20).clamp(max=1.0)).float()


def _umeyama(source: torch.Tensor, target: torch.Tensor, weights: torch.Tensor):
    """Weighted least-squares similarities (`Similarity.between`) of V sets at once."""
    weights = weights / weights.sum(1, keepdim=True)
    middle, goal = (weights[:, None] @ source)[:, 0], (weights[:, None] @ target)[:, 0]
    source, target = source - middle[:, None], target - goal[:, None]
    u, singular, vt = torch.linalg.svd(target.mT @ (weights[..., None] * source))
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.det(u @ vt).sign()
    rotation = (u * sign[:, None]) @ vt
    size = (singular * sign).sum(1) / (weights * source.square().sum(-1)).sum(1).clamp(min=1e-12)
    size = size.clamp(min=1e-6)
    return rotation, goal - size[:, None] * (rotation @ middle[..., None])[..., 0], size


def _after(inner, row: int, first: Similarity) -> Similarity:
    """The similarity of a row after another one."""
    rotation, translation, size = (part[row].numpy() for part in inner)
    return Similarity(rotation, translation, float(size)).after(first)


def _distinct(guesses: list[Proposal], count: int, degrees: float, apart: float) -> list[Proposal]:
    """The most confident guesses that differ by an angle or on the face (model units), best first."""
    anchors = reference_anchors()[FACE_PARTS]
    kept: list[Proposal] = []
    for guess in sorted(guesses, key=lambda guess: -guess.confidence):
        back = guess.similarity.inverse()
        for other in kept:
            cosine = (np.trace(other.similarity.rotation @ back.rotation) - 1) / 2
            gap = np.linalg.norm(other.similarity.apply(back.apply(anchors)) - anchors, axis=1).mean()
            if cosine > np.cos(np.radians(degrees)) and gap < apart:
                break
        else:
            kept.append(guess)
        if len(kept) == count:
            break
    return kept
