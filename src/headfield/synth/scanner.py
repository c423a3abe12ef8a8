"""A virtual scanner: raw scans of synthetic heads, with all that makes real ones hard, and the truth beside them.

Cameras around the head cast rays; hits are lost at grazing angles, moved along the ray by noise, and holed. Shoulders,
stray points and loose strands of hair join in; the result is turned, moved and written in a unit of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from headfield.errors import ConfigError
from headfield.frames import UNITS_IN_METRES
from headfield.synth.noise import relief
from headfield.synth.occlusion import Occluder
from headfield.types import Scan, Similarity

SKIN, HAIR, SHOULDERS, STRAY = 0, 1, 2, 3
"""What a scan point is (`ScanTruth.labels`)."""

Variant = Literal["full", "frontal", "depth"]


@dataclass(frozen=True)
class HeadTruth:
    """A head to scan: the surface in the model frame and its true size.

    Attributes:
        vertices: (V, 3) model units.
        triangles: (F, 3) union of skin and hair; parts may lie inside one another.
        surface: (F,) bool, False where a triangle is no part of the surface (hidden, or the neck's cap).
        hair: (F,) bool, triangles of the hair.
        neck: (3,) middle of the neck's cut, model units; shoulders hang on it.
        metres_per_unit: True size: 0.25 for the reference adult.
        name: For messages and file names.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    surface: np.ndarray
    hair: np.ndarray
    neck: np.ndarray
    metres_per_unit: float
    name: str = "head"

    @staticmethod
    def of_person(person, expression: np.ndarray | None = None) -> HeadTruth:
        """A person of `headfield.synth.person` with an expression (52,), None = neutral."""
        solid = person.neutral if expression is None else person.solid(expression)
        arrays = {
            "vertices": solid.vertices[None],
            "triangles": person.sheet.triangles,
            "seen": solid.seen[None],
            "cap": person.sheet.cap,
            "placement": person.placement.matrix(),
            "hair_vertices": np.zeros((0, 3)) if person.hair is None else person.hair.vertices,
            "hair_triangles": np.zeros((0, 3), int) if person.hair is None else person.hair.triangles,
            "hair_seen": np.zeros(0, bool) if person.hair is None else person.hair.visible,
        }
        return HeadTruth.of_store(arrays, 0, person.key.id)

    @staticmethod
    def of_store(truth: dict[str, np.ndarray], row: int = 0, name: str = "head") -> HeadTruth:
        """A row of an identity's ``truth.npz`` (`headfield.io.store.Store.truth`).

        Args:
            truth: Arrays by name.
            row: 0 = neutral; as many posed rows as the file keeps.
            name: For messages.
        """
        skin = np.asarray(truth["vertices"][row], dtype=float)
        triangles = np.asarray(truth["triangles"], dtype=np.int64)
        hair = np.asarray(truth["hair_triangles"], dtype=np.int64)
        cut = triangles[truth["cap"]]
        return HeadTruth(
            vertices=np.concatenate([skin, np.asarray(truth["hair_vertices"], dtype=float)]),
            triangles=np.concatenate([triangles, hair + len(skin)]),
            surface=np.concatenate([truth["seen"][row] & ~truth["cap"], truth["hair_seen"]]),
            hair=np.arange(len(triangles) + len(hair)) >= len(triangles),
            neck=skin[cut].reshape(-1, 3).mean(0) if len(cut) else skin[np.argmin(skin[:, 1])],
            metres_per_unit=1.0 / Similarity.from_matrix(truth["placement"]).scale,
            name=name,
        )


@dataclass(frozen=True)
class ScanOptions:
    """How a scan comes out."""

    points: int | None = None
    """Points kept; None = 60,000, for a depth map 5,000."""
    noise_mm: float | None = None
    """Standard deviation along the ray when seen head-on; None = 0.12 mm, for a depth map 0.5 mm."""
    wave_mm: float = 0.1
    """Slow waves of calibration error, rms."""
    shoulders: bool | None = None
    """Shoulders in the picture; None = half of the scans, never in a depth map."""
    holes: int | None = None
    """Elliptical holes of 5-20 mm; None = 0 to 4, none in a depth map."""
    strays: float = 0.003
    """Share of points that lie anywhere around the head."""
    loose_hair: float = 0.02
    """Share of hair points that hover 1-8 mm over the hair: sparse hits on single strands."""
    rotation: Literal["any", "upright", "none"] = "any"
    """Any rotation at all; about the vertical with 10 degrees of tilt; or none."""
    translation_m: float = 1.0
    """Largest displacement along each axis, metres."""
    unit: Literal["mm", "cm", "m", "inch", "any"] = "any"
    """Unit of the scan's coordinates, which the scan does not tell."""
    normals: bool = True
    """Whether the scan brings normals (blurred by 5 degrees)."""


@dataclass(frozen=True)
class ScanTruth:
    """What only the scanner knows.

    Attributes:
        model_from_scan: Scan coordinates -> model frame.
        unit: Unit of the scan.
        metres_per_unit: Size of a model unit of this head, in metres.
        labels: (N,) SKIN, HAIR, SHOULDERS or STRAY of each point.
        head: The head that was scanned.
    """

    model_from_scan: Similarity
    unit: str
    metres_per_unit: float
    labels: np.ndarray
    head: HeadTruth


def scan_head(
    truth: HeadTruth, variant: Variant, rng: np.random.Generator, options: ScanOptions | None = None
) -> tuple[Scan, ScanTruth]:
    """Scan a head.

    Args:
        truth: What to scan.
        variant: ``full``: 16 views around (8 azimuths at 15 degrees up and down) and one from the top; ``frontal``:
            10 views within 70 degrees of the front, the back is missing; ``depth``: one frontal picture.
        rng: Source of randomness; the same state gives the same scan.
        options: See ScanOptions.
    Raises:
        ConfigError: Unknown variant.
    """
    options = ScanOptions() if options is None else options
    if variant not in ("full", "frontal", "depth"):
        raise ConfigError(f"Unknown scan variant {variant!r}: choose full, frontal or depth.")
    size = truth.metres_per_unit
    depth = variant == "depth"
    shoulders = options.shoulders if options.shoulders is not None else (not depth and rng.random() < 0.5)
    vertices, triangles, label = _scene(truth, shoulders, rng)
    occluder = Occluder(vertices / size, triangles)  # model units: near one, as float32 likes it
    corners = vertices[triangles]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    noise = (0.5 if depth else 0.12) if options.noise_mm is None else options.noise_mm

    middle = 0.5 * (truth.vertices.min(0) + truth.vertices.max(0)) * size
    found, viewpoint = [], None
    for eye, side in _cameras(variant, middle, rng):
        rays = _pinhole(eye, middle, side, 32.0, 512 if depth else 384)
        triangle, share = occluder.first_hit(np.broadcast_to(eye / size, rays.shape), rays)
        hit = np.flatnonzero(triangle >= 0)
        hit = hit[label[triangle[hit]] >= 0]
        cosine = -(rays[hit] * flat[triangle[hit]]).sum(1)
        keep = rng.random(len(hit)) < np.clip((cosine - 0.2) / 0.25, 0, 1)
        hit, cosine = hit[keep], cosine[keep]
        along = share[hit] * size + 1e-3 * noise * rng.standard_normal(len(hit)) / np.maximum(cosine, 0.3)
        found.append((eye + along[:, None] * rays[hit], flat[triangle[hit]], label[triangle[hit]]))
        viewpoint = eye if depth else None
    points, normals, labels = (np.concatenate(parts) for parts in zip(*found))
    if options.wave_mm:
        points = points + (1e-3 * options.wave_mm * relief(points / size, 60, 200, rng, 12))[:, None] * normals
    drawn = 0 if depth else int(rng.integers(0, 5))
    keep = _outside_holes(points, labels, drawn if options.holes is None else options.holes, rng)
    wanted = (5000 if depth else 60000) if options.points is None else options.points
    keep = rng.permutation(np.flatnonzero(keep))[:wanted]
    points, normals, labels = points[keep], normals[keep], labels[keep]
    points, normals, labels = _clutter(points, normals, labels, options, rng)
    return _hand_over(truth, options, points, normals, labels, viewpoint, f"{truth.name}-{variant}", rng)


def _scene(truth: HeadTruth, shoulders: bool, rng: np.random.Generator):
    """Vertices in metres, triangles and a label per triangle (-1: seen there, there is nothing)."""
    vertices = truth.vertices * truth.metres_per_unit
    triangles = truth.triangles
    label = np.where(truth.surface, np.where(truth.hair, HAIR, SKIN), -1)
    if shoulders:
        body, faces = torso(truth.neck * truth.metres_per_unit, truth.metres_per_unit / 0.25, rng)
        triangles = np.concatenate([triangles, faces + len(vertices)])
        vertices = np.concatenate([vertices, body])
        label = np.concatenate([label, np.full(len(faces), SHOULDERS)])
    return vertices, triangles, label


def torso(neck: np.ndarray, size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shoulders and upper chest: a squashed ball whose profile rises to the neck, in soft folds of cloth (metres)."""
    from trimesh.creation import icosphere

    ball = icosphere(subdivisions=5)
    directions, faces = np.array(ball.vertices), np.array(ball.faces, dtype=np.int64)
    half = size * np.array([rng.uniform(0.19, 0.24), rng.uniform(0.10, 0.13), rng.uniform(0.10, 0.13)])
    # a super-ellipsoid: broad shoulders, flat top
    shape = (np.abs(directions) ** 2.6).sum(1) ** (-1 / 2.6)
    body = half * shape[:, None] * directions
    slope = 0.35 * np.exp(-((body[:, 0] / (0.09 * size)) ** 2))  # the trapezius rises to the neck
    body[:, 1] += slope * np.maximum(directions[:, 1], 0) * half[1]
    folds = 0.003 * relief(body / 0.25, 40, 120, rng)
    body += folds[:, None] * directions
    place = neck + [0.0, -half[1] * rng.uniform(0.85, 1.05), -size * rng.uniform(0.015, 0.035)]
    return body + place, faces


def _cameras(variant: str, middle: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Camera centres (metres) and each one's sideways direction."""
    if variant == "full":
        turns = [(azimuth, elevation) for azimuth in np.arange(8) * 45.0 for elevation in (-15.0, 15.0)] + [(0.0, 88.0)]
        jitter = 4.0
    elif variant == "frontal":
        turns = [(azimuth, elevation) for azimuth in (-70.0, -35.0, 0.0, 35.0, 70.0) for elevation in (-12.0, 18.0)]
        jitter = 3.0
    else:
        turns = [(rng.uniform(-8, 8), rng.uniform(-8, 8))]
        jitter = 0.0
    cameras = []
    for turn in turns:
        azimuth, elevation = np.radians(np.add(turn, rng.normal(0, 1, 2) * jitter))
        elevation = np.clip(elevation, -1.55, 1.55)
        out = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
        cameras.append((middle + 0.6 * out, np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])))
    return cameras


