"""The pictures of docs/blendshapes.md, all of one baked head: the model's mean bald one.

python benchmarks/bake_pictures.py --out docs/images                # correspondence.png, baked_expressions.png
python benchmarks/bake_pictures.py --out docs/images --blender      # and blender.png, rendered by Blender
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from headfield.frames import METRES_PER_UNIT
from headfield.models.release import load
from headfield.surface.bake import bake
from headfield.surface.baked import Baked
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render
from headfield.types import ARKIT, Codes

COLOURS, SIZE = 160, 230

CARRIED = {
    "neutral": {},
    "smile": {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    "jawOpen": {"jawOpen": 1.0},
    "mouthFunnel": {"mouthFunnel": 1.0},
    "blink, brows up": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0, "browInnerUp": 1.0},
    "sneer, jaw left": {"noseSneerLeft": 1.0, "noseSneerRight": 1.0, "jawLeft": 1.0},
}
"""Expressions that colours are carried to."""

SHOWN = ("browInnerUp", "eyeBlinkLeft", "cheekPuff", "noseSneerLeft", "mouthPucker", "mouthFunnel", "mouthSmileLeft",
         "mouthRollLower", "jawOpen", "jawRight")  # fmt: skip
"""Single channels of the second picture."""


def weights(named: dict[str, float]) -> np.ndarray:
    """Weights (52,) given by name."""
    return np.array([named.get(name, 0.0) for name in ARKIT])


def checkers(places: np.ndarray, side: float = 0.05) -> np.ndarray:
    """Colours (V, 4) of a checkered block of 12.5 mm whose hue runs over the head, at canonical places (V, 3)."""
    dark = (np.floor(places[:, :2] / side).astype(int).sum(1) % 2)[:, None]
    low, high = np.percentile(places, [2, 98], axis=0)
    hue = 60 + 180 * np.clip((places - low) / (high - low), 0, 1)
    return np.concatenate([hue * (1 - 0.35 * dark), np.full((len(places), 1), 255)], axis=1).astype(np.uint8)


def correspondence(baked: Baked, path: Path) -> None:
    """Colours given in canonical space, carried to expressions by the vertices."""
    colours = checkers(baked.canonical)
    face = baked.neutral[baked.neutral[:, 2] > 0.05]
    pictures = [
        render(baked.mesh(weights(named)), view=(18, 0), size=SIZE, colours=colours, frame_on=face)
        for named in CARRIED.values()
    ]
    write_png(contact_sheet(pictures, columns=3, labels=list(CARRIED)), path, COLOURS)


def expressions(baked: Baked, path: Path) -> None:
    """Single channels at weight 1."""
    face = baked.neutral[baked.neutral[:, 2] > 0.05]
    pictures = [render(baked.mesh(weights({name: 1.0})), size=SIZE, frame_on=face) for name in SHOWN]
    write_png(contact_sheet(pictures, columns=5, labels=list(SHOWN)), path, COLOURS)


def in_blender(baked: Baked, path: Path) -> None:
    """The GLB, imported and rendered by Blender with some shape keys set."""
    script = Path(__file__).parents[1] / "tests" / "io" / "check_in_blender.py"
    with tempfile.TemporaryDirectory() as folder:
        glb, facts, picture = (Path(folder) / name for name in ("head.glb", "facts.json", "picture.png"))
        glb.write_bytes(baked.glb(METRES_PER_UNIT))
        command = ["blender", "--python-use-system-env", "-b", "-noaudio", "--factory-startup", "-P", script, "--"]
        # Debian's Blender runs on the system's Python, which may have no numpy of its own
        environment = {**os.environ, "PYTHONPATH": str(Path(np.__file__).parents[1])}
        subprocess.run([str(word) for word in (*command, glb, facts, picture)], check=True, env=environment)
        from PIL import Image

        write_png(np.asarray(Image.open(picture).convert("RGB")), path, COLOURS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--vertices", type=int, default=20_000)
    parser.add_argument("--blender", action="store_true", help="also render the GLB in Blender, which must be on PATH")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    model = load(options.model)
    mean = model.prior.means[list(model.prior.names).index("bald")]
    baked = bake(model, Codes(mean[None].clone()), options.vertices)
    correspondence(baked, options.out / "correspondence.png")
    expressions(baked, options.out / "baked_expressions.png")
    if options.blender:
        in_blender(baked, options.out / "blender.png")


if __name__ == "__main__":
    main()
