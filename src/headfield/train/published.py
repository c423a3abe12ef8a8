"""From checkpoints that a model's authors published, in the user's own copy, to a release folder of ours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headfield.errors import ConfigError, WeightsError
from headfield.models import release
from headfield.models.architectures import ARCHITECTURES, architecture
from headfield.models.protocol import TrainableModel
from headfield.models.published import read_archive, read_vector
from headfield.train.whiten import whiten, whiten_expressions

SIZE_SD = 0.12
"""Standard deviation of log head sizes: published codes do not tell sizes."""

LEAST = 20
"""Codes that say something of how codes are distributed."""

_CARD = """# {name}

Converted by `headfield convert-weights` from checkpoints that the authors of {architecture} published. **The licence of
these weights is theirs, not headfield's**: they are for your own use under the terms that you accepted when you got
them, and are not to be passed on under another licence.

{identity} numbers for an identity, N(0, 1) each: {told}. {expressions}
"""


def convert_published(
    name: str | None,
    identity: Path,
    expression: Path | None,
    anchors: Path,
    out: Path,
    statistics: tuple[Path, Path] | None = None,
) -> TrainableModel:
    """Write a release folder of published checkpoints.

    Args:
        name: Architecture; None tells it by what the checkpoint holds.
        identity: Checkpoint of the heads at rest, or of everything.
        expression: Checkpoint of the expressions, if they are in a file of their own.
        anchors: Mean anchors (``.npy``), in the published order.
        out: Release folder, must not exist.
        statistics: Mean and standard deviation of the identity codes (``.npy`` each), for a checkpoint without codes.
    Raises:
        ConfigError: No published checkpoints of this architecture can be read, or one file too many was given.
        WeightsError: A file is none of them; the message names the tensor.
        OutputError: `out` exists.
    """
    known = {one: kind.published for one, kind in ARCHITECTURES.items() if kind.published is not None}
    if name is not None and name not in known:
        architecture(name)  # a name that is none at all
        raise ConfigError(f"no published checkpoints of {name} can be read; there are those of {', '.join(known)}.")
    found = read_archive(identity)
    if name is None:
        name = next((one for one, kind in known.items() if kind.mark in found), next(iter(known)))
    kind = known[name]
    read = kind.read(found, identity, expression)
    places = read_vector(anchors, 3 * kind.anchors, f"the {kind.anchors} mean anchors of {name}")
    codes, faces = _identity_codes(read.codes, statistics, identity), read.faces
    if read.expression is not None and (faces is None or len(faces) < LEAST):
        raise WeightsError(
            f"{expression or identity}: has no codes of the scans that it was trained with, without which nobody knows "
            "how large an expression code is. Give the whole checkpoint."
        )
    try:
        model, codes = kind.build(read.identity, read.expression, places, codes)
    except WeightsError as error:
        files = f"{identity}" if expression is None else f"{identity} and {expression}"
        raise WeightsError(f"{files}: {error}") from error
    told = _whiten(model, codes, statistics is not None)
    if faces is not None:
        whiten_expressions(model, faces)
    card = _CARD.format(
        name=out.name,
        architecture=name,
        identity=codes.shape[1],
        told=told,
        expressions=f"{faces.shape[1]} for an expression, learned." if faces is not None else "No expressions.",
    )
    release.write(out, model, card, {"published": {"architecture": name, "identity": Path(identity).name}})
    return model


def _identity_codes(codes: torch.Tensor | None, statistics, identity: Path) -> torch.Tensor:
    """Published codes (n, D), or mean and standard deviation (2, D) where those are what is given."""
    if statistics is not None:
        size = _length(statistics[0])
        pair = [read_vector(path, size, f"{size} numbers of an identity code") for path in statistics]
        return torch.as_tensor(np.stack(pair)).float()
    if codes is None or len(codes) < LEAST:
        raise WeightsError(
            f"{identity}: has no codes of the heads that it was trained with, without which nobody knows which codes "
            "are heads. Give the whole checkpoint, or --statistics MEAN.npy STD.npy."
        )
    return codes


def _length(path: Path) -> int:
    from headfield.io import guard
    from headfield.io.arrays import npy

    with guard.reading(path, "the mean of identity codes (.npy)", WeightsError):
        return int(npy(path, WeightsError).size)


def _whiten(model: TrainableModel, codes: torch.Tensor, are_statistics: bool) -> str:
    """Fold the codes' distribution into the model, in place; says in words what it was."""
    if are_statistics:
        model.recode(codes[0].double(), torch.diag(codes[1].double()))
        told = "mean and standard deviations of the published statistics are folded in, without correlations"
    else:
        whiten(model, codes, [None] * len(codes), np.zeros(len(codes)))
        told = f"mean and covariance of the {len(codes)} codes of the checkpoint are folded in"
    model.prior = replace(model.prior, size_sd=SIZE_SD)
    return told
