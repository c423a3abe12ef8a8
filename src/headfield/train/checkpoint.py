"""Checkpoints of a training run: one safetensors file, written under a temporary name and renamed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from headfield.errors import ConfigError, WeightsError
from headfield.io.write_tensors import write_tensors


def save(path: Path, tensors: dict[str, torch.Tensor], meta: dict) -> None:
    """Write tensors and JSON-able meta data atomically."""
    write_tensors(path, tensors, {"headfield": json.dumps(meta)})


def forget_after(log: Path, step: int) -> None:
    """Drop the lines of a run's log that tell of steps after its checkpoint's: a killed run makes them again."""
    if not log.exists():
        return
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step]
    if len(kept) < len(lines):
        temporary = log.with_name(f".{log.name}.{os.getpid()}.tmp")
        temporary.write_text("".join(kept), encoding="utf-8")
        os.replace(temporary, log)


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and meta data of a checkpoint.

    Raises:
        WeightsError: Not a safetensors file of this package.
    """
    try:
        with safe_open(path, framework="pt") as file:
            meta = (file.metadata() or {}).get("headfield")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path} is no readable safetensors file ({error}). Weights are read as safetensors only, never as pickles."
        ) from error
    if meta is None:
        raise WeightsError(f"{path} is a safetensors file, but not one that headfield wrote (no meta data).")
    return tensors, json.loads(meta)


def reached(meta: dict, steps: int, file: Path) -> tuple[int, float]:
    """The step that a run has reached, and the seconds that it took.

    Args:
        meta: What :func:`read` says beside the tensors.
        steps: How many the run is to have in all.
        file: The checkpoint, for the message.
    Raises:
        ConfigError: It has made more already.
    """
    if meta["step"] > steps:
        raise ConfigError(
            f"{file} is a run of {meta['step']:,} steps already, more than --steps {steps:,}: ask for as many or more, "
            "or give another --out to begin anew."
        )
    return int(meta["step"]), float(meta["seconds"])


def optimiser_tensors(optimiser: torch.optim.Optimizer, names: list[str]) -> dict[str, torch.Tensor]:
    """An optimiser's state as named tensors; `names` belong to its parameters in order."""
    tensors = {}
    for index, state in optimiser.state_dict()["state"].items():
        for key, value in state.items():
            tensors[f"{names[index]}/{key}"] = torch.as_tensor(value)
    return tensors


def restore_optimiser(
    optimiser: torch.optim.Optimizer, names: list[str], tensors: dict[str, torch.Tensor], prefix: str
) -> None:
    """Put back what :func:`optimiser_tensors` gave, stored under `prefix`."""
    state: dict[int, dict] = {}
    for index, name in enumerate(names):
        found: dict[str, Any] = {
            key.rsplit("/", 1)[1]: value for key, value in tensors.items() if key.startswith(f"{prefix}{name}/")
        }
        if found:
            for key, value in found.items():
                if key == "step" and value.ndim == 0 and isinstance(optimiser, torch.optim.SparseAdam):
                    found[key] = int(value)
            state[index] = found
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
