"""Opening a saved head for a verb: its model, its neutral codes and how large it really is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headfield.errors import ScanError


@dataclass(frozen=True)
class OpenedHead:
    """One head, ready to be posed.

    Attributes:
        model: Its model.
        codes: Its codes without an expression (B = 1).
        metres_per_unit: True metres of one model unit on this head.
        name: For titles and messages.
    """

    model: Any
    codes: Any
    metres_per_unit: float
    name: str

    def anchors(self) -> np.ndarray:
        """The 39 anchors (39, 3) of the head, model units."""
        import torch

        with torch.no_grad():
            return self.model.anchors(self.codes)[0].cpu().numpy()

    def pivot(self) -> np.ndarray:
        """The point (3,) that the head turns about, model units: between the jaw's joints and the nape."""
        from headfield.frames import anchor_indices

        names = ("jaw_below_ear_left", "jaw_below_ear_right", "nape_left", "nape_right")
        return self.anchors()[anchor_indices(names)].mean(axis=0)

    def posed_codes(self, weights: np.ndarray):
        """The codes with these expression weights (52,)."""
        from dataclasses import replace

        import torch

        expression = torch.as_tensor(np.asarray(weights, dtype=np.float32))[None].to(self.codes.identity)
        return replace(self.codes, expression=expression if weights.any() else None)


def open_head(path: Path) -> OpenedHead:
    """The head of a saved fit.

    Args:
        path: A ``.npz`` that ``headfield fit`` wrote, or the folder that holds it.
    Raises:
        ScanError: No such file, not a head, damaged, or of a newer version.
        ConfigError: Its model does not speak the 52 ARKit channels.
    """
    from headfield.errors import ConfigError
    from headfield.fit.result import Fit

    path = path / "fit.npz" if path.is_dir() else path
    if not path.is_file():
        raise ScanError(f"{path}: no such file. Give the fit.npz that `headfield fit` wrote, or its folder.")
    fit = Fit.load(path)
    names = fit.model.config.expression_names
    if names != "arkit52":
        raise ConfigError(f"{path}: its model's expression numbers are {names!r}; the 52 ARKit channels are needed.")
    name = path.parent.resolve().name if path.name == "fit.npz" else path.stem
    return OpenedHead(fit.model, fit.codes(neutral=True), fit.scans[0].mm_per_unit / 1000.0, name)
