"""What `headfield view` opens: a fit, a saved head, the model's mean head, or a scan, which is fitted first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headfield.edit.record import SavedHead, head_of_fit, is_saved_head
from headfield.errors import ConfigError, ScanError
from headfield.fit.result import Fit
from headfield.fit.saved_file import holds_a_head
from headfield.surface.head import Head

MOST_BYTES = 200_000_000
"""Largest file that the browser may send; a larger one is better opened from the command line, without a copy."""

HEAD_OR_SCAN = ".npz"
SCANS = (".ply", ".obj", ".stl", ".glb", ".gltf", ".npy", ".xyz")


def mean_head(model, model_name: str) -> SavedHead:
    """The model's mean head, neutral."""
    return SavedHead(Head(model, model.mean_codes()), model_name, name="mean head")


def open_path(
    path: Path,
    model,
    model_name: str,
    progress: Callable[[str, float], None] = lambda stage, share: None,
    weights: str | None = None,
) -> tuple[SavedHead, Fit | None]:
    """The head in a file.

    Args:
        path: fit.npz or the folder that holds it, a saved head, codes of `headfield sample`, or a scan.
        model: For scans.
        model_name: Its name.
        progress: Called with a stage and the share of it done while a scan is fitted; may raise to give up.
        weights: Name of the model for a head, in place of the one that its file names.
    Raises:
        ScanError: It cannot be read, or is neither a head nor a scan.
        NotAHeadError: There is no head in the scan.
        ConfigError: The model of the head has another kind of expression.
        WeightsError: The model of the head is not here, or has weights that would make another head of it.
    """
    path = Path(path)
    file = path / "fit.npz" if path.is_dir() else path
    if not file.exists():
        raise ScanError(f"{file}: no such file. Give a scan, the fit.npz of `headfield fit`, or a saved head.")
    if file.suffix.lower() == HEAD_OR_SCAN and holds_a_head(file):
        opened, fit = _open_head(file, weights)
        check_expression(opened.head.model, opened.model_name)
        return opened, fit
    if file.suffix.lower() not in (*SCANS, HEAD_OR_SCAN):
        raise ScanError(
            f"{file.name}: not a scan that can be read. Give {', '.join(SCANS)}, or a fit.npz or saved head (.npz)."
        )
    from headfield.fit.run import fit as fit_scan

    found = fit_scan(file, model, progress=progress)
    found.model_name = model_name
    return head_of_fit(found, file.name), found


def check_expression(model, name: str) -> None:
    """Refuse a model that the viewer has no sliders for.

    Raises:
        ConfigError: Its expression is not the 52 ARKit channels.
    """
    if not model.expression_space.speaks_arkit:
        raise ConfigError(
            f"{name}: its expression numbers are {model.expression_space.kind!r}; the viewer needs the 52 ARKit "
            "channels."
        )


def _open_head(file: Path, weights: str | None) -> tuple[SavedHead, Fit | None]:
    if is_saved_head(file):
        return SavedHead.load(file, weights), None
    try:
        fit = Fit.load(file, weights)
    except ScanError:
        return SavedHead.load(file, weights), None  # codes of `headfield sample`; else its error says what was expected
    return head_of_fit(fit, file.name), fit
