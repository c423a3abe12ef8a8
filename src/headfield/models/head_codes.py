"""Expression weights by name."""

from __future__ import annotations

import difflib

import numpy as np

from headfield.errors import ConfigError
from headfield.expressions import ExpressionSpace


def expression_vector(weights: np.ndarray | dict[str, float], space: ExpressionSpace) -> np.ndarray:
    """Expression weights (E,) from a vector or from a few names.

    Args:
        weights: (E,) numbers, or a dictionary of names to weights.
        space: What the model's expression numbers mean.
    Raises:
        ConfigError: A wrong length, an unknown name (the nearest one is suggested), or a number that is not finite.
    """
    if isinstance(weights, dict):
        vector = space.rest.copy()
        for name, value in weights.items():
            if name not in space.names:
                near = difflib.get_close_matches(name, space.names, n=3) or [*space.names[:3], "others"]
                raise ConfigError(f"Unknown expression {name!r}; perhaps {' or '.join(near)}.")
            vector[space.names.index(name)] = value
    else:
        vector = np.asarray(weights, dtype=float)
        if vector.shape != (len(space),):
            raise ConfigError(f"Expression has shape {vector.shape}, expected ({len(space)},).")
    if not np.isfinite(vector).all():
        raise ConfigError("Expression weights must be finite numbers.")
    return vector
