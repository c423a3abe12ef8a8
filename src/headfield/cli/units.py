"""Lengths of what is written: the head's own unit, or one that was asked for."""

from __future__ import annotations


def in_unit(mesh, head, unit: str | None):
    """A mesh in the frame of a Fit or SavedHead converted to a unit (None: its own), and the unit to write into it.

    The second is None where the head's unit is free: a number without a unit.
    """
    from dataclasses import replace

    from headfield.frames import UNITS_IN_METRES

    if unit is not None:
        mesh = replace(mesh, vertices=mesh.vertices * (metres_per_unit(head) / UNITS_IN_METRES[unit]))
    named = unit or head.units
    return mesh, named if named in UNITS_IN_METRES else None


def metres_per_unit(head, unit: str | None = None) -> float:
    """Metres in a unit, or (None) in one unit of the frame of a Fit or SavedHead: by its size when that is free."""
    from headfield.frames import METRES_PER_UNIT, UNITS_IN_METRES

    return UNITS_IN_METRES.get(unit or head.units) or head.placement.scale * METRES_PER_UNIT
