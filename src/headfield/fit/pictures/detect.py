"""A face in a picture: MediaPipe's detectors behind a small interface, so that another can take their place."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Protocol

import numpy as np

from headfield.errors import need
from headfield.fit.pictures.views import View

MESH_POINTS = 478
"""Points of MediaPipe's face mesh with both irises."""

LEAST_SCORE = 0.3
"""Faces that the detector is less sure of are not reported."""


class FaceDetector(Protocol):
    """What finds a face in a view. Only near-frontal faces that stand about upright need be found (45 degrees)."""

    def score(self, view: View) -> float:
        """How sure it is that there is a face in the view, 0 (none) to 1; quick."""
        ...

    def mesh(self, view: View) -> np.ndarray | None:
        """Pixels (478, 2), column and row, of the mesh points of the surest face; None when there is none."""
        ...


class MediaPipeDetector:
    """MediaPipe 0.10.14's short-range face detector and face mesh; its models come in its wheel, nothing is fetched."""

    def __init__(self) -> None:
        """Load both models, about a second.

        Raises:
            MissingExtra: MediaPipe is not installed.
        """
        with _quiet():
            solutions = need("mediapipe", "landmarks", "Finding landmarks").solutions
            self._faces = solutions.face_detection.FaceDetection(
                model_selection=0, min_detection_confidence=LEAST_SCORE
            )
            self._meshes = solutions.face_mesh.FaceMesh(
                static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=LEAST_SCORE
            )
            blank = np.full((64, 64, 3), 200, dtype=np.uint8)
            self._faces.process(blank)
            self._meshes.process(blank)

    def score(self, view: View) -> float:
        """The detector's score of the surest face."""
        found = _asked(self._faces, view).detections
        return max((float(face.score[0]) for face in found), default=0.0) if found else 0.0

    def mesh(self, view: View) -> np.ndarray | None:
        """The face mesh's points in pixels."""
        found = _asked(self._meshes, view).multi_face_landmarks
        if not found:
            return None
        height, width = view.picture.shape[:2]
        return np.array([(point.x * width, point.y * height) for point in found[0].landmark])


def _asked(solution, view: View):
    """A MediaPipe solution's answer to a picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # protobuf's word to mediapipe about its calls, not to users
        return solution.process(view.picture)


@cache
def mediapipe_detector() -> MediaPipeDetector:
    """MediaPipe's detectors, loaded once in a process.

    Raises:
        MissingExtra: MediaPipe is not installed.
    """
    return MediaPipeDetector()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing reaches the standard error stream: the libraries below write to it directly when they load a model."""
    try:
        sys.stderr.flush()
        kept = os.dup(2)
    except (OSError, ValueError, AttributeError):  # no such stream
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.dup2(nowhere.fileno(), 2)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
