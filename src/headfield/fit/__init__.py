"""Fitting: a scan, depth map, sequence or folder to codes, placement and errors.

The room is callable, so that ``headfield.fit("scan.ply")`` is the one-line way in; see :func:`headfield.fit.run.fit`.
"""

from __future__ import annotations

import sys
from types import ModuleType


class _FitRoom(ModuleType):
    """This package as a function: importing a sub-module binds ``headfield.fit`` to it, so it answers calls."""

    def __call__(self, *args, **kwargs):
        from headfield.curate.align import face_finder  # only here: the room itself knows nothing of those below
        from headfield.fit.run import fit

        if kwargs.get("options") is None and len(args) < 3:
            kwargs.setdefault("face", face_finder())
        return fit(*args, **kwargs)

    def __getattr__(self, name: str):
        if name == "Fit":
            from headfield.fit.result import Fit

            return Fit
        raise AttributeError(f"module 'headfield.fit' has no attribute {name!r}")


sys.modules[__name__].__class__ = _FitRoom
