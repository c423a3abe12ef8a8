"""Reading checkpoints that other programs published, from the user's own copy: PyTorch archives, never code.

Such a file is a ZIP archive in which a pickle lists the tensors. It is read by torch's restricted reader, which builds
tensors and plain containers and refuses everything else; the older kind that is a bare pickle is not opened at all.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headfield.errors import ConfigError, WeightsError, present
from headfield.io import guard
from headfield.io.arrays import npy
from headfield.nn.anchor_net import AnchorNet, linear_layers
from headfield.nn.mlp import BLIND, SKIP, GroupedMLP

StateDict = dict[str, torch.Tensor]

Tensors = Callable[..., torch.Tensor]
"""``tensors(layer, "weight" or "bias", *sizes)`` gives one layer's tensor (R, *sizes) of R networks."""


@dataclass(frozen=True)
class Checkpoint:
    """What the authors' files hold of a model.

    Attributes:
        identity: Tensors of the network of heads at rest.
        expression: Those of the deformation, None where there is none.
        codes: (n, D) identity codes of the training heads, None where they are not in the file.
        faces: (m, E) expression codes of the training scans, the same.
    """

    identity: StateDict
    expression: StateDict | None
    codes: torch.Tensor | None
    faces: torch.Tensor | None


@dataclass(frozen=True)
class Published:
    """How a model's authors published their checkpoints.

    Attributes:
        mark: A name that such a checkpoint has, and no other model's.
        anchors: How many their file of mean anchors holds.
        read: ``read(found, path, expression)`` sorts what was found at `path` and what is at `expression`, or None.
        build: ``build(identity, expression, anchors, codes)`` gives the model of the networks' tensors, and its codes.
    """

    mark: str
    anchors: int
    read: Callable[[dict[str, Any], Path, Path | None], Checkpoint]
    build: Callable[..., tuple[Any, torch.Tensor]]


def from_two_files(found: dict[str, Any], path: Path, expression: Path | None) -> Checkpoint:
    """The identity's checkpoint and the expression's (NPHM).

    Raises:
        WeightsError: One of them holds no tensors.
    """
    identity = state_dict_of(found, path)
    moves = faces = None
    if expression is not None:
        second = read_archive(expression)
        moves, faces = state_dict_of(second, expression), codes_of(second)
    return Checkpoint(identity, moves, codes_of(found), faces)


def from_one_file(found: dict[str, Any], path: Path, expression: Path | None) -> Checkpoint:
    """One checkpoint of both networks and all codes (MonoNPHM); the codes of colours are left.

    Raises:
        WeightsError: A network is missing.
        ConfigError: A second file was given.
    """
    if expression is not None:
        raise ConfigError(f"{path} holds the expression network, too: leave --expression {expression} out.")
    parts = [found.get(name) for name in ("id_decoder", "ex_decoder")]
    if not all(isinstance(part, dict) for part in parts):
        raise WeightsError(f"{path}: has no id_decoder and ex_decoder (but {guard.shown(str(list(found)[:5]), 120)}).")
    identity, moves = (state_dict_of(part, path) for part in parts if isinstance(part, dict))
    codes = found.get("latent_codes")
    table = codes if isinstance(codes, dict) else {}
    geometry, faces = (codes_of(table, f"codebook.{kind}.embedding.weight") for kind in ("geo", "exp"))
    return Checkpoint(identity, moves, geometry, faces)


def read_archive(path: str | Path) -> dict[str, Any]:
    """What a PyTorch archive (``.tar``, ``.pt``, ``.pth``) holds, on the CPU.

    Raises:
        WeightsError: It is none, holds anything but tensors and plain values, or is larger than the read limit.
    """
    path = Path(path)
    with guard.reading(path, "a PyTorch archive", WeightsError, "Download it again."):
        with guard.opened(path, WeightsError) as file:
            if not zipfile.is_zipfile(file):
                raise WeightsError(
                    f"{path}: no PyTorch archive (ZIP); a bare pickle, as torch wrote before version 1.6, is never "
                    "opened. Whoever trusts it can save it anew: torch.save(torch.load(old), new)."
                )
            size = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
        if size > max(guard.limit(), 2 * path.stat().st_size):
            raise WeightsError(f"{path}: unpacks to {size / 1e6:,.0f} MB. Raise --read-limit if that is right.")
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever the archive makes of the reader
            raise WeightsError(
                f"{path}: cannot be read as tensors and plain values alone ({guard.shown(error)}); it is damaged, or "
                "has code in it, which is never run."
            ) from error
    if not isinstance(found, dict):
        raise WeightsError(f"{path}: holds a {type(found).__name__}, expected a dictionary of tensors.")
    return found


def state_dict_of(found: dict[str, Any], path: str | Path) -> StateDict:
    """The network's tensors of a checkpoint: its own, or those under a name that ends in ``state_dict``.

    Raises:
        WeightsError: There are none.
    """
    named = [key for key in found if isinstance(key, str) and re.fullmatch(r"(decoder|model)?_?state_dict", key)]
    state = found[named[0]] if named else found
    tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise WeightsError(f"{path}: holds no tensors by name (but {guard.shown(str(list(found)[:5]), 120)}).")
    return {name.removeprefix("module."): value.float() for name, value in tensors.items()}


