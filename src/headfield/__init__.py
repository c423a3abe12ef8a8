"""headfield: implicit morphable head models, from any head scan to a complete, editable head."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headfield.fit.fit import Fit, fit
    from headfield.models.release import load

_LAZY = {"fit": "headfield.fit.fit", "Fit": "headfield.fit.fit", "load": "headfield.models.release"}

__all__ = ["Fit", "fit", "load"]


def __getattr__(name: str):
    """Import the heavy rooms on first use, so that `import headfield` stays cheap."""
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'headfield' has no attribute {name!r}")
