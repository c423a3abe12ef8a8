"""A scan as an explicit head is fitted to it: thinned points, normals of a known side, landmarks, where it lies."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from headfield.errors import ScanError
from headfield.fit.clean import thin
from headfield.fit.placement import Placement
from headfield.fit.placing import surface_points
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import estimated_normals
from headfield.surface.topology import vertex_normals
from headfield.types import Scan

AROUND = 0.12
"""Points farther than this from the box of the mean head (model units, 30 mm) are no part of the head."""

LEAST_POINTS = 100
"""Fewer points around the head say nothing."""


@dataclass(frozen=True)
class ScanTarget:
    """One scan of a person.

    Attributes:
        scan: The scan.
        placement: Where its head is: scan frame and unit -> model frame.
        landmarks: (68, 3) in the scan's frame, NaN where not found, or None.
        confidence: (68,) in [0, 1], or None for full confidence wherever there is a landmark.
        at_rest: The scan is known to be neutral: its expression is held at rest.
    """

    scan: Scan
    placement: Placement
    landmarks: np.ndarray | None = None
    confidence: np.ndarray | None = None
    at_rest: bool = False


@dataclass(frozen=True)
class View:
    """A target made ready.

    Attributes:
        name: Of the scan.
        points: (N, 3) thinned, scan frame.
        normals: (N, 3) unit, or None.
        signed: Whether the normals point outwards, or their sign is unknown.
        landmarks: (68, 3), zero where not found.
        confidence: (68,), 0 where not found.
        placement: Of the target.
        at_rest: Of the target.
    """

    name: str
    points: np.ndarray
    normals: np.ndarray | None
    signed: bool
    landmarks: np.ndarray
    confidence: np.ndarray
    placement: Placement
    at_rest: bool = False


def view_of(target: ScanTarget, mean: np.ndarray, normals: np.ndarray, count: int, seed: int = 0) -> View:
    """Thin a scan to points around the head and find out which side its normals point to.

    Args:
        target: The scan.
        mean: (V, 3) vertices of the mean head, model frame.
        normals: (V, 3) outward.
        count: Points that are kept.
        seed: Seed of their choice.
    Raises:
        ScanError: Hardly any point lies around the head, or landmarks are no 68 points.
    """
    scan = target.scan
    dense = _with_normals(scan, seed)
    finite = np.all(np.isfinite(dense.points), axis=1)
    placed = target.placement.similarity.apply(np.where(finite[:, None], dense.points, 0.0))
    low, high = mean.min(0) - AROUND, mean.max(0) + AROUND
    near = np.flatnonzero(finite & ((placed > low) & (placed < high)).all(1))
    if len(near) < LEAST_POINTS:
        raise ScanError(
            f"{scan.name}: {len(near)} of {len(dense.points)} points lie around the head that was placed in it; at "
            f"least {LEAST_POINTS} are needed. Is the placement that of this scan, in its own unit?"
        )
    near = near[thin(dense.points[near], count, seed)]
    points = dense.points[near]
    own, signed = None, False
    if dense.normals is not None:
        own, signed = _sided(np.asarray(dense.normals, float)[near], placed[near], target.placement, mean, normals)
    if own is None:
        own = estimated_normals(dense.points[finite], points)
    return View(scan.name, points, own, signed, *_landmarks(target), target.placement, target.at_rest)


def _with_normals(scan: Scan, seed: int) -> Scan:
    """The points that stand for the surface, with normals where the scan or its triangles tell them."""
    points = surface_points(scan, seed=seed)
    if scan.triangles is not None and len(scan.triangles):
        corners = vertex_normals(scan.points, scan.triangles)
        if len(points) == len(scan.points):
            return replace(scan, points=points, normals=corners)
        nearest = PointTree(scan.points).query(points)[1]
        return replace(scan, points=points, normals=corners[nearest], triangles=None)
    return replace(scan, points=points)


def _sided(
    own: np.ndarray, placed: np.ndarray, placement: Placement, mean: np.ndarray, normals: np.ndarray
) -> tuple[np.ndarray | None, bool]:
    """Normals turned outwards as a whole; without a sign when they do not agree, None when they are no normals."""
    length = np.linalg.norm(own, axis=1)
    if not np.isfinite(length).all() or (length < 1e-6).mean() > 0.05:
        return None, False
    own = own / np.maximum(length, 1e-9)[:, None]
    gap, nearest = PointTree(mean).query(placed)
    close = gap < np.quantile(gap, 0.5)
    agree = (placement.similarity.rotate(own[close]) * normals[nearest[close]]).sum(1)
    if np.median(np.abs(agree)) < 0.5:
        return None, False  # random directions, whatever they are
    if abs(np.median(agree)) < 0.5:
        return own, False
    return own * np.sign(np.median(agree)), True


def _landmarks(target: ScanTarget) -> tuple[np.ndarray, np.ndarray]:
    if target.landmarks is None:
        return np.zeros((68, 3)), np.zeros(68)
    landmarks = np.asarray(target.landmarks, dtype=float)
    confidence = np.ones(68) if target.confidence is None else np.asarray(target.confidence, dtype=float)
    if landmarks.shape != (68, 3) or confidence.shape != (68,):
        raise ScanError(
            f"{target.scan.name}: landmarks of shape {landmarks.shape} with confidence of shape {confidence.shape}, "
            "expected (68, 3) and (68,); NaN where one was not found."
        )
    found = np.isfinite(landmarks).all(1) & np.isfinite(confidence)
    return np.where(found[:, None], landmarks, 0.0), np.where(found, np.clip(confidence, 0.0, 1.0), 0.0)
