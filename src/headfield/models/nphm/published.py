"""NPHM's published checkpoints as our model: the names of their tensors, their sizes, and how their parts are ordered.

Facts of the published code (SimonGiebenhain/NPHM, 2024-06): two checkpoints, of the identity and of the expression
network, with their state dicts under ``decoder_state_dict`` and the codes they were trained with under
``latent_codes_state_dict``; the mean anchors are a file of their own (``assets/anchors_39.npy``).

What differs from ours is undone here, exactly: of a pair it names the side of negative x first (all but two pairs)
and mirrors the second; the input that is appended at DeepSDF's skip is divided by sqrt(2) together with the rest. Two
differences stay. Its weights are divided by their sum plus 1e-6, which scales the field by a positive number that is 1
near anchors and falls far from all of them; and where it makes meshes, f_0 is replaced by 1, "outside": so it is here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield import frames
from headfield.errors import WeightsError, present
from headfield.models.nphm.config import NphmConfig
from headfield.models.nphm.model import Nphm
from headfield.models.published import StateDict, Tensors, fill_anchor_net, fill_mlp, layers_of, taken, tensors_of
from headfield.nn.mlp import SKIP

_PAIRS = (frames.N_ANCHORS - 7) // 2
_PARTS = frames.N_ANCHORS + 1

_NEAR = 0.16
"""An anchor lies within so much (40 mm) of ours of the same name."""


@dataclass(frozen=True)
class _Sizes:
    """Sizes that a published identity network has."""

    shared: int
    own: int
    hidden: int
    layers: int
    anchors: int


def nphm_of(
    identity: StateDict, expression: StateDict | None, anchors: np.ndarray, codes: torch.Tensor
) -> tuple[Nphm, torch.Tensor]:
    """The model of a published pair of networks.

    Args:
        identity: State dict of the identity network.
        expression: Of the deformation network, None for heads at rest alone.
        anchors: (117,) the mean anchors, in the published order.
        codes: (n, D) published identity codes.
    Returns:
        The model, and the codes (n, D) of the same heads: the published ones with their parts in our order.
    Raises:
        WeightsError: A tensor is missing or has other sizes than its neighbours say; the anchors are in another order.
    """
    sizes = _sizes(identity)
    places = np.asarray(anchors, dtype=np.float64).reshape(frames.N_ANCHORS, 3)
    order, turned = _order(places)
    hidden = inner = layers = numbers = None
    if expression is not None:
        inner = len(taken(expression, "compressor.0.weight", (None, None)))
        layers = layers_of(expression, "defDeepSDF.lin") - 1
        hidden, seen = taken(expression, "defDeepSDF.lin0.weight", (None, None)).shape
        numbers = seen - 3 - inner
        if numbers < 1:
            raise WeightsError(f"the expression network sees {seen} numbers, fewer than 3 + {inner} and a code.")
    config = NphmConfig(
        global_code=sizes.shared,
        part_code=sizes.own,
        expression=numbers or 0,
        expression_names="learned",
        part_hidden=sizes.hidden,
        part_layers=sizes.layers,
        anchor_hidden=sizes.anchors,
        deformer_hidden=hidden or 8,
        deformer_layers=layers or 2,
        deformer_identity=inner or 1,
    )
    model = Nphm(config, mean_anchors=places[order])
    with torch.no_grad():
        fill_anchor_net(model.landmarks, identity, order)
        _fill_parts(model, identity, turned)
        if expression is not None:
            _fill_deformer(model, expression, order)
    if codes.shape[1:] != (config.identity,):
        raise WeightsError(f"codes of {codes.shape[1]} numbers; the network's have {config.identity}.")
    parts = codes[:, sizes.shared :].unflatten(1, (_PARTS, sizes.own))[:, [*order, frames.N_ANCHORS]]
    return model.eval().requires_grad_(False), torch.cat([codes[:, : sizes.shared], parts.flatten(1)], dim=1)


def _sizes(state: StateDict) -> _Sizes:
    anchors, shared = taken(state, "mlp_pos.0.weight", (None, None)).shape
    networks, hidden, seen = taken(state, "ensembled_deep_sdf.lin0.weight", (None, None, None)).shape
    own, layers = seen - 3 - shared, layers_of(state, "ensembled_deep_sdf.lin") - 1
    if networks != frames.N_PART_NETWORKS + 1 or own < 1 or layers < 2:
        raise WeightsError(
            f"the checkpoint has {networks} local networks of {layers} hidden layers that see {seen} numbers; those of "
            f"NPHM are {frames.N_PART_NETWORKS + 1} for {frames.N_ANCHORS} anchors and see 3 + {shared} + a code."
        )
    return _Sizes(shared, own, hidden, layers, anchors)


def _order(anchors: np.ndarray) -> tuple[list[int], list[bool]]:
    """Of the published anchors (39, 3): which is our part k, and which pairs (16) have changed sides."""
    turned = [bool(anchors[2 * pair, 0] < anchors[2 * pair + 1, 0]) for pair in range(_PAIRS)]
    order = [2 * pair + (side ^ turned[pair]) for pair in range(_PAIRS) for side in (0, 1)]
    order += range(2 * _PAIRS, frames.N_ANCHORS)
    away = np.linalg.norm(anchors[order] - frames.reference_anchors(), axis=1)
    if away.max() > _NEAR:
        worst = int(away.argmax())
        raise WeightsError(
            f"anchor {order[worst]} lies at {np.round(anchors[order[worst]], 3).tolist()}, {away[worst] * 250:.0f} mm "
            f"from where {frames.ANCHOR_NAMES[worst]} is: these are not NPHM's 39 mean anchors (anchors_39.npy)."
        )
    return order, turned


def _fill_parts(model: Nphm, state: StateDict, turned: list[bool]) -> None:
    ensemble = model.ensemble
    fill_mlp(ensemble.mlp, _tensors(state, "ensembled_deep_sdf.lin", ensemble.networks))
    for pair, is_turned in enumerate(turned):
        if is_turned:  # ours mirrors the other side
            ensemble.mlp.first[pair, :, 0] *= -1.0
            present(ensemble.mlp.skip, SKIP)[pair, :, 0] *= -1.0
    ensemble.mlp.last[-1] = 0.0
    ensemble.mlp.last_bias[-1] = 1.0


def _fill_deformer(model: Nphm, state: StateDict, order: list[int]) -> None:
    config, deformer = model.config, model.deformer
    columns = list(range(config.global_code))
    for part in (*order, frames.N_ANCHORS):
        start = config.global_code + part * config.part_code
        columns += range(start, start + config.part_code)
    columns += [config.identity + 3 * anchor + axis for anchor in order for axis in range(3)]
    ours = present(deformer.project_identity, "the compressor of what the deformation sees")
    weight = taken(state, "compressor.0.weight", tuple(ours.weight.shape))
    ours.weight.copy_(weight[:, columns])
    ours.bias.copy_(taken(state, "compressor.0.bias", tuple(ours.bias.shape)))
    fill_mlp(deformer.mlp, tensors_of(state, "defDeepSDF.lin"))


def _tensors(state: StateDict, prefix: str, networks: int) -> Tensors:
    """Of several networks whose layers lie in one tensor."""
    return lambda layer, name, *shape: taken(state, f"{prefix}{layer}.{name}", (networks, *shape))
