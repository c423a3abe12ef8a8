"""MonoNPHM's published checkpoints as our model: the names of their tensors, their sizes, and what is left out.

Facts of the published code (SimonGiebenhain/MonoNPHM, 2024-11): one checkpoint holds ``id_decoder``, ``ex_decoder`` and
the codes they were trained with; the mean anchors are a file of their own (``assets/anchors_65.npy``), 30 pairs at
(2i, 2i + 1), whose second is mirrored, then chin, root and tip of the nose, throat and middle of the nose. Its local
networks see the code before the point. The networks of colour (``aggr_app``, ``communcation_bottleneck``) are left out.

The field is the published one but for the 1e-8 that is added there to the sum of the weights. There every head goes
through the deformation, with an expression code of its own; here a head at rest is what the local fields say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield import frames
from headfield.errors import WeightsError
from headfield.models.mononphm.anchors import COUNT, LAYOUTS, MIDDLE, MIRRORS, PUBLISHED
from headfield.models.mononphm.config import MonoNphmConfig
from headfield.models.mononphm.model import MonoNphm
from headfield.models.published import StateDict, Tensors, fill_anchor_net, fill_mlp, layers_of, taken, tensors_of

_NETWORKS = int(LAYOUTS[PUBLISHED].network.max()) + 2
_PARTS = "deepSDFensemble.layers."

_NEAR = 0.16
"""A mean anchor lies within so much (40 mm) of ours of the same name, and of its mirror image's image."""


@dataclass(frozen=True)
class _Sizes:
    """Sizes that the published networks have."""

    shared: int
    own: int
    hidden: int
    layers: int
    anchors: int
    ambient: int
    moves_hidden: int
    moves_layers: int
    moves_identity: int
    expression: int


def mononphm_of(
    identity: StateDict, expression: StateDict | None, anchors: np.ndarray, codes: torch.Tensor
) -> tuple[MonoNphm, torch.Tensor]:
    """The model of a published pair of networks.

    Args:
        identity: State dict of the local fields.
        expression: Of the deformation network; the local fields see its ambient coordinates.
        anchors: (195,) the mean anchors, in the published order.
        codes: (n, D) published identity codes of the geometry.
    Returns:
        The model, and the codes (n, D) of the same heads, which are the published ones.
    Raises:
        WeightsError: A tensor is missing or has other sizes than its neighbours say; the anchors are other ones.
    """
    if expression is None:
        raise WeightsError("the deformation network is missing, whose ambient coordinates the local fields see.")
    sizes, places = _sizes(identity, expression), np.asarray(anchors, dtype=np.float64).reshape(COUNT, 3)
    _check_places(places)
    config = MonoNphmConfig(
        global_code=sizes.shared,
        part_code=sizes.own,
        pairs=PUBLISHED,
        expression=sizes.expression,
        expression_names="learned",
        part_hidden=sizes.hidden,
        part_layers=sizes.layers,
        anchor_hidden=sizes.anchors,
        deformer_hidden=sizes.moves_hidden,
        deformer_layers=sizes.moves_layers,
        deformer_identity=sizes.moves_identity,
        ambient=sizes.ambient,
    )
    model = MonoNphm(config, places=places)
    compressor = model.deformer.project_identity
    with torch.no_grad():
        fill_anchor_net(model.landmarks, identity, range(COUNT))
        fill_mlp(model.ensemble.mlp, _part_tensors(identity), codes_first=True)
        fill_mlp(model.deformer.mlp, tensors_of(expression, "defDeepSDF.lin"))
        for name, ours in compressor.named_parameters() if compressor is not None else ():
            ours.copy_(taken(expression, f"compressor.0.{name}", tuple(ours.shape)))
    if codes.shape[1:] != (config.identity,):
        raise WeightsError(f"codes of {codes.shape[1]} numbers; the network's have {config.identity}.")
    return model.eval().requires_grad_(False), codes


def _sizes(state: StateDict, moves: StateDict) -> _Sizes:
    anchors, shared = taken(state, "mlp_pos.0.weight", (None, None)).shape
    hidden, seen = taken(state, f"{_PARTS}0.layers.0.weight", (None, None)).shape
    layers = layers_of(state, f"{_PARTS}0.layers.", 2) - 1
    networks = sum(f"{_PARTS}{network}.layers.0.weight" in state for network in range(COUNT + 1))
    moves_hidden, moves_seen = taken(moves, "defDeepSDF.lin0.weight", (None, None)).shape
    moves_layers = layers_of(moves, "defDeepSDF.lin") - 1
    ambient = len(taken(moves, f"defDeepSDF.lin{moves_layers}.weight", (None, None))) - 3
    inner = len(taken(moves, "compressor.0.weight", (None, None)))
    own, numbers = seen - 3 - ambient - shared, moves_seen - 3 - inner
    if networks != _NETWORKS or min(own, layers, numbers) < 1 or ambient < 0 or moves_layers < 2:
        raise WeightsError(
            f"the checkpoint has {networks} local networks of {layers} hidden layers that see {seen} numbers; those of "
            f"MonoNPHM are {_NETWORKS} for {COUNT} anchors and see {shared} + a code + 3 + {ambient}."
        )
    return _Sizes(shared, own, hidden, layers, anchors, ambient, moves_hidden, moves_layers, inner, numbers)


def _part_tensors(state: StateDict) -> Tensors:
    """The local networks' layers in one tensor each; between them the published list counts activations, too."""

    def tensors(layer: int, name: str, *shape: int) -> torch.Tensor:
        found = [taken(state, f"{_PARTS}{network}.layers.{2 * layer}.{name}", shape) for network in range(_NETWORKS)]
        return torch.stack(found)

    return tensors


def _check_places(places: np.ndarray) -> None:
    """Refuse anchors that are not in the published order.

    Raises:
        WeightsError: A pair is no pair, or a place on the mid-line is not where its name says.
    """
    apart = np.linalg.norm(frames.mirror_points(places)[MIRRORS[PUBLISHED]] - places, axis=1)
    named = frames.reference_anchors()[frames.anchor_indices(MIDDLE)]
    away = np.linalg.norm(places[2 * PUBLISHED : 2 * PUBLISHED + len(MIDDLE)] - named, axis=1)
    for wrong, what in ((apart, "from its mirror image's image"), (away, "from where {} is")):
        if wrong.max() > _NEAR:
            worst = int(wrong.argmax())
            index = worst if wrong is apart else 2 * PUBLISHED + worst
            raise WeightsError(
                f"anchor {index} lies at {np.round(places[index], 3).tolist()}, {wrong[worst] * 250:.0f} mm "
                f"{what.format(MIDDLE[min(worst, len(MIDDLE) - 1)])}: these are not MonoNPHM's {COUNT} mean anchors "
                "(anchors_65.npy)."
            )
