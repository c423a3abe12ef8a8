"""The pictures of docs/editing.md: what region edits do to held-out heads.

    python benchmarks/editing_pictures.py --model imhead-open-small --out docs/images

`--only draws swaps displacement jaw symmetry` makes some of them. Nothing is chosen by its looks: the heads are the
first of the *dev* split, fitted to their scans (out/held_out keeps the fits), and the draws are the first seeds.
"""

from __future__ import annotations

import argparse
import functools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from held_out import held_out

from headfield.edit.change import change_of
from headfield.edit.operations import refit_warp, sample_region, swap, symmetrise
from headfield.frames import ANCHOR_NAMES
from headfield.models.release import load
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, error_colours, error_legend, write_png
from headfield.surface.snapshot import render

COLOURS = 160
"""Of the files, so that they stay small enough to be kept in the repository."""

VIEWS = {"nose": "three_quarter", "mouth": "three_quarter", "left_ear": "left", "chin": "three_quarter"}
"""Regions that are shown, and from where."""

SIZE = 200
MOST_MM = 4.0


def heads(options, count: int) -> list[Head]:
    """The first held-out heads, neutral: the same objects each time."""
    return [_head(options.model, options.fits, index) for index in range(count)]


@functools.cache
def _head(model: str, fits: Path, index: int) -> Head:
    return held_out(load(model), model, index + 1, fits)[index].head.neutral()


def around(head: Head, names: tuple[str, ...]) -> np.ndarray:
    """Anchors whose names start so: what a camera frames."""
    return head.anchors()[[name.startswith(names) for name in ANCHOR_NAMES]]


@functools.cache
def _drawn(model: str, fits: Path, region: str, seed: int) -> Head:
    """The first head with a region drawn at 2 sd: worked out once for all pictures."""
    return sample_region(_head(model, fits, 0), region, 2.0, seed)


def draws(options) -> dict[str, np.ndarray]:
    """Each region of one head drawn twice at 2 sd."""
    head = heads(options, 1)[0]
    plain = head.mesh(options.resolution)
    frame = around(head, ("brow_", "temple", "throat", "jaw"))
    images, labels = [], []
    for region, view in VIEWS.items():
        images.append(render(plain, view=view, size=SIZE, frame_on=frame))
        labels.append("the head")
        for seed in (1, 2):
            mesh = _drawn(options.model, options.fits, region, seed).mesh(options.resolution)
            images.append(render(mesh, view=view, size=SIZE, frame_on=frame))
            labels.append(f"{region.replace('_', ' ')}, draw {seed}")
    title = "Regions of one head drawn from the prior, 2 sd"
    return {"edit_draws": contact_sheet(images, 6, labels, title)}


def swaps(options) -> dict[str, np.ndarray]:
    """Nose and mouth of three heads on each other's faces."""
    people = heads(options, 3)
    frame = np.concatenate([around(head, ("brow_", "temple", "throat")) for head in people])
    images, labels = [], []
    for row, head in enumerate(people):
        for column, donor in enumerate(people):
            mixed = swap(head, donor, ["nose", "mouth"])
            images.append(render(mixed.mesh(options.resolution), size=260, frame_on=frame, view=(20, 0)))
            labels.append(f"head {row + 1}" if row == column else f"head {row + 1}, nose and mouth of {column + 1}")
    return {"edit_swaps": contact_sheet(images, 3, labels, "Swaps: a head per row, its nose and mouth per column")}


def displacement(options) -> dict[str, np.ndarray]:
    """Where a draw at 2 sd moves the surface: inside its window, and were there none."""
    head = heads(options, 1)[0]
    mesh = head.mesh(options.resolution)
    images, labels = [], []
    for windowed in (True, False):
        for region in VIEWS:
            edited = _drawn(options.model, options.fits, region, 1)
            if not windowed:
                edited = replace(edited, codes=replace(edited.codes, around=None))
            change = change_of(head, edited, mesh)
            colours = error_colours(change.displacement_mm, MOST_MM)
            view = "left" if region == "left_ear" else (25, 0)
            images.append(render(mesh, view=view, size=SIZE, colours=colours, occlusion_rays=0))
            labels.append(f"{region.replace('_', ' ')}{'' if windowed else ', without a window'}")
    legend = error_legend(4 * SIZE, MOST_MM, "displacement of the surface (mm); grey: farther than is looked for")
    title = "Where a region drawn at 2 sd moves the head"
    return {"edit_displacement": contact_sheet(images, 4, labels, title, legend)}


def jaw(options) -> dict[str, np.ndarray]:
    """A swapped mouth under jawOpen: lips of the donor, the warp of the source, or fitted to the edited parts."""
    head, donor = heads(options, 2)
    mixed = swap(head, donor, "mouth")
    images, labels = [], []
    frame = np.concatenate([around(one, ("nose_bridge", "cheek", "throat", "jaw_angle")) for one in (head, donor)])
    columns = {"head": head, "donor's mouth": mixed, "the same, warp re-fitted": refit_warp(mixed), "donor": donor}
    for weight in (0.5, 1.0):
        for name, one in columns.items():
            posed = one.with_expression({"jawOpen": weight})
            images.append(render(posed.mesh(options.fine), size=240, frame_on=frame, view=(18, 0)))
            labels.append(f"{name}, jawOpen {weight:g}")
    title = "A swapped mouth, under the head's own warp and a re-fitted one"
    return {"edit_jaw": contact_sheet(images, 4, labels, title)}


def symmetry(options) -> dict[str, np.ndarray]:
    """A head before and after symmetrising, and how far its two sides differ."""
    head = heads(options, 3)[2]
    images, labels = [], []
    for name, one in (("head", head), ("symmetrised", symmetrise(head))):
        mesh = one.mesh(options.resolution)
        uneven = np.abs(one.mirrored().signed_distance(mesh.vertices.astype(np.float32))) * 250
        images += [render(mesh, size=280), render(mesh, size=280, colours=error_colours(uneven, 2.0), occlusion_rays=0)]
        labels += [name, f"left to right: {uneven.mean():.2f} mm in the mean"]
    legend = error_legend(840, 2.0, "distance between the head and its mirror image (mm)")
    return {"edit_symmetry": contact_sheet(images, 4, labels, legend=legend)}


PICTURES = {"draws": draws, "swaps": swaps, "displacement": displacement, "jaw": jaw, "symmetry": symmetry}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", nargs="*", default=list(PICTURES), choices=list(PICTURES))
    parser.add_argument("--resolution", type=int, default=144)
    parser.add_argument("--fine", type=int, default=192, help="resolution of the close-ups")
    parser.add_argument("--fits", type=Path, default=Path("out/held_out"), help="where fits are kept")
    options = parser.parse_args()
    for name in options.only:
        begin = time.perf_counter()
        for title, picture in PICTURES[name](options).items():
            path = options.out / f"{title}.png"
            write_png(picture, path, COLOURS)
            size = f"{picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size / 1000:.0f} kB"
            print(f"{path}: {size}, {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
