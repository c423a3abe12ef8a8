"""Hashes of what a store is made from beside the scans: the implicit model's weights and the family's own files."""

from __future__ import annotations

import json
from pathlib import Path

from headfield.curate.options import CurateOptions
from headfield.curate.records import content_hash
from headfield.errors import ConfigError
from headfield.types import ARKIT


def inputs_of(options: CurateOptions) -> list[str]:
    """Hashes of the model's files and of the family's, in a fixed order.

    Raises:
        WeightsError: The model is not found.
        ConfigError: The model's expressions are not the 52 ARKit weights, which a store holds.
    """
    from headfield.models.release import CONFIG, WEIGHTS, find

    folder = find(options.model)
    expression = json.loads((folder / CONFIG).read_text()).get("config", {}).get("expression", len(ARKIT))
    if expression != len(ARKIT):
        raise ConfigError(
            f"--model {options.model} has {expression} expression numbers; a store holds the {len(ARKIT)} ARKit "
            "weights. Give a model that speaks them."
        )
    files = [folder / CONFIG, folder / WEIGHTS]
    if options.family_file is not None:
        files += family_files(options.family, options.family_file)
    return [content_hash(file) for file in files if file.is_file()]


def family_files(family: str, file: Path) -> list[Path]:
    """A family's file and what is read beside it."""
    from headfield.parametric.flame import EMBEDDINGS
    from headfield.parametric.gnm import LANDMARKS

    beside = {"flame": EMBEDDINGS, "gnm": LANDMARKS}.get(family, ())
    return [file, *(file.parent / name for name in beside)]
