"""The face in a raw scan: 68 landmarks and the anchors of the face, in any pose and unit (imHead, sec. 9).

The scan is looked at from directions all around and in every roll; where a detector sees a face, its mesh is lifted and
laid on the mean face. What does not lie like a face in space is not one (a face seen from inside, through a missing
back of the head, looks like one in the picture). The face found is then looked at from seven sides within 40 degrees,
and all views together say where each point is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headfield.errors import ScanError
from headfield.fit.pictures.detect import FaceDetector, mediapipe_detector
from headfield.fit.pictures.face_map import face_map
from headfield.fit.pictures.lift import Lifted, fuse, robust_similarity, sight
from headfield.fit.pictures.views import Subject, View, axes_around, camera_at, cropped, project, turned
from headfield.frames import ANCHOR_NAMES
from headfield.surface.sheet import contact_sheet
from headfield.surface.visibility import directions
from headfield.types import Scan, Similarity

FACE = np.array([0.0, -0.05, 0.10])
"""Middle of the face, model frame: what close views look at."""

CLOSE = 0.5
"""Radius of close views, model units (125 mm)."""

TOLERANCE = 0.015
"""Disagreement of a point's views, model units (4 mm), that halves the confidence in it."""

RING = ((0, 0), (-20, 0), (20, 0), (-40, 0), (40, 0), (0, 18), (0, -18))
"""Yaw and pitch, degrees, of the close views: the detector is good within 45 degrees."""

LEAST_VIEWS = 4
"""Close views that must show the face."""

ALIKE, ROUGHLY = 0.03, 0.06
"""Median distance of a face's mesh from the mean face, model units (7.5 and 15 mm), beyond which it is none: lifted
from many views, and from one."""

_SHOWN = 12


class NoFaceError(ScanError):
    """No face was found in a scan.

    Attributes:
        tried: (H, W, 3) uint8 picture of the views in which the detector saw most of a face.
    """

    def __init__(self, message: str, tried: np.ndarray) -> None:
        super().__init__(message)
        self.tried = tried


@dataclass(frozen=True)
class LandmarkOptions:
    """How the face is looked for."""

    hint: Similarity | None = None
    """Scan frame -> model frame if a guess is at hand, such as the fit's own search: looked at first."""
    directions: int = 30
    """Directions around the scan; each is tried in eight rolls."""
    size: int = 192
    """Pixels of the pictures for the search."""
    close_size: int = 256
    """Pixels of the pictures that landmarks are measured in."""
    sure: float = 0.78
    """Score from which a face is followed up at once; less sure ones wait until all directions were tried."""
    tries: int = 30
    """Faces that are followed up at most."""
    closer: bool = True
    """When no face is seen in pictures of the whole scan, look at parts of larger ones: it may be small in a scene."""
    seed: int = 0
    """Seed of the thinning of large clouds."""


@dataclass(frozen=True)
class FaceLandmarks:
    """Where a face is in a scan.

    Attributes:
        points: (68, 3) landmarks in the iBUG order, scan frame and unit, NaN where not found.
        confidence: (68,) in [0, 1].
        anchors: (39, 3) anchors of the face in the order of ANCHOR_NAMES, NaN for all others and where not found.
        anchor_confidence: (39,) in [0, 1].
        residual: Median spread of the mesh points over the views, scan units.
        tried: (H, W, 3) uint8 picture of the close views with what was found in them.
        similarity: Scan frame and unit -> model frame, from the whole mesh laid on the mean face.
        unlike: Median distance of the mesh from the mean face, model units.
    """

    points: np.ndarray
    confidence: np.ndarray
    anchors: np.ndarray
    anchor_confidence: np.ndarray
    residual: float
    tried: np.ndarray = field(repr=False)
    similarity: Similarity
    unlike: float = 0.0


@dataclass(frozen=True)
class _Glimpse:
    """A view with a score, waiting to be followed up."""

    view: View
    score: float


