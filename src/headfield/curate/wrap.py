"""Retopology: a template of any topology onto a head scan, by the fit's own search, then by non-rigid ICP.

Scan and template are both fitted with the head model, which finds pose, unit and size of either and gives 39 anchors on
each: so the template starts at the right place and its face leads to the scan's face. The scan itself is the target
where it saw anything, and the fitted head where it did not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from headfield.curate.nicp import Landmarks, NicpOptions, Registration, register
from headfield.curate.scan_surface import NEIGHBOURS
from headfield.curate.template_parts import prepare
from headfield.errors import ConfigError, NotAHeadError, present
from headfield.fit.landmarks import place_by_landmarks, read_landmarks
from headfield.fit.mean_field import MeanField, mean_field_of
from headfield.fit.options import FitOptions
from headfield.fit.placement import millimetres_per_unit
from headfield.fit.result import Fit
from headfield.fit.run import fit
from headfield.fit.scan_fit import HEAD_REACH_MM
from headfield.fit.shoulders import on_body
from headfield.frames import MM_PER_UNIT, REGIONS, UNITS_IN_METRES, anchor_indices
from headfield.models import DEFAULT
from headfield.models.protocol import HeadModel
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import estimated_normals
from headfield.surface.nearest import Target
from headfield.types import Mesh, Scan, Similarity

_LEADING = ("nose", "mouth", "left_eye", "right_eye", "left_brow", "right_brow", "left_cheek", "right_cheek",
            "left_ear", "right_ear", "left_temple", "right_temple", "chin", "jaw")  # fmt: skip
LEADING_ANCHORS = anchor_indices(sorted({name for region in _LEADING for name in REGIONS[region]}))
"""Anchors that lead the template: those of the face, jaw and ears, which hair seldom covers."""

STRAY = 5.0
"""A point whose eighth neighbour is this many times farther away than the median is no part of a surface."""

Say = Callable[[str, float], None]


@dataclass(frozen=True)
class WrapOptions:
    """How a template is wrapped round a scan."""

    fit: FitOptions = field(default_factory=FitOptions)
    """What is known about the scan."""
    template_units: str | None = None
    """Unit of the template; None finds it."""
    template_landmarks: str | None = None
    """JSON file of landmarks of the template in its own frame and unit; with it the template is not fitted."""
    aligned: bool = False
    """The template lies on the scan already, in its frame and unit: nothing is searched or fitted."""
    resolution: int = 160
    """Samples along the longest side of the model's box for the head that fills what the scan did not see."""
    nicp: NicpOptions = field(default_factory=NicpOptions)
    """The registration."""


@dataclass(frozen=True)
class Wrapped:
    """A template round a scan.

    Attributes:
        vertices: (V, 3) in the order of the template, in the frame and unit of the scan.
        placed: (V, 3) the template before it was bent, in the same frame.
        registration: What the registration says; its vertices are in the working frame.
        target: What was wrapped, working frame: the scan's points or mesh around the head.
        support: The fitted head, working frame; None when nothing was fitted.
        working: Scan frame and unit -> working frame (the model frame; the scan's own when aligned).
        units: Unit of the scan, ``free`` when no unit explains its size.
        mm_per_unit: Millimetres of one unit of the working frame.
        notes: What happened on the way.
    """

    vertices: np.ndarray
    placed: np.ndarray
    registration: Registration
    target: Mesh
    support: Mesh | None
    working: Similarity
    units: str
    mm_per_unit: float
    notes: tuple[str, ...] = ()


