"""Expression tracks: ARKit weights (or FLAME parameters) and the head's rotation over time; resampling, smoothing.

A track is plain arrays, so numpy is the way to cut, scale or mix it. Reading and writing files is
:mod:`headfield.edit.track_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from headfield.errors import ConfigError, TrackError
from headfield.types import ARKIT, ARKIT_MIRROR

ANGLES = ("yaw", "pitch", "roll")
"""The head's angles, in the order of :func:`head_rotation`."""

MAX_FRAMES = 200_000
"""Frames of a track at most: almost an hour at 60 frames per second."""


@dataclass(frozen=True)
class Track:
    """An expression over time (T frames).

    Dimensions: E = 52 ARKit channels, or FLAME's expression coefficients and three of the jaw.

    Attributes:
        times: (T,) seconds, increasing.
        weights: (T, E) ARKit weights in [0, 1] in the order of :data:`headfield.types.ARKIT`, or FLAME parameters as
            :mod:`headfield.edit.flame_tracks` has them.
        rotation: (T, 3, 3) rotations of the whole head in the model frame (+x the subject's left, +y up, +z out of
            the face), or None when the track has none.
        name: For messages and file headings.
        notes: What reading and processing had to do, one sentence each.
        channels: What the weights mean: ``arkit52`` or ``flame``, as a model's ``expression_names``.
        shift: (T, 3) metres, how far the point that the head turns about has gone from where it began, in the axes of
            `rotation`; or None when the track does not know.
    Raises:
        TrackError: The arrays do not belong together, are empty or not finite, or the times do not increase.
    """

    times: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray | None = None
    name: str = "track"
    notes: tuple[str, ...] = ()
    channels: str = "arkit52"
    shift: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "times", np.asarray(self.times, dtype=float))
        object.__setattr__(self, "weights", np.asarray(self.weights, dtype=float))
        count = len(self.times) if self.times.ndim == 1 else -1
        columns = self.weights.shape[1] if self.channels == "flame" and self.weights.ndim == 2 else len(ARKIT)
        wanted: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {"weights": (self.weights, (count, columns))}
        if self.rotation is not None:
            object.__setattr__(self, "rotation", np.asarray(self.rotation, dtype=float))
            wanted["rotation"] = (self.rotation, (count, 3, 3))
        if self.shift is not None:
            object.__setattr__(self, "shift", np.asarray(self.shift, dtype=float))
            wanted["shift"] = (self.shift, (count, 3))
        if count == 0:
            raise TrackError(f"{self.name}: 0 frames; a track needs at least one.")
        for what, (array, shape) in wanted.items():
            if array.shape != shape:
                raise TrackError(f"{self.name}: {what} of shape {array.shape} for times of {self.times.shape}.")
            if not np.isfinite(array).all():
                raise TrackError(f"{self.name}: {what} must be finite numbers.")
        if not np.isfinite(self.times).all() or (np.diff(self.times) <= 0).any():
            raise TrackError(f"{self.name}: times must be finite and increase from frame to frame.")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last."""
        return float(self.times[-1] - self.times[0]) + (1.0 / self.fps)

    @property
    def fps(self) -> float:
        """Frames per second: by the median step, so that drop-outs do not count; 30 for a single frame."""
        return float(1.0 / np.median(np.diff(self.times))) if len(self.times) > 1 else 30.0

    def mirrored(self) -> Track:
        """Left and right exchanged, in the face and in the head's rotation.

        Raises:
            ConfigError: FLAME parameters, which have no sides to exchange.
        """
        if self.channels != "arkit52":
            raise ConfigError(f"{self.name}: FLAME parameters have no left and right that could be exchanged.")
        flip = np.diag([-1.0, 1.0, 1.0])
        rotation = None if self.rotation is None else flip @ self.rotation @ flip
        shift = None if self.shift is None else self.shift @ flip
        return replace(self, weights=self.weights[:, ARKIT_MIRROR], rotation=rotation, shift=shift)

    def without_motion(self) -> Track:
        """The track of a head that stays where it is."""
        return replace(self, rotation=None, shift=None)


def resample(track: Track, fps: float) -> Track:
    """The track at evenly spaced times: weights and places linearly, rotations along the shortest arc.

    Gaps are bridged. The first frame is kept; the last new one is the last that lies within the track.

    Args:
        track: Any times.
        fps: New frames per second.
    Raises:
        ConfigError: The rate is not within (0, 1000], or would make more than 200,000 frames.
    """
    if not 0 < fps <= 1000:
        raise ConfigError(f"{fps:g} frames per second: choose more than 0 and at most 1000.")
    length = track.times[-1] - track.times[0]
    count = int(np.floor(length * fps + 1e-6)) + 1
    if count > MAX_FRAMES:
        raise ConfigError(f"{track.name}: {length:,.0f} s at {fps:g} frames per second is {count:,} frames; "
                          f"{MAX_FRAMES:,} are the most. Choose a lower rate or cut the track.")  # fmt: skip
    times = track.times[0] + np.arange(count) / fps
    at = times.clip(track.times[0], track.times[-1])
    after = np.searchsorted(track.times, at, side="right").clip(1, max(len(track) - 1, 1))
    if len(track) == 1:
        return replace(track, times=times)
    before = after - 1
    share = ((at - track.times[before]) / (track.times[after] - track.times[before]))[:, None]
    weights = (1 - share) * track.weights[before] + share * track.weights[after]
    rotation = None
    if track.rotation is not None:
        from scipy.spatial.transform import Rotation, Slerp

        rotation = Slerp(track.times, Rotation.from_matrix(track.rotation))(at).as_matrix()
    shift = None if track.shift is None else (1 - share) * track.shift[before] + share * track.shift[after]
    return replace(track, times=times, weights=weights, rotation=rotation, shift=shift)


def smooth(track: Track, min_cutoff: float = 2.0, beta: float = 1.0, derivative_cutoff: float = 1.0) -> Track:
    """Take the jitter out of a track with the one-euro filter (Casiez, Roussel, Vogel 2012).

    A low-pass whose cutoff rises with speed: a face at rest becomes still, a blink stays quick. Causal: a frame
    depends on itself and on earlier ones only. Uneven times are respected.

    Args:
        track: Any times.
        min_cutoff: Cutoff at rest, hertz; lower is smoother and later.
        beta: How much the cutoff rises, hertz per (weight per second); higher is quicker and noisier. For the
            rotation, hertz per (radian per second), one cutoff for all its components; for the place, hertz per
            (decimetre per second).
        derivative_cutoff: Cutoff of the speed's own low-pass, hertz.
    Raises:
        ConfigError: A parameter is negative, or a cutoff is zero.
    """
    if not (min_cutoff > 0 and derivative_cutoff > 0 and beta >= 0):
        raise ConfigError(
            f"min_cutoff={min_cutoff:g}, beta={beta:g}, derivative_cutoff={derivative_cutoff:g}: cutoffs are above 0 "
            "hertz and beta is not negative."
        )
    weights = _one_euro(track.times, track.weights, min_cutoff, beta, derivative_cutoff)
    rotation = None
    if track.rotation is not None:
        from scipy.spatial.transform import Rotation

        turns = Rotation.from_matrix(track.rotation).as_quat()
        flips = np.cumprod(np.sign((turns[1:] * turns[:-1]).sum(axis=1)) + 0.0)  # q and -q are one rotation
        turns[1:] *= np.where(flips == 0, 1.0, flips)[:, None]
        # a unit quaternion moves half as fast as the angle it stands for
        turns = _one_euro(track.times, turns, min_cutoff, 2 * beta, derivative_cutoff, together=True)
        rotation = Rotation.from_quat(turns).as_matrix()
    shift = track.shift
    if shift is not None:
        shift = _one_euro(track.times, shift, min_cutoff, 10 * beta, derivative_cutoff, together=True)
    return replace(track, weights=weights, rotation=rotation, shift=shift)


def _one_euro(
    times: np.ndarray, values: np.ndarray, min_cutoff: float, beta: float, derivative_cutoff: float, *,
    together: bool = False,
) -> np.ndarray:  # fmt: skip
    """Filter values (T, C), all channels at once; `together` gives them one speed, the norm."""
    result = values.copy()
    speed = np.zeros(values.shape[1])
    for now in range(1, len(values)):
        step = times[now] - times[now - 1]
        latest = (values[now] - result[now - 1]) / step
        speed = speed + _share(derivative_cutoff, step) * (latest - speed)
        pace = np.linalg.norm(speed) if together else np.abs(speed)
        result[now] = result[now - 1] + _share(min_cutoff + beta * pace, step) * (values[now] - result[now - 1])
    return result


def _share(cutoff, step: float):
    """Weight of the new value in an exponential low-pass of this cutoff (hertz) after `step` seconds."""
    return 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * step))


def centred(track: Track) -> Track:
    """The track with its mean rotation taken out, so that the head faces forwards on average."""
    if track.rotation is None:
        return track
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_matrix(track.rotation)
    return replace(track, rotation=(turns.mean().inv() * turns).as_matrix())


def flipped(track: Track, angles: Sequence[str]) -> Track:
    """The track with these angles of the head reversed.

    Args:
        track: Without a rotation it comes back as it is.
        angles: Some of ``yaw``, ``pitch``, ``roll``.
    Raises:
        ConfigError: Another name.
    """
    unknown = [name for name in angles if name not in ANGLES]
    if unknown:
        raise ConfigError(f"'{unknown[0]}' is no angle of the head: {', '.join(ANGLES)}.")
    if track.rotation is None or not angles:
        return track
    signs = [-1.0 if name in angles else 1.0 for name in ANGLES]
    return replace(track, rotation=head_rotation(head_angles(track.rotation) * signs))


def head_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll (T, 3) in radians of rotations (T, 3, 3); the inverse of :func:`head_rotation`."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(rotation).as_euler("YXZ")


def head_rotation(angles: np.ndarray) -> np.ndarray:
    """Rotations (T, 3, 3) of the head from yaw, pitch and roll (T, 3) in radians, applied roll first.

    Positive yaw turns the face to the subject's left, positive pitch nods down, positive roll leans the head to the
    subject's right: right-handed turns about +y, +x and +z of the model frame.
    """
    from scipy.spatial.transform import Rotation

    return Rotation.from_euler("YXZ", np.asarray(angles, dtype=float).reshape(-1, 3)).as_matrix()
