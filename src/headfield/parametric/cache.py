"""Where parsed head data are kept between runs: plain npz files in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from headfield.io.arrays import save_npz

LAYOUT_VERSION = 2
"""Raise when the meaning of cached arrays changes; older files are then ignored."""


def cache_folder() -> Path:
    """The user's cache folder for headfield (env HEADFIELD_CACHE, else XDG_CACHE_HOME, else ~/.cache)."""
    named = os.environ.get("HEADFIELD_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "headfield"


def cache_path(name: str, *facts: object) -> Path:
    """Path of a cached npz whose content depends on `facts`."""
    text = "|".join(str(fact) for fact in (LAYOUT_VERSION, *facts))
    return cache_folder() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npz"


def load_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """Arrays of a cached npz, or None when it is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write atomically; a cache that cannot be written is no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npz")
        try:
            with os.fdopen(handle, "wb") as file:
                save_npz(file, arrays)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError:
        return
