"""Regions by the names that users know -> parts of the model (DESIGN section 2)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from headfield.errors import ConfigError
from headfield.frames import REGIONS, anchor_indices

PAIRS = {f"{name}s": (f"left_{name}", f"right_{name}") for name in ("eye", "brow", "cheek", "ear", "temple")}
"""Names for both sides at once: eyes, brows, cheeks, ears, temples."""


def region_names(regions: str | Sequence[str]) -> tuple[str, ...]:
    """Names of :data:`headfield.frames.REGIONS` that a user's words mean, each once, in the order given.

    Args:
        regions: One name or several; ``left eye`` is as good as ``left_eye``, ``eyes`` means both.
    Raises:
        ConfigError: A name is unknown (the nearest ones are suggested), or there is none.
    """
    words = [regions] if isinstance(regions, str) else list(regions)
    if not words:
        raise ConfigError(f"no region was named: choose from {', '.join([*REGIONS, *PAIRS])}.")
    found: list[str] = []
    for word in words:
        name = str(word).strip().lower().replace(" ", "_").replace("-", "_")
        if name not in REGIONS and name not in PAIRS:
            raise ConfigError(f"unknown region {str(word)!r}: {_advice(name)}.")
        found += PAIRS.get(name, (name,))
    return tuple(dict.fromkeys(found))


def parts_of(regions: str | Sequence[str]) -> np.ndarray:
    """Indices (P,) of the parts of one or several regions, ascending, each once.

    Raises:
        ConfigError: As :func:`region_names`.
    """
    return np.unique(np.concatenate([anchor_indices(REGIONS[name]) for name in region_names(regions)]))


def _advice(name: str) -> str:
    known = [*PAIRS, *REGIONS]
    inside = [other for other in known if name and (name in other.split("_") or name.rstrip("s") in other.split("_"))]
    near = list(dict.fromkeys([*inside, *difflib.get_close_matches(name, known, n=3, cutoff=0.5)]))
    return f"perhaps {' or '.join(near[:3])}" if near else f"choose from {', '.join(known)}"
