"""Beginning a run where a complete one ended: its weights, and its codes for the identities that it knew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from headfield.errors import ConfigError
from headfield.models.protocol import TrainableModel
from headfield.train import checkpoint


def begin_from(
    file: Path, model: TrainableModel, identities: list[str], mirror: bool, descriptors: np.ndarray | None = None
) -> torch.Tensor:
    """Load a complete run's weights into a model.

    A person that the run did not know (another one's face, a caricature, a mixture of two families) starts at the code
    of the known person whose head is most like theirs.

    Args:
        file: Its checkpoint.
        model: Of the same sizes; changed in place.
        identities: Ids of the identities that are trained on.
        mirror: Mirrored copies are trained, too.
        descriptors: (n or 2 n, M) what the heads look like, rows as the codes' (`code_start.starting_codes` will do);
            None where every identity must be known.
    Returns:
        (n or 2 n, D) the identities' codes in the order of :class:`headfield.train.batches.Batches`.
    Raises:
        ConfigError: The run does not know an identity (any identity, where there are descriptors), or is of other
            sizes.
        WeightsError: No readable checkpoint.
    """
    tensors, meta = checkpoint.read(file)
    known = {name: row for row, name in enumerate(meta["identities"])}
    strange = [name for name in identities if name not in known]
    if strange and (descriptors is None or len(strange) == len(identities)):
        raise ConfigError(
            f"{file} has no code for {len(strange)} of the store's {len(identities)} training identities (the first: "
            f"{strange[0]}): "
            + ("without them it can train identities that it knew only." if descriptors is None else
               "a run can begin only where another one ended that knew some of them.")
        )  # fmt: skip
    copies = len(tensors["codes"]) // len(known)
    if mirror and copies < 2:
        raise ConfigError(f"{file} has no codes for mirrored copies: train with --no-mirror.")
    try:
        model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    except RuntimeError as error:
        raise ConfigError(f"{file} belongs to a model of other sizes: give its --preset ({error}).") from error
    rows = np.array([known.get(name, -1) for name in identities])
    if mirror:
        rows = np.concatenate([rows, np.where(rows < 0, -1, rows + len(known))])
    return tensors["codes"][torch.as_tensor(rows if descriptors is None else _like(rows, descriptors))]


def _like(rows: np.ndarray, descriptors: np.ndarray) -> np.ndarray:
    """Rows (N,) of a table in which -1, unknown, is replaced by the row of the known head that looks most like it."""
    unknown, known = np.flatnonzero(rows < 0), np.flatnonzero(rows >= 0)
    rows = rows.copy()
    for row in unknown:
        rows[row] = rows[known[((descriptors[known] - descriptors[row]) ** 2).sum(1).argmin()]]
    return rows
