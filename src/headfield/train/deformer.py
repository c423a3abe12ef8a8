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
from headfield.train import checkpoint


def shared_weights(model: ImHead) -> dict[str, int]:
    """Weights of which only the last columns, so many, see an expression: the rest of them shapes heads at rest."""
    at_rest, expressive = model.weights_by_use()
    return {name: tensor.shape[-1] for name, tensor in expressive.items() if name in at_rest}


def hold_all_but_deformer(model: ImHead) -> None:
    """Let only weights have gradients that heads at rest do not depend on."""
    expressive, shared = model.weights_by_use()[1], shared_weights(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name in expressive)
        if name in shared:
            mask = torch.zeros_like(parameter)
            mask[..., -shared[name] :] = 1.0
            parameter.register_hook(lambda gradient, mask=mask: gradient * mask)


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
