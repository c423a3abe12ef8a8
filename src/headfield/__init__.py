"""headfield: implicit morphable head models, from any head scan to a complete, editable head."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headfield.fit.result import Fit
    from headfield.fit.run import fit  # what a call of the room does
    from headfield.models.release import load

__all__ = ["Fit", "fit", "load"]


def __getattr__(name: str):
    """Import the heavy rooms on first use, so that `import headfield` stays cheap."""
    import importlib

    if name == "fit":  # the room itself is callable: headfield.fit("scan.ply")
        return importlib.import_module("headfield.fit")
    if name == "Fit":
        return importlib.import_module("headfield.fit").Fit
    if name == "load":
        return importlib.import_module("headfield.models.release").load
    raise AttributeError(f"module 'headfield' has no attribute {name!r}")
