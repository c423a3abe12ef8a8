"""Fitting again what a saved fit was fitted to: its scans as they were read, where their heads were found."""

from __future__ import annotations

from dataclasses import replace

from headfield.errors import ConfigError
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement
from headfield.fit.placing import Placed
from headfield.fit.result import Fit
from headfield.fit.scan_fit import ScanFit
from headfield.frames import UNITS_IN_METRES
from headfield.types import Scan

_ABOUT_FILES = ("units", "up", "landmarks", "crop")
"""Options that say something of a scan's file or help to find the head in it."""


def scans_of(fit: Fit) -> list[Scan]:
    """The scans of a fit, as far as it keeps them: points around the head (up to 100,000) and their colours."""
    return [
        Scan(
            one.all_points,
            colours=one.colours,
            units=one.units if one.units in UNITS_IN_METRES else None,
            name=one.name,
        )
        for one in fit.scans
    ]


def placed_again(fit: Fit) -> list[Placed]:
    """The heads in the scans of a fit where it put them, from where the solver goes on.

    They are not searched for again: what led to them (landmarks, an up axis, a crop) is not in the file, and the model
    frame is the same for all weights.
    """
    # evidence of the search is kept of the first scan only
    search = {key[len("search_") :]: value for key, value in fit.evidence.items() if key.startswith("search_")}
    return [
        Placed(one.all_points, _placement(one, search if index == 0 else {}), ()) for index, one in enumerate(fit.scans)
    ]


def options_again(fit: Fit, options: FitOptions) -> FitOptions:
    """Options with what a fit knows: which of its scans were said to be neutral.

    Raises:
        ConfigError: Options about a scan's file, which the fit is not.
    """
    given = [name for name in _ABOUT_FILES if getattr(options, name) is not None]
    if given:
        raise ConfigError(
            f"--{given[0]} is about a scan's file, and this is a saved fit, whose head was found already: leave it "
            "out, or give the scan itself."
        )
    if options.neutral is not None or options.expression == "neutral":
        return options
    return replace(options, neutral=tuple(index for index, one in enumerate(fit.scans) if one.said_neutral))


def notes_again(fit: Fit, name: str) -> tuple[str, ...]:
    """What was noticed when the scans were read and placed, and that they were not read again."""
    count = sum(len(one.all_points) for one in fit.scans)
    return (*fit.notes, f"Fitted again to the {count:,} points that {name} holds, starting where it had put the head.")


def _placement(one: ScanFit, evidence: dict[str, float]) -> Placement:
    return Placement(one.placement, one.units, one.size_log, evidence.get("cost", 0.0), evidence)
