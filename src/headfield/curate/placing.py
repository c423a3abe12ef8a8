"""The first two stages, of one scan: where the landmarks of its face are, and from them where its head is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headfield.curate.options import CurateOptions
from headfield.curate.pictures import SIZE, scan_picture, tried_picture
from headfield.curate.records import Made, RejectedError
from headfield.curate.stages import Arrays, placement_arrays, placement_of
from headfield.curate.subjects import RawScan
from headfield.errors import ConfigError, ScanError
from headfield.types import Scan

if TYPE_CHECKING:
    from headfield.fit.pictures.landmarks import FaceLandmarks


def face_of(scan: Scan, raw: RawScan, options: CurateOptions) -> Made:
    """The 68 landmarks of a scan; nothing when the user's own file says where the head is, or the options ask not to.

    Raises:
        NoFaceError: There is none; carries a picture of what was tried.
        MissingExtra: mediapipe is not installed.
    """
    if options.landmarks == "search" or raw.landmarks is not None:
        return Made()
    from headfield.fit.pictures.landmarks import find_landmarks, landmark_picture

    found = find_landmarks(scan)
    arrays = {
        "points": found.points,
        "confidence": found.confidence,
        "anchors": found.anchors,
        "anchor_confidence": found.anchor_confidence,
        "residual": np.array(found.residual),
    }
    sides = landmark_picture(scan, found, SIZE)
    front = sides[:, sides.shape[1] // 3 : 2 * sides.shape[1] // 3]
    return Made(arrays | placement_arrays(found.similarity), {}, front)


def align_scan(scan: Scan, raw: RawScan, landmarks: Arrays, options: CurateOptions) -> Made:
    """Where the head is: scan frame and unit -> model frame.

    Raises:
        RejectedError: There is no head in the scan, or hardly any points; carries a picture of the scan.
    """
    from headfield.fit.landmarks import read_landmarks
    from headfield.fit.options import FitOptions
    from headfield.fit.pictures.align import align
    from headfield.fit.run import find_head, fit_placed
    from headfield.models.release import load

    up = None if raw.up is None else raw.up.lstrip("+")
    known = FitOptions(units=scan.units, up=up, landmarks=raw.landmarks, seed=options.seed)
    model, notes = load(options.model), tuple(scan.notes)
    if raw.landmarks is not None:
        try:
            read_landmarks(raw.landmarks)
        except ConfigError as error:  # one bad file among thousands is that scan's
            raise RejectedError(str(error), tried_picture(scan)) from error
    try:
        if landmarks:
            placement = align(scan, _face(landmarks), model, known)
        else:
            placement, notes = find_head(scan, model, known)
        if not landmarks and raw.landmarks is None:  # no face was seen: the fit says whether this is a head
            fit_placed([scan], [placement], model, known)
    except (ConfigError, ScanError) as error:
        raise RejectedError(str(error), tried_picture(scan)) from error
    facts = {"units": placement.units, "size_log": float(placement.size_log), "notes": list(notes)}
    return Made(placement_arrays(placement.similarity), facts, scan_picture(scan, placement.similarity))


def _face(arrays: Arrays) -> FaceLandmarks:
    """The landmarks back from their arrays, without the picture."""
    from headfield.fit.pictures.landmarks import FaceLandmarks

    return FaceLandmarks(
        arrays["points"],
        arrays["confidence"],
        arrays["anchors"],
        arrays["anchor_confidence"],
        float(arrays["residual"]),
        np.zeros((0, 0, 3), np.uint8),
        placement_of(arrays),
    )
