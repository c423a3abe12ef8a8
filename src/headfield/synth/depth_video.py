"""Depth videos of synthetic heads: a person who speaks, blinks and turns before a depth camera, and the truth beside.

Each frame is one picture of a pinhole camera: depth along the optical axis, lost at grazing angles, with noise along
the ray that grows where the surface turns away, and with slow waves of calibration error that stay with the camera.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from headfield.synth.occlusion import Occluder
from headfield.synth.poses import poses
from headfield.types import ARKIT, Similarity

_SYLLABLES = ("aa", "PP", "E", "O", "SS", "U", "aa", "FF", "I", "CH", "O", "aa")
"""Visemes of the speech, one after the other, four a second."""

_PER_SECOND = 4.0
"""Syllables a second: about what people speak."""

_BLINK = ((-0.10, 0.0), (0.0, 1.0), (0.05, 1.0), (0.20, 0.0))
"""A blink: seconds from its closing, and weight. Lids close in a tenth of a second and open in a little more."""


@dataclass(frozen=True)
class DepthCamera:
    """A pinhole depth camera; it looks along -z with y up, as depth maps are read."""

    width: int = 160
    """Columns."""
    height: int = 120
    """Rows."""
    focal: float = 260.0
    """Pixels: at 0.6 m one is 2.3 mm, so that a head covers some five thousand."""
    noise_mm: float = 0.5
    """Standard deviation along the ray where the surface faces the camera."""
    wave_mm: float = 0.1
    """Slow waves of calibration error, rms; they stay with the camera."""

    def intrinsics(self) -> dict[str, float]:
        """What an ``intrinsics.json`` holds."""
        middle = {"cx": 0.5 * (self.width - 1), "cy": 0.5 * (self.height - 1)}
        return {"fx": self.focal, "fy": self.focal, **middle, "width": self.width, "height": self.height}

    def depth(self, vertices: np.ndarray, triangles: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """A depth map (H, W) in millimetres, 0 where nothing is seen.

        Args:
            vertices: (V, 3) metres in the camera's frame.
            triangles: (F, 3).
            rng: Of the noise; None = none.
        """
        rows, columns = np.divmod(np.arange(self.height * self.width), self.width)
        across = (columns - 0.5 * (self.width - 1)) / self.focal
        down = (rows - 0.5 * (self.height - 1)) / self.focal
        rays = np.stack([across, -down, -np.ones(len(rows))], axis=1)
        triangle, share = Occluder(vertices, triangles).first_hit(np.zeros_like(rays), rays)
        depth = np.where(triangle >= 0, 1000.0 * share, 0.0)
        if rng is not None:
            depth = self._noisy(depth, rays, vertices[triangles[triangle]], rng)
        return depth.reshape(self.height, self.width)

    def _noisy(self, depth: np.ndarray, rays: np.ndarray, corners: np.ndarray, rng) -> np.ndarray:
        flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.linalg.norm(flat, axis=1) * np.linalg.norm(rays, axis=1)
        cosine = -(flat * rays).sum(1) / np.maximum(length, 1e-30)
        lost = rng.random(len(depth)) > np.clip((cosine - 0.2) / 0.25, 0, 1)
        noise = self.noise_mm * rng.standard_normal(len(depth)) / np.maximum(cosine, 0.3)
        smooth = gaussian_filter(np.random.default_rng(0).standard_normal((self.height, self.width)), 8.0)
        wave = self.wave_mm * (smooth / smooth.std()).ravel()
        return np.where((depth > 0) & ~lost, depth + noise + wave, 0.0)


@dataclass(frozen=True)
class Acted:
    """What a head does over T frames.

    Attributes:
        times: (T,) seconds.
        expressions: (T, 52) ARKit weights.
        camera_from_model: T transforms from the model frame to the camera's, metres.
    """

    times: np.ndarray
    expressions: np.ndarray
    camera_from_model: tuple[Similarity, ...]


def acted(
    count: int, metres_per_unit: float, fps: float = 30.0, seed: int = 0, mask: np.ndarray | None = None
) -> Acted:
    """Speech, a smile that comes and goes, blinks every second and a half, and a head that turns and sways.

    Args:
        count: Frames.
        metres_per_unit: True size of the head.
        fps: Frames per second.
        seed: Of the movements.
        mask: (52,) bool, channels that the head's family can play.
    """
    rng = np.random.default_rng(seed)
    times = np.arange(count) / fps
    end = max(times[-1], 1.0) + 1.0
    beats = np.arange(0.0, end, 1.0 / _PER_SECOND)
    first = int(rng.integers(len(_SYLLABLES)))
    said = [poses()[_SYLLABLES[(first + k) % len(_SYLLABLES)]].weights for k in range(len(beats))]
    strength = rng.uniform(0.7, 1.0, (len(beats), 1))
    expressions = PchipInterpolator(beats, strength * np.array(said))(times)
    smile = 0.5 * np.sin(np.pi * np.clip((times - 0.3) / 1.2, 0, 1)) ** 2
    for name, share in (("mouthSmile", 1.0), ("cheekSquint", 0.6), ("browInnerUp", 0.5)):
        for full in (name, f"{name}Left", f"{name}Right"):
            if full in ARKIT:
                expressions[:, ARKIT.index(full)] += share * smile
    seconds, weights = np.array(_BLINK).T
    blink = sum(np.interp(times - at, seconds, weights) for at in np.arange(rng.uniform(0.4, 0.7), end, 1.5))
    for side in ("Left", "Right"):
        expressions[:, ARKIT.index(f"eyeBlink{side}")] = blink
    if mask is not None:
        expressions[:, ~np.asarray(mask, dtype=bool)] = 0.0
    knots = np.arange(0.0, end + 0.6, 0.5)
    turns = CubicSpline(knots, rng.normal(0, 1, (len(knots), 3)) * [0.10, 0.22, 0.06])(times)
    shifts = CubicSpline(knots, rng.normal(0, 1, (len(knots), 3)) * [0.015, 0.008, 0.015])(times)
    pivot = np.array([0.0, -0.1, -0.3])  # about where a head turns, model units
    placed = []
    for turn, shift in zip(turns, shifts):
        rotation = Rotation.from_rotvec(turn).as_matrix()
        middle = np.array([0.0, -0.02, -0.62]) + shift
        placed.append(Similarity(rotation, middle + metres_per_unit * (pivot - rotation @ pivot), metres_per_unit))
    return Acted(times, expressions.clip(0, 1), tuple(placed))


def write_video(folder: Path, frames, camera: DepthCamera) -> Path:
    """Write depth maps (T, H, W) in millimetres as ``frame_0001.npy`` and so on, with ``intrinsics.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=1):
        np.save(folder / f"frame_{number:04d}.npy", np.asarray(frame, dtype=np.float32))
    (folder / "intrinsics.json").write_text(json.dumps(camera.intrinsics()) + "\n", encoding="utf-8")
    return folder
