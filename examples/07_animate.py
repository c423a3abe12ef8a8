"""Animate a head and write it for Blender, Unreal or a web page.

A track is 52 ARKit weights over time: recorded with a telephone (`read_track("take.csv")` of Live Link Face), from a
webcam (MediaPipe scores), or made of named expressions as here. Baking gives the head 52 morph targets on one topology,
named as ARKit names them; the track becomes the animation of the GLB. Take about 20,000 vertices for real use.

    python examples/07_animate.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

import headfield
from headfield.edit.presets import parse_presets, preset_loop
from headfield.edit.tracks import head_rotation, resample, smooth
from headfield.io.gltf_animation import with_animation
from headfield.surface.bake import bake
from headfield.surface.head import Head
from headfield.surface.sheet import contact_sheet, write_png
from headfield.surface.snapshot import render

METRES = 0.25  # of a model unit, on an average adult

names, weights = parse_presets(["smile", "surprise", "wink=0.9", "jawOpen=0.6"])
track = smooth(resample(preset_loop(weights), fps=24), min_cutoff=4.0)
swing = 0.2 * np.sin(2 * np.pi * np.arange(len(track)) / len(track))  # radians to the left and to the right
track = replace(track, rotation=head_rotation(np.column_stack([swing, 0 * swing, 0 * swing])))
print(f"{len(track)} frames, {track.seconds:.1f} s of {', '.join(names)}")

model = headfield.load("imhead-open-small")
head = Head(model, model.mean_codes(model.prior.names.index("bald")))
baked = bake(model, head.codes, vertices=1500, resolution=96)
glb = with_animation(baked.glb(METRES), track.times, track.weights, track.rotation, pivot=head.pivot() * METRES)

out = Path("out/examples")
out.mkdir(parents=True, exist_ok=True)
(out / "take.glb").write_bytes(glb)
print(f"take.glb: {len(baked.neutral):,} vertices, 52 shapes, {len(glb) / 1e6:.1f} MB")

pictures = [render(baked.mesh(row), size=240, frame_on=baked.neutral) for row in weights]
write_png(contact_sheet(pictures, columns=4, labels=list(names)), out / "animate.png")
