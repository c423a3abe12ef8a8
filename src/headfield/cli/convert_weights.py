"""``headfield convert-weights``: checkpoints that a model's authors published become weights that every verb takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from headfield.errors import OutputError


@dataclass(frozen=True)
class ConvertWeightsCommand:
    """Make weights for headfield from your own copy of checkpoints that a model's authors published (NPHM, MonoNPHM);
    no code in them is run."""

    identity: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IDENTITY")]
    """The checkpoint of the identity network, of MonoNPHM that of everything (a PyTorch archive, .tar or .pt)."""
    anchors: Path
    """The mean anchors that belong to it (NPHM: assets/anchors_39.npy, MonoNPHM: assets/anchors_65.npy)."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for the weights; --model takes it in every other verb."""
    expression: Path | None = None
    """The checkpoint of NPHM's expression network; without it heads stay at rest."""
    statistics: tuple[Path, Path] | None = None
    """Mean and standard deviation of the identity codes (.npy each), for a checkpoint that holds no codes."""
    architecture: str | None = None
    """Which model it is (nphm, mononphm); unless given, what the checkpoint holds tells it."""

    def run(self) -> int:
        """Read, convert, write, tell."""
        from headfield.cli.output import check_folder
        from headfield.cli.report import summary
        from headfield.train.published import convert_published

        if self.out.exists():
            raise OutputError(f"{self.out} exists: choose another --out folder or delete it.")
        check_folder(self.out)
        model = convert_published(
            self.architecture, self.identity, self.expression, self.anchors, self.out, self.statistics
        )
        rows = {
            "architecture": model.architecture,
            "identity": f"{model.prior.means.shape[1]:,} numbers",
            "expression": f"{len(model.expression_space)} numbers, learned" if len(model.expression_space) else "none",
            "weights": str(model.fingerprint),
            "licence": "its authors'; see README.md in the folder",
        }
        summary(f"weights {self.out}", rows, ())
        return 0