def wrap(
    target: Scan | Fit,
    template: Mesh,
    model: str | Path | HeadModel | None = DEFAULT,
    options: WrapOptions | None = None,
    *,
    progress: Say | None = None,
) -> Wrapped:
    """Wrap a template round a scan, or round the head of a fit.

    Args:
        target: The scan, or a fit of one.
        template: In any frame and unit.
        model: A model's name, folder or hub id, or a loaded model; a fit brings its own.
        options: See :class:`WrapOptions`.
        progress: Called with what is being done and the share of it that is done.
    Raises:
        ScanError: The template has no faces, or the two do not overlap.
        NotAHeadError: No head was found in the scan or in the template; the message says in which.
        ConfigError: Options that contradict each other.
    """
    options = options or WrapOptions()
    say = progress or (lambda what, share: None)
    if options.aligned:
        if isinstance(target, Fit):
            surface, scan_units = target.mesh(options.resolution), target.units
        else:
            surface, scan_units = _as_mesh(target), options.fit.units or target.units
        found = _aligned(surface, template, scan_units)
    else:
        found = _fitted(target, template, model, options, say)
    share = lambda done: say("Wrapping", done)  # noqa: E731
    registration = register(
        Mesh(found.placed, template.triangles),
        found.target,
        landmarks=found.landmarks,
        options=options.nicp,
        support=found.support,
        mm_per_unit=found.mm_per_unit,
        progress=share,
    )
    back = found.working.inverse()
    return Wrapped(
        back.apply(registration.vertices),
        back.apply(found.placed),
        registration,
        found.target,
        found.support,
        found.working,
        found.units,
        found.mm_per_unit,
        found.notes,
    )


@dataclass(frozen=True)
class _Found:
    """Scan and template in one frame."""

    placed: np.ndarray
    target: Mesh
    support: Mesh | None
    landmarks: Landmarks | None
    working: Similarity
    units: str
    mm_per_unit: float
    notes: tuple[str, ...] = ()


def _as_mesh(scan: Scan) -> Mesh:
    triangles = np.zeros((0, 3), dtype=np.int64) if scan.triangles is None else scan.triangles
    return Mesh(scan.points, triangles, scan.normals)


def _aligned(surface: Mesh, template: Mesh, units: str | None) -> _Found:
    size = float(np.linalg.norm(np.ptp(np.asarray(template.vertices, float), axis=0)))
    if units not in UNITS_IN_METRES:
        fitting = [name for name, metres in UNITS_IN_METRES.items() if 0.2 <= size * metres <= 1.0]
        if not fitting:
            raise ConfigError(
                f"the template's diagonal is {size:.4g}: in none of {', '.join(UNITS_IN_METRES)} the size of a head "
                "(0.2 to 1 m). Give --units, or leave out --aligned so that the template is placed by itself."
            )
        units = min(fitting, key=lambda name: abs(np.log(size * UNITS_IN_METRES[name] / 0.42)))
    mm = UNITS_IN_METRES[units] * 1000.0
    return _Found(np.asarray(template.vertices, float), surface, None, None, Similarity(), units, mm)


def _fitted(target: Scan | Fit, template: Mesh, model, options: WrapOptions, say: Say) -> _Found:
    if isinstance(target, Fit):
        found, surface = target, None
    else:
        stages = {"read": "Reading the scan", "align": "Finding the head in the scan", "solve": "Fitting the scan"}
        found = fit(target, model, options.fit, progress=lambda stage, share: say(stages.get(stage, stage), share))
        surface = _as_mesh(target)
    seen = found.scans[0]
    say("Making the head under the scan", 0.0)
    support = found.mesh(options.resolution, model_frame=True)
    notes = list(found.notes)
    if options.template_landmarks is not None:
        prior = found.model.prior
        placement = place_by_landmarks(
            options.template_landmarks, options.template_units, float(prior.size_mean), float(prior.size_sd)
        ).similarity
        placed = placement.apply(template.vertices)
        landmarks = _shared_landmarks(options, placement, placed, template, seen.placement)
        if landmarks is None:
            notes.append("Only one side has landmarks, or they share no name: they placed it, but do not lead it.")
    else:
        other = _fit_template(template, found.model, options, say)
        placed = other.placement.apply(template.vertices)
        landmarks = _anchor_landmarks(other, found, Mesh(placed, template.triangles))
    mean = mean_field_of(found.model)
    bust = on_body(placed, mean).any()
    near = _around(surface, seen, support, None if bust else mean)
    if near is None:
        near, support = support, None
        notes.append("The fit keeps no points of its scan near the head: its own surface was wrapped.")
    mm = millimetres_per_unit(seen.placement.scale, seen.units)
    return _Found(placed, near, support, landmarks, seen.placement, seen.units, mm, tuple(dict.fromkeys(notes)))


