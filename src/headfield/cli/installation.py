"""What is installed, where weights and data are looked for: for ``headfield doctor``."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path


def installation(model: str) -> dict[str, dict[str, str]]:
    """Titled rows about this installation; nothing is downloaded or changed."""
    return {
        "headfield": {**_versions(), "python": f"{platform.python_version()} on {platform.platform()}"},
        "extras": _extras(),
        "machine": _machine(),
        f"weights: {model}": _weights(model),
        "head data for `headfield synth`": _data(),
    }


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _requirements() -> list[tuple[str, str | None]]:
    """(distribution, extra or None) of every requirement that headfield states."""
    found = []
    for line in importlib.metadata.requires("headfield") or []:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", line)
        found.append((name, extra.group(1) if extra else None))
    return found


def _versions() -> dict[str, str]:
    rows = {"headfield": _installed("headfield") or "not installed (running from a folder)"}
    try:
        core = [name for name, extra in _requirements() if extra is None]
    except importlib.metadata.PackageNotFoundError:
        core = ["torch", "numpy", "scipy", "trimesh"]
    return rows | {name: _installed(name) or "MISSING" for name in core}


def _extras() -> dict[str, str]:
    wanted: dict[str, list[str]] = {}
    try:
        for name, extra in _requirements():
            if extra is not None and name != "headfield":
                wanted.setdefault(extra, []).append(name)
    except importlib.metadata.PackageNotFoundError:
        return {"extras": "unknown: headfield is not installed"}
    rows = {}
    for extra, names in wanted.items():
        missing = [name for name in names if _installed(name) is None]
        have = ", ".join(f"{name} {_installed(name)}" for name in names if name not in missing)
        rows[extra] = have if not missing else f"pip install 'headfield[{extra}]' for {', '.join(missing)}"
    return rows


def _machine() -> dict[str, str]:
    import torch

    from headfield.nn.machine import max_relative_error, use_fast_products

    on = use_fast_products()
    rows = {
        "threads": f"{torch.get_num_threads()} for torch, {os.cpu_count()} CPUs",
        "fast fp32 products": (f"on, error {max_relative_error():.1e}" if on else "off: not exact or not offered here"),
        "cuda": torch.cuda.get_device_name() if torch.cuda.is_available() else "none (not needed)",
    }
    try:
        from trimesh.ray import ray_pyembree  # noqa: F401

        rows["embree"] = "yes"
    except ImportError as error:
        rows["embree"] = f"no: pictures need it ({error})"
    return rows


def _weights(model: str) -> dict[str, str]:
    from headfield.errors import WeightsError
    from headfield.models.release import PACKAGED, WEIGHTS, load, searched_places

    rows = {}
    for place in searched_places(model):
        file = place / WEIGHTS
        rows[str(place)] = f"found, {file.stat().st_size / 1e6:.1f} MB" if file.is_file() else "not there"
    if any((place / WEIGHTS).is_file() for place in searched_places(model)):  # else it might be fetched
        try:
            rows["fingerprint"] = str(load(model).fingerprint)
        except WeightsError as error:
            rows["fingerprint"] = str(error)
    released = sorted(path.name for path in PACKAGED.iterdir() if path.is_dir()) if PACKAGED.is_dir() else []
    return rows | {"with the package": ", ".join(released) or "none"}


def _data() -> dict[str, str]:
    from headfield.parametric.cache import cache_folder

    folder = os.environ.get("HEADFIELD_DATA")
    rows = {"HEADFIELD_DATA": folder or "not set"}
    if folder:
        names = ("ict_facekit.npz", "ICT-FaceKit")
        found = [name for name in names if (Path(folder) / name).exists()]
        rows["ICT-FaceKit"] = f"found: {found[0]}" if found else f"not found: looked for {' and '.join(names)}"
    rows["anny"] = _installed("anny") or "not installed: pip install 'headfield[synth]'"
    rows["cache"] = str(cache_folder())
    return rows