def codes_of(found: dict[str, Any], key: str = "latent_codes_state_dict") -> torch.Tensor | None:
    """The codes (n, D) that a checkpoint was trained with, or None where it has none."""
    table = found.get(key)
    table = table.get("weight") if isinstance(table, dict) else table
    return table.float() if isinstance(table, torch.Tensor) and table.ndim == 2 else None


def read_vector(path: str | Path, size: int, what: str) -> np.ndarray:
    """Numbers (size,) of a ``.npy`` file.

    Args:
        path: The file.
        size: How many are expected; leading axes of length one do not count.
        what: What they are, for the message.
    Raises:
        WeightsError: It holds something else.
    """
    with guard.reading(path, f"{what} (.npy)", WeightsError):
        array = np.asarray(npy(path, WeightsError))
    if array.size != size or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise WeightsError(f"{path}: {array.dtype} {array.shape}, expected {size} finite numbers, {what}.")
    return array.reshape(-1).astype(np.float64)


def taken(state: StateDict, name: str, shape: tuple[int | None, ...]) -> torch.Tensor:
    """One tensor of a state dict.

    Args:
        state: The tensors by name.
        name: Its name.
        shape: Its sizes; None for any.
    Raises:
        WeightsError: Missing, or of other sizes.
    """
    if name not in state:
        shown = guard.shown(", ".join(sorted(state)[:4]), 160)
        raise WeightsError(f"the checkpoint has no tensor {name}; it has {len(state)}, such as {shown}.")
    seen = tuple(state[name].shape)
    if len(seen) != len(shape) or any(want is not None and want != have for want, have in zip(shape, seen)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise WeightsError(f"the checkpoint's {name} has the sizes {seen}, expected ({wanted}).")
    if not torch.isfinite(state[name]).all():
        raise WeightsError(f"the checkpoint's {name} holds numbers that are not finite.")
    return state[name]


def layers_of(state: StateDict, prefix: str, step: int = 1) -> int:
    """How many layers ``prefix0``, ``prefix1``, ... there are, by steps of so many numbers."""
    count = 0
    while f"{prefix}{step * count}.weight" in state:
        count += 1
    return count


def tensors_of(state: StateDict, prefix: str) -> Tensors:
    """The layers ``prefix0``, ``prefix1``, ... of one network."""
    return lambda layer, name, *shape: taken(state, f"{prefix}{layer}.{name}", shape)[None]


def fill_mlp(mlp: GroupedMLP, tensors: Tensors, codes_first: bool = False) -> None:
    """Fill a network with published layers, DeepSDF's or those without a skip, in place.

    Args:
        mlp: To be filled; its sizes say what is expected.
        tensors: The layers.
        codes_first: They see the code before the point.
    """
    inputs, seen, at = mlp.inputs, mlp.inputs + mlp.conditions, mlp.skip_layer
    code = slice(0, mlp.conditions) if codes_first else slice(inputs, seen)
    point = slice(mlp.conditions, seen) if codes_first else slice(0, inputs)
    widths = [len(bias[0]) for bias in mlp.biases]
    for layer, width in enumerate(widths):
        before = seen if layer == 0 else widths[layer - 1] + (seen if layer == at else 0)
        weight = tensors(layer, "weight", width, before)
        mlp.biases[layer].copy_(tensors(layer, "bias", width))
        if layer == 0:
            mlp.first.copy_(weight[..., point])
            present(mlp.first_condition, BLIND).copy_(weight[..., code])
            continue
        if layer == at:  # the published code divides by sqrt(2) whatever the width, ours where it is appended only
            weight = weight * (math.sqrt(0.5) / mlp.scale)
            own, weight = weight[..., -seen:], weight[..., :-seen]
            present(mlp.skip, SKIP).copy_(own[..., point])
            present(mlp.skip_condition, BLIND).copy_(own[..., code])
        mlp.deeper[layer - 1].copy_(weight)
    mlp.last.copy_(tensors(len(widths), "weight", len(mlp.last[0]), mlp.hidden))
    mlp.last_bias.copy_(tensors(len(widths), "bias", len(mlp.last[0])))


def fill_anchor_net(network: AnchorNet, state: StateDict, order: Sequence[int]) -> None:
    """Fill the network of anchors with the published ``mlp_pos``, in place; `order` says which of theirs each of ours
    is."""
    rows = torch.tensor([3 * anchor + axis for anchor in order for axis in range(3)])
    for layer, ours in zip((0, 2, 4), linear_layers(network)):
        weight = taken(state, f"mlp_pos.{layer}.weight", tuple(ours.weight.shape))
        bias = taken(state, f"mlp_pos.{layer}.bias", tuple(ours.bias.shape))
        ours.weight.copy_(weight if layer < 4 else weight[rows])
        ours.bias.copy_(bias if layer < 4 else bias[rows])