def _pinhole(eye: np.ndarray, target: np.ndarray, side: np.ndarray, degrees: float, pixels: int) -> np.ndarray:
    """Unit ray directions (pixels^2, 3) of a square picture."""
    forward = (target - eye) / np.linalg.norm(target - eye)
    up = np.cross(side, forward)
    grid = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    grid = grid * np.tan(np.radians(degrees) / 2)
    x, y = np.meshgrid(grid, -grid)
    rays = forward + x.reshape(-1, 1) * side + y.reshape(-1, 1) * up
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def _outside_holes(points: np.ndarray, labels: np.ndarray, holes: int, rng: np.random.Generator) -> np.ndarray:
    """Mask (N,) of the points that no elliptical hole of 5-20 mm takes."""
    keep = np.ones(len(points), dtype=bool)
    on_head = np.flatnonzero(labels <= HAIR)
    for _ in range(holes):
        centre = points[rng.choice(on_head)]
        axes = np.linalg.qr(rng.standard_normal((3, 3)))[0]
        radii = 1e-3 * rng.uniform([5, 5, 12], [20, 20, 20])
        keep &= ((((points - centre) @ axes) / radii) ** 2).sum(1) > 1
    return keep


def _clutter(points, normals, labels, options: ScanOptions, rng: np.random.Generator):
    """Loose hair and stray points."""
    hair = np.flatnonzero(labels == HAIR)
    loose = hair[rng.random(len(hair)) < options.loose_hair]
    points = points.copy()
    points[loose] += 1e-3 * rng.uniform(1, 8, (len(loose), 1)) * normals[loose]
    points[loose] += 2e-3 * rng.standard_normal((len(loose), 3))
    strays = int(round(options.strays * len(points)))
    centre, reach = points.mean(0), 1.3 * np.abs(points - points.mean(0)).max()
    stray = centre + reach * rng.uniform(-1, 1, (strays, 3))
    turned = rng.standard_normal((strays, 3))
    turned /= np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9)
    labels = np.concatenate([labels, np.full(strays, STRAY)])
    labels[loose] = STRAY
    return np.concatenate([points, stray]), np.concatenate([normals, turned]), labels


