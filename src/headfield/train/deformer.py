"""Training the expression deformer alone, from a complete run: what the model says of heads at rest does not change.

E is zero at rest by construction, and so are the ambient coordinates, whose columns in the part networks therefore see
nothing but zeros. Only these move; all other weights and the codes are held, bit for bit.
"""

from __future__ import annotations

from pathlib import Path

import torch

from headfield.errors import ConfigError
from headfield.io.store import Record
from headfield.models.imhead import ImHead
from headfield.nn.encoding import encoded_size
from headfield.train import checkpoint

AMBIENT = ("ensemble.mlp.first", "ensemble.mlp.skip")
"""Weights (R, H, I) of the part networks whose last columns multiply the ambient coordinates."""


def ambient_columns(model: ImHead) -> slice:
    """Which inputs of the part networks are ambient coordinates."""
    begin = encoded_size(model.ensemble.frequencies)
    return slice(begin, begin + model.ensemble.ambient)


def hold_all_but_deformer(model: ImHead) -> None:
    """Let only the deformer and the ambient columns have gradients."""
    columns = ambient_columns(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith("deformer."))
        if name in AMBIENT:
            mask = torch.zeros_like(parameter)
            mask[..., columns] = 1.0
            parameter.requires_grad_().register_hook(lambda gradient, mask=mask: gradient * mask)


def begin_from(file: Path, model: ImHead, records: list[Record], mirror: bool) -> torch.Tensor:
    """Load a complete run's weights into a model.

    Args:
        file: Its checkpoint.
        model: Of the same sizes; changed in place.
        records: Identities of the store that is trained on.
        mirror: Mirrored copies are trained, too.
    Returns:
        (n or 2 n, D) the identities' codes in the order of :class:`headfield.train.batches.Batches`.
    Raises:
        ConfigError: The run does not know an identity, or is of other sizes.
        WeightsError: No readable checkpoint.
    """
    tensors, meta = checkpoint.read(file)
    known = {name: row for row, name in enumerate(meta["identities"])}
    if strange := [record.id for record in records if record.id not in known]:
        raise ConfigError(
            f"{file} has no code for {len(strange)} of the store's {len(records)} training identities (the first: "
            f"{strange[0]}): the deformer alone can be trained on identities of that run only."
        )
    copies = len(tensors["codes"]) // len(known)
    if mirror and copies < 2:
        raise ConfigError(f"{file} has no codes for mirrored copies: train with --no-mirror.")
    try:
        model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
    except RuntimeError as error:
        raise ConfigError(f"{file} belongs to a model of other sizes: give its --preset ({error}).") from error
    model.centre.copy_(model.mean_anchors.mean(0))
    rows = torch.tensor([known[record.id] for record in records])
    return tensors["codes"][torch.cat([rows, rows + len(known)]) if mirror else rows]
