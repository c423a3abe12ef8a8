"""What tracking returns: one identity, and a head pose, an expression and a mark for every frame."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headfield.errors import ScanError
from headfield.fit.made_with import made_with
from headfield.fit.placement import size_log_of
from headfield.io import guard
from headfield.io.arrays import npz
from headfield.models.fingerprint import Fingerprint
from headfield.types import Similarity

_VERSION = 1

LEFT, LOST, FOUND = "left the view", "lost", "found again"
"""Marks beside those of reading (:mod:`headfield.io.depth_video`): no face was where it could be; something was there
that is not explained; the first frame after either."""


@dataclass
class Take:
    """A tracked depth video of T frames.

    Attributes:
        name: Of the video.
        model_name: Name, folder or hub id of the model.
        fps: Frames per second.
        identity: (D,) identity code.
        names: T names of frames.
        units: Unit of the depth maps' points: mm, cm, m or inch; ``free`` when none explains the head's size.
        placements: T transforms from the camera's frame (y up, looking along -z) to the model frame, all of one scale.
        expression: (T, E) expression numbers of the model.
        channels: What those mean, the kind of the model's expression space.
        error_mm: (T,) median unsigned distance from the face's points to the head, true millimetres; nan of a frame in
            which no face was seen.
        explained: (T,) share of the face's points within 4 mm of the head; 0 where no face was seen.
        marks: T marks: empty where the face was tracked; ``missing``, ``black`` or ``damaged`` where there is no
            picture; ``left the view`` or ``lost`` where there is no face in it; ``found again`` of the first after.
        keys: Numbers, from 0, of the frames that the identity was found from.
        seconds: Seconds by stage: identity, frames, smoothing.
        notes: What happened on the way, one sentence each.
        weights: Fingerprint of the weights that it was made with.
    """

    name: str
    model_name: str
    fps: float
    identity: np.ndarray
    names: tuple[str, ...]
    units: str
    placements: tuple[Similarity, ...]
    expression: np.ndarray
    channels: str
    error_mm: np.ndarray
    explained: np.ndarray
    marks: tuple[str, ...]
    keys: tuple[int, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    weights: Fingerprint | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        seen = int(self.seen.sum())
        return (
            f"Take({self.name}, {len(self)} frames at {self.fps:g} per second, {seen} with a face; {self.model_name})"
        )

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool: frames in which the face was seen; the others are bridged."""
        return np.array([mark in ("", FOUND) for mark in self.marks])

    @property
    def times(self) -> np.ndarray:
        """(T,) seconds from the first frame."""
        return np.arange(len(self)) / self.fps

    @property
    def rotation(self) -> np.ndarray:
        """(T, 3, 3) how the head is turned, seen from the camera: the identity faces it upright."""
        return np.array([placement.rotation.T for placement in self.placements])

    def to_dict(self) -> dict[str, Any]:
        """What ``take.json`` holds."""
        size = size_log_of(self.placements[0].scale, self.units)
        frames = [
            {
                "name": name,
                "mark": mark,
                "placement": placement.matrix().tolist(),
                "expression": [float(value) for value in numbers],
                "error_mm": float(error) if np.isfinite(error) else None,
                "explained": float(share),
            }
            for name, mark, placement, numbers, error, share in zip(
                self.names, self.marks, self.placements, self.expression, self.error_mm, self.explained
            )
        ]
        return {
            "name": self.name,
            "model": self.model_name,
            "weights": None if self.weights is None else self.weights.to_dict(),
            "fps": self.fps,
            "units": self.units,
            "size_relative_to_adult": float(np.exp(size)) if self.units != "free" else None,
            "identity": [float(value) for value in self.identity],
            "channels": self.channels,
            "keys": list(self.keys),
            "seconds": {key: float(value) for key, value in self.seconds.items()},
            "notes": list(self.notes),
            "frames": frames,
        }

    def save(self, path: str | Path) -> Path:
        """Write ``take.npz`` (no pickle); the file appears whole or not at all. The suffix .npz is added if missing."""
        from headfield.io.mesh import write_bytes

        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
        plain = ("name", "fps", "units", "channels", "seconds")
        header = {key: getattr(self, key) for key in plain} | {
            "take": _VERSION,
            "model": self.model_name,
            "weights": None if self.weights is None else self.weights.to_dict(),
            **{key: list(getattr(self, key)) for key in ("names", "marks", "keys", "notes")},
        }
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            header=np.array(json.dumps(header)),
            identity=self.identity,
            placements=np.array([placement.matrix() for placement in self.placements]),
            expression=self.expression,
            error_mm=self.error_mm,
            explained=self.explained,
        )
        write_bytes(path, buffer.getvalue())
        return path

    @staticmethod
    def load(path: str | Path) -> Take:
        """Read a saved take; nothing in the file is executed.

        Args:
            path: ``take.npz``, or the folder in which `headfield fit --sequence` wrote it.
        Raises:
            ScanError: Not a take, damaged, or of a newer version.
        """
        path = Path(path) / "take.npz" if Path(path).is_dir() else Path(path)
        wanted = "give the take.npz that `headfield fit --sequence` wrote"
        with guard.reading(path, "a take", ScanError, f"{wanted[0].upper()}{wanted[1:]}."), npz(path) as file:
            header = guard.json_of(path, raw=str(file["header"]).encode()) if "header" in file else {}
            if "take" not in header:
                raise ScanError(f"{path}: not a take; {wanted}.")
            if header["take"] > _VERSION:
                raise ScanError(f"{path}: written by a newer headfield (version {header['take']}); update first.")
            return Take(
                header["name"],
                header["model"],
                float(header["fps"]),
                file["identity"],
                tuple(header["names"]),
                header["units"],
                tuple(Similarity.from_matrix(matrix) for matrix in file["placements"]),
                file["expression"],
                header["channels"],
                file["error_mm"],
                file["explained"],
                tuple(header["marks"]),
                tuple(header["keys"]),
                dict(header["seconds"]),
                tuple(header["notes"]),
                made_with(header["weights"], header["model"]),
            )
