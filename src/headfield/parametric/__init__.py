"""Explicit heads behind one protocol: ICT-FaceKit, anny, linear PCA."""

from __future__ import annotations

from headfield.errors import ConfigError
from headfield.parametric.protocol import ParametricHead

FAMILIES = ("ict", "anny")

__all__ = ["FAMILIES", "ParametricHead", "load_family"]


def load_family(name: str) -> ParametricHead:
    """An explicit head family by name: ``ict`` or ``anny``.

    Raises:
        ConfigError: The name is unknown.
        DataError: The family's data are missing; the message says how to get them.
        MissingExtra: A package that the family needs is not installed.
    """
    if name == "ict":
        from headfield.parametric.ict import load_ict

        return load_ict()
    if name == "anny":
        from headfield.parametric.anny_head import load_anny

        return load_anny()
    raise ConfigError(f"unknown head family {name!r}; expected one of {', '.join(FAMILIES)}")
