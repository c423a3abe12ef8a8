"""``headfield sample``: new heads from the model's prior."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from headfield.models import DEFAULT

PICTURED = 48
"""Heads on the contact sheet at most."""


@dataclass(frozen=True)
class SampleCommand:
    """Draw random heads and write them with a contact sheet (samples.png) and their codes (codes.npz)."""

    number: Annotated[int, tyro.conf.arg(name="n", aliases=["-n"])] = 12
    """How many heads."""
    sd: float = 0.8
    """Spread: 1 is the training heads' own, 0 the mean of a head's hair class."""
    hair: str | None = None
    """Hair class of the model to draw from; an unknown name lists them. All kinds when not given."""
    expression: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=WEIGHT...")] = ()
    """Expression weights for every head, such as jawOpen=0.6 mouthSmileLeft=1."""
    resolution: int = 192
    """Samples along the longest side of the model's box."""
    format: Literal["glb", "ply", "both"] = "glb"
    """Mesh files to write, in metres, y up."""
    model: str = DEFAULT
    """Model: a released name, a folder, or a hub id."""
    seed: int = 0
    """Seed of the draw."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("samples")
    """Output folder."""
    force: bool = False
    """Replace files in an output folder that exists."""

    def run(self) -> int:
        """Draw, extract, write."""
        from headfield.errors import ConfigError

        if not 1 <= self.number <= 10_000:
            raise ConfigError(f"-n {self.number}: draw between 1 and 10,000 heads.")
        if not 0 <= self.sd <= 5:
            raise ConfigError(f"--sd {self.sd}: the spread is between 0 and 5 standard deviations.")
        from headfield.cli.output import check_resolution, output_folder

        check_resolution(self.resolution)
        weights = parse_expression(self.expression)
        with output_folder(self.out, force=self.force) as folder:
            self._write(folder, weights)
        from headfield.cli.report import summary

        kinds = {"both": "GLB and PLY", "glb": "GLB", "ply": "PLY"}[self.format]
        summary(
            f"{self.number} heads drawn from {self.model}",
            {"files": f"{self.out}/head_*.* ({kinds}), samples.png, codes.npz", "spread": f"{self.sd} sd"},
        )
        return 0

    def _write(self, folder: Path, weights) -> None:
        import json

        import numpy as np
        import torch

        from headfield.cli.report import working
        from headfield.frames import METRES_PER_UNIT
        from headfield.io.arrays import save_npz
        from headfield.io.mesh import write_mesh
        from headfield.models.release import lasting_name, load
        from headfield.surface.mesh_head import mesh_of
        from headfield.surface.sheet import contact_sheet, write_png
        from headfield.surface.snapshot import render
        from headfield.types import Codes, Similarity

        with working("Loading the model") as say:
            model = load(self.model)
            component = _component(model.prior.names, self.hair)
            identity = model.prior.draw(self.number, np.random.default_rng(self.seed), self.sd, component)
            expression = torch.tensor(weights, dtype=torch.float32)[None] if weights.any() else None
            # all pictures share one camera, set up for the mean head
            frame = mesh_of(model, model.mean_codes(component or 0), 64, normals=False).vertices
            images, metric = [], Similarity(scale=METRES_PER_UNIT)
            for index, code in enumerate(identity):
                say(f"Head {index + 1} of {self.number}")
                mesh = mesh_of(model, Codes(torch.from_numpy(code)[None], expression), self.resolution)
                for suffix in ("glb", "ply") if self.format == "both" else (self.format,):
                    write_mesh(mesh.transformed(metric), folder / f"head_{index + 1:02d}.{suffix}", unit="m")
                if index < PICTURED:
                    images.append(render(mesh, view="three_quarter", size=320, frame_on=frame, zoom=0.92))
        labels = [f"{index + 1}" for index in range(len(images))]
        columns = len(images) if len(images) <= 4 else round((1.4 * len(images)) ** 0.5)
        write_png(contact_sheet(images, columns=columns, labels=labels), folder / "samples.png")
        made_with = {"model": lasting_name(self.model), "weights": json.dumps(model.fingerprint.to_dict())}
        facts = {name: np.array(value) for name, value in made_with.items()}
        save_npz(folder / "codes.npz", {"identity": identity, "expression": weights} | facts)


def parse_expression(words: tuple[str, ...]):
    """Expression weights (52,) from ``name=weight`` words.

    Raises:
        ConfigError: A name is unknown or a weight is not in [0, 1].
    """
    import difflib

    import numpy as np

    from headfield.errors import ConfigError
    from headfield.types import ARKIT

    weights = np.zeros(len(ARKIT))
    for word in words:
        name, _, value = word.partition("=")
        if name not in ARKIT:
            near = difflib.get_close_matches(name, ARKIT, n=3, cutoff=0.4)
            advice = f" Perhaps {' or '.join(near)}?" if near else ""
            raise ConfigError(f"--expression {word}: '{name}' is none of the 52 ARKit channels.{advice}")
        try:
            weight = float(value)
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= 1:
            raise ConfigError(f"--expression {word}: write {name}=0.5 with a weight between 0 and 1.")
        weights[ARKIT.index(name)] = weight
    return weights


def _component(names: tuple[str, ...], hair: str | None) -> int | None:
    from headfield.errors import ConfigError

    if hair is None:
        return None
    if hair not in names:
        raise ConfigError(f"--hair {hair}: this model knows {', '.join(names)}.")
    return names.index(hair)