def find_landmarks(
    scan: Scan, options: LandmarkOptions | None = None, detector: FaceDetector | None = None
) -> FaceLandmarks:
    """Find the face in a scan.

    Args:
        scan: A mesh or a cloud, with or without colours and normals, in any frame and unit.
        options: How hard to look.
        detector: What finds faces in pictures; None is MediaPipe.
    Raises:
        NoFaceError: There is none; its `tried` shows what was looked at.
        MissingExtra: MediaPipe is not installed and no other detector was given.
    """
    options = options or LandmarkOptions()
    detector = detector or mediapipe_detector()
    subject = Subject(scan, options.seed)
    if options.hint is not None:
        found = _look_closely(subject, options.hint, detector, options)
        if found is not None:
            return found
    best: list[_Glimpse] = []
    tries = 0
    for parts in (1, 2) if options.closer else (1,):
        waiting: list[_Glimpse] = []
        for glimpse in _glimpses(subject, detector, options, parts):
            if glimpse.score < options.sure or tries >= options.tries // 2:
                waiting.append(glimpse)
                continue
            tries += 1
            best.append(glimpse)
            found = _followed(subject, glimpse.view, detector, options)
            if found is not None:
                return found
        waiting = sorted(waiting, key=lambda one: -one.score)
        best += waiting[:_SHOWN]
        for glimpse in waiting[: options.tries // parts - tries]:
            if glimpse.score <= 0:
                break
            tries += 1
            found = _followed(subject, glimpse.view, detector, options)
            if found is not None:
                return found
    best = sorted(best, key=lambda one: -one.score)[:_SHOWN]
    raise NoFaceError(
        f"{scan.name}: no face found. The scan was looked at from {options.directions} directions in 8 rolls each; "
        + (f"{tries} pictures looked like a face, none of them lies like one in space. " if tries else "")
        + "Expected a head with its face scanned; if it is one, crop the scan to the head, or give landmarks of your "
        "own (--landmarks file.json).",
        contact_sheet(
            [one.view.picture for one in best], 4, [f"score {one.score:.2f}" for one in best], "No face found in these"
        ),
    )


def _glimpses(subject: Subject, detector: FaceDetector, options: LandmarkOptions, parts: int):
    """Views from all around: of the whole scan, or parts of larger pictures for a face that is small in the scan."""
    for back in directions(options.directions):
        for half in (0.0, 45.0):
            camera = camera_at(subject.centre, _upright(back, half), subject.reach)
            view = subject.picture(camera, options.size * parts)
            pieces = [view]
            if parts == 2:
                steps = (0, options.size // 2, options.size)
                pieces = [cropped(view, row, column, options.size) for row in steps for column in steps]
            for piece in pieces:
                if np.isfinite(piece.depth).mean() > 0.05:
                    yield max(
                        (_Glimpse(one, detector.score(one)) for one in (turned(piece, k) for k in range(4))),
                        key=lambda glimpse: glimpse.score,
                    )


def _upright(back: np.ndarray, roll: float) -> np.ndarray:
    """Camera axes (3, 3) that look against a direction, rolled by degrees."""
    helper = np.eye(3)[np.argmin(np.abs(back))]
    right = np.cross(helper, back) / np.linalg.norm(np.cross(helper, back))
    c, s = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    up = np.cross(back, right)
    return np.stack([c * right + s * up, c * up - s * right, back])


def _followed(subject: Subject, view: View, detector: FaceDetector, options: LandmarkOptions) -> FaceLandmarks | None:
    """The face of a view, looked at closely, or None when it is not one."""
    placed = _laid(subject, [view], detector, 0.1 * view.camera.reach, ROUGHLY)
    return None if placed is None else _look_closely(subject, placed[1], detector, options)


def _look_closely(
    subject: Subject, guess: Similarity, detector: FaceDetector, options: LandmarkOptions
) -> FaceLandmarks | None:
    """The landmarks near a guess (scan -> model), or None when there is no face there."""
    for _ in range(2):  # the second look is from the front and at the right distance
        placed = _laid(subject, [_close(subject, guess, 0, 0, options)], detector, 0.1 / guess.scale, ROUGHLY)
        if placed is None:
            return None
        guess = placed[1]
    views = [_close(subject, guess, yaw, pitch, options) for yaw, pitch in RING]
    placed = _laid(subject, views, detector, TOLERANCE / guess.scale, ALIKE, LEAST_VIEWS)
    if placed is None:
        return None
    lifted, similarity, unlike, pairs = placed
    confidence = lifted.confidence(TOLERANCE / similarity.scale)
    mapped = face_map()
    points, sure = mapped.apply(lifted.points, confidence, similarity)
    anchors, anchor_sure = np.full((len(ANCHOR_NAMES), 3), np.nan), np.zeros(len(ANCHOR_NAMES))
    anchors[mapped.anchor_index()], anchor_sure[mapped.anchor_index()] = points[68:], sure[68:]
    return FaceLandmarks(
        points=points[:68],
        confidence=sure[:68],
        anchors=anchors,
        anchor_confidence=anchor_sure,
        residual=float(np.nanmedian(lifted.spread)),
        tried=contact_sheet([_marked(view, pixels) for view, pixels in pairs], 4),
        similarity=similarity,
        unlike=unlike,
    )


def _close(subject: Subject, guess: Similarity, yaw: float, pitch: float, options: LandmarkOptions) -> View:
    """A view of the face from a side."""
    back = guess.inverse()
    camera = camera_at(back.apply(FACE), axes_around(guess.rotation, yaw, pitch), CLOSE * back.scale)
    return subject.picture(camera, options.close_size)


def _laid(
    subject: Subject, views: list[View], detector: FaceDetector, tolerance: float, alike: float, least: int = 1
) -> tuple[Lifted, Similarity, float, list[tuple[View, np.ndarray]]] | None:
    """The face mesh lifted from views and laid on the mean face; None when too few see it or it lies like no face."""
    pairs = [(view, pixels) for view in views if (pixels := detector.mesh(view)) is not None]
    if len(pairs) < least:
        return None
    lifted = fuse(sight(subject, *(list(part) for part in zip(*pairs))), tolerance)
    known = np.isfinite(lifted.points).all(1)
    if known.mean() < 0.5:
        return None
    mean = face_map().mesh
    similarity, gap = robust_similarity(lifted.points, mean, np.maximum(lifted.agreement, 1e-3), 2 * TOLERANCE)
    unlike = float(np.nanmedian(gap))
    # a mesh shrunk to nothing is near to everything: measure the other way, too
    spread = np.linalg.norm(similarity.apply(lifted.points[known]) - FACE, axis=1).mean()
    if unlike > alike or spread < 0.5 * np.linalg.norm(mean - FACE, axis=1).mean():
        return None
    return lifted, similarity, unlike, pairs


def _marked(view: View, pixels: np.ndarray) -> np.ndarray:
    """The view's picture with dots at pixels."""
    picture = view.picture.copy()
    column, row = np.clip(np.round(pixels - 0.5).astype(int), 0, len(picture) - 1).T
    picture[row, column] = (20, 110, 220)
    return picture


def landmark_picture(scan: Scan, found: FaceLandmarks, size: int = 420) -> np.ndarray:
    """The scan from three sides with its landmarks (blue) and anchors (orange): (H, W, 3) uint8."""
    from PIL import Image, ImageDraw

    subject = Subject(scan)
    options = LandmarkOptions(close_size=size)
    pictures = []
    for yaw in (-35, 0, 35):
        view = _close(subject, found.similarity, yaw, 0, options)
        picture = Image.fromarray(view.picture)
        draw = ImageDraw.Draw(picture)
        for points, colour, radius in ((found.points, (20, 90, 200), 2), (found.anchors, (235, 110, 20), 3)):
            known = np.isfinite(points).all(1)
            for x, y in project(view.camera, points[known], size)[0]:
                draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        pictures.append(np.asarray(picture))
    return contact_sheet(pictures, 3)
