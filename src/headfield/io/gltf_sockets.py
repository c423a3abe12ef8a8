"""Room for the eyeballs of an exported head: sockets behind them, and lids that no shape moves into them.

The skin keeps its join with the eyeball, and lids that slide over it lie on it: no gap is seen between the two.

A blink, which by ARKit's definition shuts the eye, squeezes the skin of the fused eyeball into the line between the
lids: that skin comes out of the socket with the lids, in front of the eyeball, and closes the line. (Other shapes that
make the eye narrow leave the socket where it is.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

SOCKET = 0.82
"""Skin under an exported eyeball is drawn back to this share of its radius."""

SEAL = 0.988
"""The socket's rim, where the skin joins the eyeball, only to this one, 0.15 mm under, and it follows the lids."""

LID = 1.002
"""What is between the corners of a lid's triangles stays this many radii from an eyeball's centre."""

LIFT = 1.025
"""No corner of a lid is lifted further than this off it (0.3 mm), however large its triangles are."""


class Ball(Protocol):
    """What is asked of an eyeball: metres, and the head's vertices that it stands in for."""

    @property
    def name(self) -> str: ...

    @property
    def centre(self) -> np.ndarray: ...

    @property
    def radius(self) -> float: ...

    @property
    def replaces(self) -> np.ndarray: ...


def with_sockets(
    vertices: np.ndarray, triangles: np.ndarray, shapes: np.ndarray, names: Sequence[str], eyes: Sequence[Ball]
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and shapes (S, V, 3), by name, with room for the eyeballs."""
    if not eyes:
        return vertices, shapes
    vertices, shapes = vertices.copy(), shapes.copy()
    welded = _Welded.of(vertices, triangles)
    for eye in eyes:
        socket = _Socket(vertices, eye, welded)
        blink = eye.name.replace("eye", "eyeBlink")
        for name, offsets in zip(names, shapes):
            socket.lead(offsets, blinks=name == blink)
            socket.keep_lids_off(offsets, blinks=name == blink)
    return vertices, shapes


@dataclass(frozen=True)
class _Welded:
    """A mesh whose copies of a vertex, along seams of the atlas, move alike.

    Attributes:
        first: (U,) a vertex at each place.
        place: (V,) place of each vertex.
        edges: (E, 2) vertices.
    """

    first: np.ndarray
    place: np.ndarray
    edges: np.ndarray

    @staticmethod
    def of(vertices: np.ndarray, triangles: np.ndarray) -> _Welded:
        _, first, place = np.unique(vertices, axis=0, return_index=True, return_inverse=True)
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        return _Welded(first, place.reshape(-1), edges)


class _Socket:
    """The skin behind one eyeball, drawn back from it."""

    def __init__(self, vertices: np.ndarray, eye: Ball, welded: _Welded) -> None:
        """Draw it back, in place."""
        self.vertices, self.eye, self.welded = vertices, eye, welded
        away = vertices - eye.centre
        self.distance = np.linalg.norm(away, axis=1)
        front, edges, place = away[:, 2] > 0, welded.edges, welded.place
        self.inside = front & (self.distance < eye.radius)
        self.inside[eye.replaces] = True
        self.skin = np.flatnonzero(self.inside)
        fused = vertices[self.skin].copy()
        both = np.concatenate([edges, edges[:, ::-1]])
        self.ties = place[both[self.inside[both[:, 0]] & ~self.inside[both[:, 1]]]]
        self.rim = np.isin(place[self.skin], self.ties[:, 0])
        own = self.distance[self.skin]
        self.depth = np.where(self.rim, np.minimum(SEAL, own / eye.radius), SOCKET)
        vertices[self.skin] = eye.centre + (self.depth * eye.radius / own)[:, None] * away[self.skin]
        self.back_out = fused - vertices[self.skin]
        # lids lie between the eyeball and twice its radius, in front of its middle
        around = front & (self.distance < 2 * eye.radius) & ~self.inside
        self.lids = np.flatnonzero(around)
        self.of_lids = edges[around[edges].all(1)]
        self.of_closed = edges[(around | self.inside)[edges].all(1)]

    def lead(self, offsets: np.ndarray, blinks: bool) -> None:
        """Let the socket follow a shape's offsets (V, 3), in place: out with a blink; else its rim alone, over the
        eyeball."""
        if blinks:
            offsets[self.skin] += self.back_out
            return
        eye, first, rim = self.eye, self.welded.first, self.skin[self.rim]
        follow = _means(offsets[first[self.ties[:, 1]]], self.ties[:, 0], len(first))[self.welded.place[rim]]
        offsets[self.skin] = 0.0
        slid = self.vertices[rim] + follow - eye.centre
        slid *= (self.depth[self.rim] * eye.radius / np.linalg.norm(slid, axis=1))[:, None]
        slid += eye.centre - self.vertices[rim]
        offsets[rim] = np.where((follow != 0).any(1)[:, None], slid, 0.0)

    def keep_lids_off(self, offsets: np.ndarray, blinks: bool) -> None:
        """Push what moves out of the eyeball, in place."""
        moving = np.union1d(self.lids, self.skin) if blinks else self.lids
        if not offsets[moving].any():
            return
        moved, edges = self.vertices + offsets, self.of_closed if blinks else self.of_lids
        least = _least(moved, edges, self.welded.place, self.eye.radius)[moving]
        least = np.where(self.inside[moving], least, np.minimum(least, self.distance[moving]))
        offsets[moving] = _outside(moved[moving], self.eye.centre, least) - self.vertices[moving]


def _means(values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    """Means (count, 3) of the values (N, 3) of each group (N,), zero for those without any."""
    total = np.stack([np.bincount(group, values[:, axis], count) for axis in range(3)], axis=1)
    return total / np.maximum(np.bincount(group, minlength=count), 1)[:, None]


def _least(points: np.ndarray, edges: np.ndarray, place: np.ndarray, radius: float) -> np.ndarray:
    """How far (V,) from the centre of a ball vertices must be, lest the triangles at their edges (E, 2) dip into it.

    In the middle of a triangle with sides of length e, whose corners lie on a sphere of radius r, one is e^2 / 6r below
    it. The same for vertices of the same `place` (V,).
    """
    longest = np.zeros(place.max() + 1)
    length = ((points[edges[:, 0]] - points[edges[:, 1]]) ** 2).sum(1)
    for side in (0, 1):
        np.maximum.at(longest, place[edges[:, side]], length)
    return np.minimum(LID + longest[place] / (6 * radius**2), LIFT) * radius


def _outside(points: np.ndarray, centre: np.ndarray, least) -> np.ndarray:
    """Points (N, 3) pushed to at least this distance, one or (N,), from a centre."""
    away = points - centre
    distance = np.linalg.norm(away, axis=1)
    return centre + np.maximum(1.0, least / np.maximum(distance, 1e-12))[:, None] * away
