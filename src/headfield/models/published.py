"""Reading checkpoints that other programs published, from the user's own copy: PyTorch archives, never code.

Such a file is a ZIP archive in which a pickle lists the tensors. It is read by torch's restricted reader, which builds
tensors and plain containers and refuses everything else; the older kind that is a bare pickle is not opened at all.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headfield.errors import WeightsError
from headfield.io import guard
from headfield.io.arrays import npy

StateDict = dict[str, torch.Tensor]


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