def _around(surface: Mesh | None, seen, support: Mesh, mean: MeanField | None) -> Mesh | None:
    """The scan around the fitted head, in the model frame, without strays, its normals turned outwards; None if there
    is nothing of it. With a mean head, without the shoulders either: a template that has none would climb them."""
    reach = HEAD_REACH_MM / MM_PER_UNIT

    def on_head(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        distance, nearest = PointTree(support.vertices).query(points, distance_upper_bound=reach)
        close = distance < reach
        if mean is not None:
            close &= ~on_body(points, mean)
        return close, nearest

    if surface is not None and len(surface.triangles):
        placed = surface.transformed(seen.placement)
        kept = placed.triangles[on_head(placed.vertices)[0][placed.triangles].all(1)]
        if len(kept):
            return Mesh(placed.vertices, kept)
    points = seen.placement.apply(seen.all_points if surface is None else surface.vertices)
    normals = None if surface is None or surface.normals is None else seen.placement.rotate(surface.normals)
    keep, nearest = on_head(points)
    if keep.sum() <= NEIGHBOURS:
        return None
    spacing = PointTree(points[keep]).query(points[keep], k=NEIGHBOURS)[0][:, -1]
    keep[keep] = spacing < STRAY * np.median(spacing)
    points = points[keep]
    outward = present(support.normals, "normals")[nearest[keep]]  # of points out of reach there is no nearest
    if normals is None:
        normals = estimated_normals(points)
        normals = np.where(((normals * outward).sum(1) < 0)[:, None], -normals, normals)
    else:
        normals = normals[keep]
    return Mesh(points, np.zeros((0, 3), dtype=np.int64), normals)


def _fit_template(template: Mesh, model, options: WrapOptions, say: Say) -> Fit:
    """The model fitted to what can be seen of the template."""
    parts = prepare(template)
    visible = parts.skin.triangles[parts.seen[parts.skin.triangles].all(1)]
    scan = Scan(parts.skin.vertices, None, visible, name="the template", units=options.template_units)
    settings = replace(options.fit, landmarks=None, units=options.template_units, up=None)
    try:
        return fit(scan, model, settings, progress=lambda stage, share: say("Fitting the template", share))
    except NotAHeadError as error:
        raise NotAHeadError(
            f"{error} This was said of the template: give --template-landmarks (and --landmarks) with a few named "
            "places, or place it on the scan by hand and give --aligned."
        ) from error


def _posed_anchors(found: Fit) -> np.ndarray:
    """The fit's anchors (39, 3) with its expression, model frame."""
    from headfield.surface.inverse_warp import from_canonical

    codes = found.codes()
    neutral = found.model.anchors(codes)[0].detach().double().cpu().numpy()
    return from_canonical(found.model, neutral, codes).points


def _anchor_landmarks(template: Fit, scan: Fit, placed: Mesh) -> Landmarks:
    """Where the template's leading anchors lie on it, and where the scan's are."""
    _, place = Target(placed).closest(_posed_anchors(template)[LEADING_ANCHORS])
    return (place.triangle, place.barycentric), _posed_anchors(scan)[LEADING_ANCHORS]


def _shared_landmarks(options: WrapOptions, placement: Similarity, placed, template: Mesh, scan: Similarity):
    """Landmarks that both files name: places on the template, and points on the scan; None if there are none."""
    if options.fit.landmarks is None:
        return None
    here, which = read_landmarks(present(options.template_landmarks, "the template's landmarks"))
    there, names = read_landmarks(options.fit.landmarks)
    # a landmark's place on the reference head is its name
    same = (which[:, None] == names[None]).all(axis=2)
    mine, theirs = np.nonzero(same)
    if not len(mine):
        return None
    _, place = Target(Mesh(placed, template.triangles)).closest(placement.apply(here[mine]))
    return (place.triangle, place.barycentric), scan.apply(there[theirs])
