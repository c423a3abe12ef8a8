"""Training the expression deformer alone, from a complete run: what the model says of heads at rest does not change.

E is zero at rest by construction, and so are the ambient coordinates, whose columns in the part networks therefore see
nothing but zeros. Only these move; all other weights and the codes are held, bit for bit.
"""

from __future__ import annotations

import torch

from headfield.models.protocol import TrainableModel


def shared_weights(model: TrainableModel) -> dict[str, int]:
    """Weights of which only the last columns, so many, see an expression: the rest of them shapes heads at rest."""
    at_rest, expressive = model.weights_by_use()
    return {name: tensor.shape[-1] for name, tensor in expressive.items() if name in at_rest}


def hold_all_but_deformer(model: TrainableModel) -> None:
    """Let only weights have gradients that heads at rest do not depend on."""
    expressive, shared = model.weights_by_use()[1], shared_weights(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name in expressive)
        if name in shared:
            mask = torch.zeros_like(parameter)
            mask[..., -shared[name] :] = 1.0
            parameter.register_hook(lambda gradient, mask=mask: gradient * mask)