def _hand_over(truth, options: ScanOptions, points, normals, labels, viewpoint, name, rng) -> tuple[Scan, ScanTruth]:
    """Turn, move and measure the scan in its own unit (points in metres, model axes)."""
    unit = str(rng.choice(list(UNITS_IN_METRES))) if options.unit == "any" else options.unit
    rotation = _rotation(options.rotation, rng)
    shift = rng.uniform(-options.translation_m, options.translation_m, 3)
    scan_from_metres = Similarity(rotation, shift / UNITS_IN_METRES[unit], 1.0 / UNITS_IN_METRES[unit])
    blurred = scan_from_metres.rotate(normals) + np.radians(5.0) * rng.standard_normal(normals.shape)
    blurred /= np.linalg.norm(blurred, axis=1, keepdims=True)
    order = rng.permutation(len(points))
    scan = Scan(
        points=scan_from_metres.apply(points)[order],
        normals=blurred[order] if options.normals else None,
        name=name,
        viewpoint=None if viewpoint is None else scan_from_metres.apply(viewpoint),
    )
    model_from_metres = Similarity(scale=1.0 / truth.metres_per_unit)
    model_from_scan = model_from_metres.after(scan_from_metres.inverse())
    return scan, ScanTruth(model_from_scan, unit, truth.metres_per_unit, labels[order], truth)


def _rotation(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A rotation (3, 3): uniform (a random unit quaternion), about the vertical with some tilt, or none."""
    from scipy.spatial.transform import Rotation

    if kind == "none":
        return np.eye(3)
    if kind == "upright":
        turn = Rotation.from_euler("y", rng.uniform(-180, 180), degrees=True)
        return (Rotation.from_rotvec(np.radians(10) * rng.standard_normal(3) / 2) * turn).as_matrix()
    quaternion = rng.standard_normal(4)
    return Rotation.from_quat(quaternion / np.linalg.norm(quaternion)).as_matrix()
