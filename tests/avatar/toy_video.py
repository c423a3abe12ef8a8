"""A video of the toy rig in the published layout: what is filmed has a bump that its template lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from toy_rig import toy_rig

from headfield.io.video_camera import FILE
from headfield.synth.video import Take, VideoConfig, write_take
from headfield.synth.video_subject import Subject


def toy_subject() -> Subject:
    """The egg with a bump on its forehead, coloured by place."""
    rig = toy_rig()
    vertices = rig.vertices
    bump = 0.03 * np.exp(-(((vertices - [0.1, 0.3, 0.2]) / 0.12) ** 2).sum(1))
    out = vertices - [0.0, 0.05, -0.1]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    colour = np.clip(0.5 + 0.4 * np.sin(6 * vertices), 0.05, 0.95)
    return Subject(
        name="toy",
        identity=np.zeros(8),
        rig=replace(rig, vertices=vertices + bump[:, None] * out),
        template=rig,
        albedo=colour,
        label=np.ones(len(vertices), dtype=int),
        landmarks=np.flatnonzero(vertices[:, 2] > 0.2)[:68],
        face=vertices[:, 2] > 0.1,
    )


def toy_take(frames: int, seed: int = 0) -> Take:
    """Random mild motion."""
    rng = np.random.default_rng(seed)
    poses = np.zeros((frames, 3, 3))
    poses[:, 1] = rng.uniform(-0.2, 0.2, (frames, 3))
    poses[:, 2, 0] = rng.uniform(0.05, 0.4, frames)
    return Take(rng.uniform(0.0, 0.8, (frames, 2)), poses)


def write_toy_video(folder: Path, frames: int = 4, size: int = 32) -> Take:
    """Film it."""
    take = toy_take(frames)
    write_take(toy_subject(), take, VideoConfig(size=size, samples=1), folder)
    return take


def change_json(folder: Path, change) -> None:
    """Let a function change the content of a video's json in place."""
    path = folder / FILE
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
