"""Where the head is in a raw scan, from the landmarks of its face, or from nothing.

A similarity from the face's mesh (:mod:`headfield.fit.pictures.lift`) is settled by a short fit of the model, which
knows that people differ; rigid registration to a mean head does not, and makes it worse (docs/landmarks.md has the
numbers). Without landmarks the fit's own search does the same from every rotation and unit. One mechanism, two starts.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.fit.mean_field import mean_field_of
from headfield.fit.options import FitOptions
from headfield.fit.pictures.detect import FaceDetector
from headfield.fit.pictures.landmarks import FaceLandmarks, LandmarkOptions, NoFaceError, find_landmarks
from headfield.fit.placement import Placement
from headfield.fit.placing import surface_points
from headfield.fit.run import find_head
from headfield.fit.trial import placement_of_face, tried
from headfield.models import DEFAULT
from headfield.models.protocol import HeadModel
from headfield.types import Scan, Similarity


def align(
    scan: Scan,
    landmarks: FaceLandmarks | None = None,
    model: str | Path | HeadModel = DEFAULT,
    options: FitOptions | None = None,
) -> Placement:
    """Where the head is: scan frame and unit -> model frame; unit, size and up are found.

    Args:
        scan: The scan.
        landmarks: Of its face, see :func:`headfield.fit.pictures.landmarks.find_landmarks`; None searches without.
        model: A model's name, folder or hub id, or a loaded model.
        options: Its unit when known, and the seed.
    Raises:
        ScanError: There are too few points, or none around the head.
    """
    options = options or FitOptions()
    if isinstance(model, str):
        from headfield.models.release import load

        model = load(model)
    if landmarks is None:
        return find_head(scan, model, options)[0]
    points = surface_points(scan, seed=options.seed)
    cloud = Scan(points[np.isfinite(points).all(axis=1)], name=scan.name)
    field = mean_field_of(model)
    start = placement_of_face(model, landmarks.similarity, options.units or scan.units)
    found = tried(model, field, cloud, start, options.seed)
    if found.trust < -0.5:
        raise ScanError(f"{scan.name}: hardly any points lie around the head whose face was found.")
    return found.placement


def face_finder(detector: FaceDetector | None = None) -> Callable[[Scan], Similarity | None] | None:
    """What tells the fit where a face is when its search is in doubt (`FitOptions.face`).

    Args:
        detector: What finds faces in pictures; None is MediaPipe.
    Returns:
        A function scan -> similarity (scan frame -> model frame) or None; None itself when MediaPipe is not installed.
    """
    if detector is None and find_spec("mediapipe") is None:
        return None

    def find(scan: Scan) -> Similarity | None:
        try:
            return find_landmarks(scan, LandmarkOptions(closer=False), detector).similarity
        except NoFaceError:
            return None

    return find
