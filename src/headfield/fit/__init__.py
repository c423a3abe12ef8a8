"""Fitting: a scan, depth map, sequence or folder to codes, placement and errors.

The room is callable, so that ``headfield.fit("scan.ply")`` is the one-line way in; see :func:`headfield.fit.run.fit`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from headfield.models import DEFAULT

if TYPE_CHECKING:
    from headfield.fit.result import Fit as Fit


class _FitRoom(ModuleType):
    """This package as a function: importing a sub-module binds ``headfield.fit`` to it, so it answers calls."""

    def __call__(self, scan, model=DEFAULT, options=None, **kwargs):
        """:func:`headfield.fit.run.fit` with the finder of faces that is installed, as the command line has it.

        Whoever wants none says ``face=None``; options that name one keep it.
        """
        from headfield.fit.pictures.align import face_finder
        from headfield.fit.run import fit

        if "face" not in kwargs and (options is None or options.face is None):
            kwargs["face"] = face_finder()
        return fit(scan, model, options, **kwargs)

    def __getattr__(self, name: str):
        if name == "Fit":
            from headfield.fit.result import Fit

            return Fit
        raise AttributeError(f"module 'headfield.fit' has no attribute {name!r}")


sys.modules[__name__].__class__ = _FitRoom
