"""Explicit heads behind one protocol: ICT-FaceKit, anny, FLAME, GNM Head, linear PCA."""

from __future__ import annotations

from pathlib import Path

from headfield.errors import ConfigError
from headfield.parametric.protocol import ParametricHead

FAMILIES = ("ict", "anny", "flame", "gnm")

__all__ = ["FAMILIES", "ParametricHead", "load_family"]


def load_family(name: str, path: Path | str | None = None) -> ParametricHead:
    """An explicit head family by name.

    Args:
        name: ``ict``, ``anny``, ``flame`` or ``gnm``.
        path: The user's own file: needed for FLAME; of GNM, None fetches it from the hub; of ICT-FaceKit, None looks
            where HEADFIELD_DATA says; anny has none.
    Raises:
        ConfigError: The name is unknown, or FLAME's file is not given.
        DataError: The family's data are missing; the message says how to get them.
        MissingExtra: A package that the family needs is not installed.
    """
    if name == "ict":
        from headfield.parametric.ict import load_ict

        return load_ict(path)
    if name == "anny":
        from headfield.parametric.anny_head import load_anny

        return load_anny()
    if name == "flame":
        from headfield.parametric.flame import HOW_TO_GET, load_flame

        if path is None:
            raise ConfigError(f"FLAME needs the path of your own file. {HOW_TO_GET}.")
        return load_flame(path)
    if name == "gnm":
        from headfield.parametric.gnm import fetch_gnm, load_gnm

        return load_gnm(fetch_gnm() if path is None else path)
    raise ConfigError(f"unknown head family {name!r}; expected one of {', '.join(FAMILIES)}")
