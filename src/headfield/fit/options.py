"""What is known about scans and how to fit them, as one dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from headfield.errors import ConfigError
from headfield.fit.problem import SolverOptions
from headfield.frames import UNITS_IN_METRES
from headfield.io.crop import Box, as_box
from headfield.types import Scan, Similarity


@dataclass(frozen=True)
class FitOptions:
    """What is known about the scans and how to fit them."""

    units: str | None = None
    """Unit of the scans: mm, cm, m or inch; None finds it."""
    up: str | None = None
    """Axis of the scans that points to the crown: x, y, z, -x, -y, -z; None finds it."""
    landmarks: str | Path | None = None
    """JSON file of landmarks of the (first) scan, see :func:`headfield.fit.landmarks.read_landmarks`."""
    face: Callable[[Scan], Similarity | None] | None = None
    """Where a scan's face is by other means (scan frame -> model frame), None when it sees none; asked when the search
    is in doubt. See :func:`headfield.fit.pictures.align.face_finder`."""
    crop: Box | None = None
    """Box (x0, y0, z0, x1, y1, z1) in the frame and unit of the (one) scan; what lies outside of it is left out."""
    neutral: tuple[int, ...] | None = None
    """Numbers, from 0, of the scans said to be neutral: their faces are held, their blink and gaze stay free. None asks
    the names of several scans (``neutral.ply``), an empty tuple does not."""
    expression: str = "auto"
    """auto: solved when the scan asks for it; neutral: held at zero; fit: always solved."""
    points: int = 5000
    """Scan points around the head that the solver uses."""
    seed: int = 0
    """Seed of the choice of points."""
    candidates: int = 10
    """Most placements that are tried with a short fit; a face that is confirmed in its place ends the search."""
    refuse: bool = True
    """Raise NotAHeadError when the evidence says so; otherwise only note it."""
    method: str = "lm"
    """lm, or adam (the papers' schedule, slow; the baseline)."""
    solver: SolverOptions = field(default_factory=SolverOptions)
    """The solver's settings."""


def _numbers(neutral) -> tuple[int, ...]:
    """Numbers of scans, from 0.

    Raises:
        ConfigError: Something else.
    """
    given = (neutral,) if isinstance(neutral, int) and not isinstance(neutral, bool) else neutral
    if isinstance(given, (tuple, list)) and all(type(index) is int or hasattr(index, "__index__") for index in given):
        return tuple(int(index) for index in given)
    raise ConfigError(f"neutral={neutral!r}: expected the numbers, from 0, of the scans that are neutral, as (0,).")


def checked(options: FitOptions | None, changes: dict) -> FitOptions:
    """Options with some fields changed.

    Raises:
        ConfigError: A field or value that is unknown.
    """
    options = options or FitOptions()
    try:
        options = replace(options, **changes)
    except TypeError as error:
        known = ", ".join(FitOptions.__dataclass_fields__)
        raise ConfigError(f"unknown fit option ({error}); known are {known}.") from error
    if options.expression not in ("auto", "neutral", "fit"):
        raise ConfigError(f"unknown expression mode {options.expression!r}: expected auto, neutral or fit.")
    if options.method not in ("lm", "adam"):
        raise ConfigError(f"unknown method {options.method!r}: expected lm or adam.")
    if options.units is not None and options.units not in UNITS_IN_METRES:
        raise ConfigError(f"unknown unit {options.units!r}: expected one of {', '.join(UNITS_IN_METRES)}.")
    if options.crop is not None:
        options = replace(options, crop=tuple(as_box(options.crop).ravel().tolist()))
    if options.neutral is not None:
        options = replace(options, neutral=_numbers(options.neutral))
    return options
