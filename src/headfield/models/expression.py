"""Expression weights by name."""

from __future__ import annotations

import difflib

import numpy as np

from headfield.errors import ConfigError
from headfield.models.config import ImHeadConfig
from headfield.types import ARKIT


def expression_vector(weights: np.ndarray | dict[str, float], config: ImHeadConfig) -> np.ndarray:
    """Expression weights (E,) from a vector or from a few names.

    Args:
        weights: (E,) numbers, or a dictionary of ARKit channel names to weights in [0, 1].
        config: The model's configuration.
    Raises:
        ConfigError: A wrong length, an unknown name (the nearest one is suggested), or a number that is not finite.
    """
    if isinstance(weights, dict):
        if config.expression_names != "arkit52":
            raise ConfigError(f"This model's expression numbers are {config.expression_names!r}: give a vector.")
        vector = np.zeros(config.expression)
        for name, value in weights.items():
            if name not in ARKIT:
                near = difflib.get_close_matches(name, ARKIT, n=3)
                raise ConfigError(f"Unknown expression {name!r}; perhaps {' or '.join(near) or 'see headfield.types'}.")
            vector[ARKIT.index(name)] = value
    else:
        vector = np.asarray(weights, dtype=float)
        if vector.shape != (config.expression,):
            raise ConfigError(f"Expression has shape {vector.shape}, expected ({config.expression},).")
    if not np.isfinite(vector).all():
        raise ConfigError("Expression weights must be finite numbers.")
    return vector
