"""What the user says about scans, held against each other and against the scans before anything is searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from headfield.errors import ConfigError, present
from headfield.fit.landmarks import place_by_landmarks, read_landmarks
from headfield.fit.options import FitOptions
from headfield.fit.placement import size_log_of, unit_of
from headfield.frames import UNITS_IN_METRES, length_text
from headfield.io.names import named_neutral
from headfield.models.prior import Prior
from headfield.neighbours import PointTree
from headfield.types import Scan

_STANDS = 0.5
"""An up axis and the head that landmarks place may be 60 degrees apart; people lean, and lie back."""

_OFF = 0.5
"""Landmarks lie on the surface or under its hair: at the median not farther away than this share of their spread."""

_HEAD_METRES = 0.23
"""Height of an average adult's head."""


def settled(scans: Sequence[Scan], options: FitOptions, prior: Prior) -> tuple[list[Scan], FitOptions, tuple[str, ...]]:
    """Scans and options that do not contradict each other, and what was decided, one sentence each.

    `FitOptions.neutral` is a tuple afterwards: the scans that were said to be neutral, or whose names say so.

    Args:
        scans: As read.
        options: What is known about them.
        prior: The model's, for the sizes of heads.
    Raises:
        ConfigError: Two of the hints, or a hint and the scan, cannot both be right.
    """
    scans = list(scans)
    for scan in scans:
        _check_unit(scan, options)
    options, notes = _with_neutral(scans, options)
    if options.landmarks is not None:
        scans[0], said = _beside_landmarks(scans[0], options, prior)
        notes += said
    return scans, options, tuple(notes)


def _check_unit(scan: Scan, options: FitOptions) -> None:
    """Refuse a unit beside a depth map, whose points have the unit that its values were read in."""
    if scan.viewpoint is not None and None not in (options.units, scan.units) and options.units != scan.units:
        raise ConfigError(
            f"{scan.name}: --units {options.units} and the depth map's own unit, {scan.units}, disagree. Leave --units "
            "out; if the depth was read in the wrong unit, give --depth-unit."
        )


def _with_neutral(scans: list[Scan], options: FitOptions) -> tuple[FitOptions, list[str]]:
    if options.neutral is None:
        named = tuple(index for index, scan in enumerate(scans) if named_neutral(scan.name))
        if len(scans) < 2 or not named or options.expression == "neutral":
            return replace(options, neutral=()), []
        told = " and ".join(scans[index].name for index in named)
        note = f"{told}: taken as neutral for the name; say otherwise with --neutral-scan none."
        return replace(options, neutral=named), [note]
    for index in options.neutral:
        if not 0 <= index < len(scans):
            raise ConfigError(f"neutral scan {index + 1}: there {'is' if len(scans) == 1 else 'are'} {len(scans)}.")
    if options.neutral and options.expression == "neutral":
        raise ConfigError(
            "--neutral-scan and --expression neutral disagree: the first says which of the scans are neutral (their "
            "blink and gaze stay free), the second holds every channel of all of them at zero. Give one of them."
        )
    return options, []


def _beside_landmarks(scan: Scan, options: FitOptions, prior: Prior) -> tuple[Scan, list[str]]:
    """Refuse landmarks that the scan, the unit or the up axis contradicts; a unit of the file's alone gives way."""
    landmarks = present(options.landmarks, "the file of landmarks")
    marks = read_landmarks(landmarks)[0]
    size_mean, size_sd = float(prior.size_mean), float(prior.size_sd)
    similarity = place_by_landmarks(landmarks, None, size_mean, size_sd).similarity
    _check_on_scan(scan, marks)
    stands = similarity.rotation[1]
    if options.up is not None:
        axis = "xyz".index(options.up[-1])
        along = -stands[axis] if options.up.startswith("-") else stands[axis]
        if along < _STANDS:
            place = int(np.argmax(np.abs(stands)))
            likely = ("-" if stands[place] < 0 else "") + "xyz"[place]
            raise ConfigError(
                f"{scan.name}: --up {options.up} and --landmarks disagree: by the landmarks the head stands along "
                f"{likely}. Leave --up out or give --up {likely}; if that is wrong, left and right or the names of the "
                "landmarks are mixed up."
            )
    known, likely = options.units or scan.units, unit_of(similarity.scale, size_mean, size_sd)
    if known is None or likely == known or abs(size_log_of(similarity.scale, known) - size_mean) < 4 * size_sd:
        return scan, []
    size = _HEAD_METRES * float(np.exp(size_log_of(similarity.scale, known)))
    said = f"read in {known}, the landmarks are those of a head {length_text(size)} tall"
    if options.units is not None:
        advice = f"leave --units out or give --units {likely}" if likely != "free" else "no other unit explains them"
        raise ConfigError(
            f"{scan.name}: --units {known} and --landmarks disagree: {said} (heads: 180 to 280 mm); {advice}."
        )
    used = f"{likely} was used" if likely != "free" else "no unit explains them, and the size was left free"
    return replace(scan, units=None), [f"The file says {known}, but {said}; {used}."]


def _check_on_scan(scan: Scan, marks: np.ndarray) -> None:
    """Refuse landmarks that lie nowhere near the scan: of another scan, or in another frame or unit."""
    tree = PointTree(scan.points)
    spread = float(np.linalg.norm(marks - marks.mean(0), axis=1).max())
    gap = float(np.median(tree.query(marks)[0]))
    spacing = float(np.median(tree.query(scan.points[:: max(1, len(scan.points) // 2000)], k=2)[0][:, 1]))
    if gap <= max(_OFF * spread, spacing):  # between the vertices of a coarse mesh is on it
        return
    low, high = marks.min(0), marks.max(0)
    where = f"they lie between {_place(low)} and {_place(high)}, the scan between "
    where += f"{_place(scan.points.min(0))} and {_place(scan.points.max(0))}"
    factors = {a / b for a in UNITS_IN_METRES.values() for b in UNITS_IN_METRES.values() if a != b}
    gaps = {factor: float(np.median(tree.query(factor * marks)[0])) / (factor * spread) for factor in factors}
    factor = min(gaps, key=gaps.__getitem__)
    advice = "Were they made on this file?"
    if gaps[factor] < 0.1:
        advice = f"Times {factor:g} they would lie on it: they are in another unit."
    raise ConfigError(
        f"{scan.name}: --landmarks and the scan disagree: {where}; expected landmarks in the scan's own frame and "
        f"unit. {advice}"
    )


def _place(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in point) + ")"
