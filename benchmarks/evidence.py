"""The pictures of docs/results.md, from one model: what it draws, moves, knows off the surface, and fits.

    python benchmarks/evidence.py --model imhead-open-small --out docs/images

`--only samples expressions lips slice fits` makes some of them. Nothing is chosen by its looks: the samples are the
first twelve of their seed, the fits are heads of the *dev* split named below, and every channel is shown.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from headfield.evaluate.cases import heads, make_case
from headfield.evaluate.measured import compare, numbers
from headfield.evaluate.options import Options, Settings
from headfield.evaluate.pictures import ERROR_MM, case_pictures
from headfield.evaluate.protocols import protocol_named
from headfield.evaluate.run import case_name
from headfield.evaluate.slices import plane_points, slice_picture
from headfield.evaluate.truth import millimetres, truth_of
from headfield.fit.run import fit
from headfield.frames import ANCHOR_NAMES
from headfield.models.prior import BARE
from headfield.models.release import load
from headfield.surface.head import Head
from headfield.surface.mesh_head import mesh_of
from headfield.surface.sheet import contact_sheet, error_colours, error_legend, write_png
from headfield.surface.snapshot import render
from headfield.types import ARKIT, Codes

COLOURS = 256
"""Of the files, so that they stay small enough to be kept in the repository."""

LIPS = (
    "neutral", "jawOpen", "mouthFunnel", "mouthPucker", "mouthSmileLeft+Right", "mouthFrownLeft+Right",
    "mouthUpperUpLeft+Right", "mouthLowerDownLeft+Right", "mouthRollLower", "mouthPressLeft+Right",
    "mouthClose+jawOpen", "mouthLeft",
)  # fmt: skip
EYES = (
    "neutral", "eyeBlinkLeft+Right", "eyeSquintLeft+Right", "eyeWideLeft+Right", "browInnerUp", "browDownLeft+Right",
)  # fmt: skip
"""Channels of the close-ups, all at weight 1; ``Left+Right`` is both sides."""

PLANES = {"sagittal": ("x", 0.0), "coronal, through the ears": ("z", -0.2), "transverse, at the eyes": ("y", 0.075)}

FITS = (
    ("haired", "ict", 0, "full scan, hair"),
    ("haired", "anny", 0, "full scan, hair"),
    ("depth-bald", "anny", 1, "frontal depth map"),
    ("posed", "ict", 1, "full scan, posed"),
    ("full-anny", "anny", 2, "full scan, neutral"),
    ("full-ict", "ict", 2, "full scan, neutral"),
)
"""Protocol, family, number in the dev split, and what it is; fixed before any was looked at."""

SLICE, FIT = 360, 240
"""Pixels of one picture."""

STEEP = 0.5
"""Dark end of the scale for | |grad f| - 1 |."""


def samples(model, options) -> dict[str, np.ndarray]:
    """The heads of ``headfield sample -n 12 --sd 0.8``, each named by its hair class."""
    prior, shares = model.prior, np.array(model.prior.weights or [1.0])
    drawn = prior.draw(12, np.random.default_rng(options.seed), 0.8)
    # the draw begins with the classes: the same generator tells them
    kinds = np.random.default_rng(options.seed).choice(prior.classes, 12, p=shares / shares.sum())
    meshes = [mesh_of(model, Codes(torch.from_numpy(code)[None]), options.resolution) for code in drawn]
    frame = np.concatenate([mesh.vertices for mesh in meshes])
    pictures = [render(mesh, view="three_quarter", size=300, frame_on=frame, zoom=1.04) for mesh in meshes]
    labels = [f"{index + 1}: {prior.names[kind]}" for index, kind in enumerate(kinds)]
    return {"samples": contact_sheet(pictures, 4, labels, "Twelve heads drawn from the prior, 0.8 sd")}


def bare_head(model) -> Head:
    """The mean head without hair, or of everybody when the prior has no hair classes."""
    return Head(model, model.mean_codes(model.prior.names.index(BARE) if BARE in model.prior.names else 0))


def posed(head: Head, label: str, resolution: int):
    """Mesh of a head with every channel that a label names at weight 1."""
    both = label.removesuffix("Left+Right")
    names = label.split("+") if both == label else (f"{both}Left", f"{both}Right")
    return head.with_expression({name: 1.0 for name in names if name != "neutral"}).mesh(resolution)


def around(head: Head, names: tuple[str, ...]) -> np.ndarray:
    """Anchors of the neutral head whose names start so: what a camera frames."""
    return head.anchors()[[name.startswith(names) for name in ANCHOR_NAMES]]


def expressions(model, options) -> dict[str, np.ndarray]:
    """Every channel at weight 1 on one head."""
    head = bare_head(model)
    frame = around(head, ("brow_", "temple", "throat"))
    labels = ("neutral", *ARKIT)
    pictures = [
        render(posed(head, name, options.resolution), size=(150, 170), frame_on=frame, occlusion_rays=4)
        for name in labels
    ]
    title = "The 52 ARKit channels at weight 1, on the mean head"
    return {"expressions": contact_sheet(pictures, 9, labels, title)}


def lips(model, options) -> dict[str, np.ndarray]:
    """Close-ups of the mouth and of one eye."""
    head = bare_head(model)
    places = [
        (LIPS, around(head, ("mouth_corner", "upper_lip", "chin"))),
        (EYES, around(head, ("eye_inner_left", "eye_outer_left", "brow_left"))),
    ]
    views = [(label, frame) for names, frame in places for label in names]
    pictures = [render(posed(head, label, options.fine), size=220, frame_on=frame, zoom=0.88) for label, frame in views]
    title = "Lips and lids at weight 1, on the mean head"
    return {"lips_and_lids": contact_sheet(pictures, 6, [label for label, _ in views], title)}


def slice_(model, options) -> dict[str, np.ndarray]:
    """The field of the mean head on three planes: levels above, steepness below."""
    head = bare_head(model)
    box = np.asarray(model.box, dtype=float)
    above, below = [], []
    for axis, at in PLANES.values():
        above.append(slice_picture(head.signed_distance, box, axis, at, size=SLICE, step_mm=5.0))
        points, pixel = plane_points(box, axis, at, SLICE)
        below.append(steepness(model, head, points, pixel))
    labels = [f"{name}: levels every 5 mm" for name in PLANES] + [f"{name}: gradient" for name in PLANES]
    legend = error_legend(2 * SLICE, STEEP, "deviation of the gradient's length from 1")
    title = "The signed-distance field of the mean head"
    return {"slice": contact_sheet(above + below, 3, labels, title, legend)}


def steepness(model, head: Head, points: np.ndarray, pixel: float) -> np.ndarray:
    """Picture of | |grad f| - 1 | at points (H, W, 3), the skin in black."""
    values, slopes = [], []
    with torch.no_grad():
        condition = model.condition(head.codes)
        for rows in torch.from_numpy(points).reshape(-1, 3).split(16_384):
            value, gradient = model.value_and_gradient(rows[None], condition)
            values.append(value[0].numpy())
            slopes.append(gradient[0].norm(dim=-1).numpy())
    picture = error_colours(np.concatenate(slopes) - 1, STEEP)[:, :3]
    picture[np.abs(np.concatenate(values)) < pixel] = 25
    return picture.reshape(points.shape)


def fits(model, options) -> dict[str, np.ndarray]:
    """Six held-out heads: scan, truth, head and its distance from the truth."""
    images, labels = [], []
    settings, plan = Settings(options.model), Options(options.model)
    for name, family, index, what in FITS:
        protocol, begin = protocol_named(name), time.perf_counter()
        case = make_case(protocol, settings.split, family, index)
        found = fit(case.observed.scan, model, expression=protocol.expression, refuse=False)
        _, mesh, visible = next(heads(case, found, model, settings, posed=False))
        truth = truth_of(case.person, case.solid)
        values = numbers(compare(mesh, truth, millimetres(case.person), settings, visible))
        with tempfile.TemporaryDirectory() as folder:
            kept = Path(folder) / "cases" / f"{case_name((family, index))}.npz"
            kept.parent.mkdir()
            found.save(kept)
            images += case_pictures(protocol, plan, (family, index), Path(folder), size=FIT)
        labels += [f"{case.name}: {what}", "truth", "fitted head"]
        labels += [f"face {values['face']:.2f} mm, whole head {values['whole']:.2f} mm"]
        print(f"  {case.name} {what}: {labels[-1]}, {time.perf_counter() - begin:.0f} s", flush=True)
    legend = error_legend(4 * FIT, ERROR_MM, "distance from the fitted head to the true surface (mm)")
    title = "Six held-out heads, fitted from 5,000 points"
    return {"fits": contact_sheet(images, 4, labels, title, legend)}


PICTURES = {"samples": samples, "expressions": expressions, "lips": lips, "slice": slice_, "fits": fits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--only", nargs="*", default=list(PICTURES), choices=list(PICTURES))
    parser.add_argument("--resolution", type=int, default=192)
    parser.add_argument("--fine", type=int, default=320, help="resolution of the close-ups")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = load(options.model)
    for name in options.only:
        begin = time.perf_counter()
        for title, picture in PICTURES[name](model, options).items():
            path = options.out / f"{title}.png"
            write_png(picture, path, COLOURS)
            size = f"{picture.shape[1]} x {picture.shape[0]}, {path.stat().st_size / 1000:.0f} kB"
            print(f"{path}: {size}, {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
