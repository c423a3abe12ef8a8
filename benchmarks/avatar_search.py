"""What a training step of an avatar costs, and whether its search finds what the published search finds.

    python benchmarks/avatar_search.py runs/subject video/train --steps 20 --rays 400

The run is only read. Times are CPU time of one thread; a step is one of the geometry's (no warm-up), on the run's own
numbers of frames and rays. The two searches look along the same rays: foreground pixels at least two pixels inside the
mask, of frames spread over the video.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_erosion

from headfield.avatar.avatar import Avatar
from headfield.avatar.batch import Batches
from headfield.avatar.literal import literal_search
from headfield.avatar.morph import Poses
from headfield.avatar.options import AvatarTrainConfig
from headfield.avatar.search import DISAGREEMENT, search
from headfield.avatar.template import Template
from headfield.avatar.trainer import load, one_step, start
from headfield.avatar.video import read_video

FRAMES = 4
"""Frames that rays are taken of."""


def step_cost(run: Path, folder: Path, steps: int) -> np.ndarray:
    """CPU seconds of `steps` steps that go on from a run's avatar."""
    avatar, _ = load(run)
    with tempfile.TemporaryDirectory() as out:
        config = AvatarTrainConfig(folder, Path(out) / "run", warm_up=0, threads=1, pretrain_steps=0)
        trainer = start(config)
        trainer.avatar.load_state_dict(avatar.state_dict())
        for frame in range(len(trainer.video)):  # what is remembered of frames is made in their first steps
            trainer.batches.hits(frame)
            trainer.batches.starts(np.array([frame]))
        one_step(trainer)
        seconds = []
        for _ in range(steps):
            before = time.process_time()
            one_step(trainer)
            seconds.append(time.process_time() - before)
    return np.array(seconds)


def both_searches(avatar: Avatar, template: Template, folder: Path, rays: int) -> str:
    """A sentence on how often the default search's roots are the published one's, and what each costs."""
    batches = Batches(read_video(folder), template, 0, FRAMES, rays, 0.0)
    frames = np.unique(np.linspace(0, len(batches.video) - 1, FRAMES).round().astype(int))
    rng = np.random.default_rng(0)
    inside = [np.flatnonzero(binary_erosion(batches.masks[frame], iterations=2)) for frame in frames]
    batch = batches.of(frames, [np.sort(rng.choice(one, rays // len(frames), replace=False)) for one in inside])
    poses = Poses.of(template.rig, batches.expressions[frames], batches.poses[frames])
    found, cost, spent = [], [], []
    for literal in (False, True):
        bound, starts, before = avatar.bound(poses), batches.starts(frames), time.process_time()
        found.append(literal_search(bound, batch.rays) if literal else search(bound, batch.rays, starts))
        spent.append(1e3 * (time.process_time() - before) / rays)
        cost.append((bound.tally.deformation + bound.tally.geometry) / rays)
    quick, slow = found
    same = (quick.depth - slow.depth).abs() <= DISAGREEMENT
    same |= ~quick.surface & ~slow.surface
    return (
        f"{float(same.double().mean()):.2%} of {len(same)} interior rays have the same answer (0.5 mm); "
        f"evaluations a ray {cost[0]:.0f} against {cost[1]:.0f}, CPU {spent[0]:.2f} ms against {spent[1]:.2f} ms"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("video", type=Path, help="the video that it was trained on")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rays", type=int, default=400)
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds = step_cost(args.run, args.video, args.steps)
    print(f"a step: median {np.median(seconds):.3f} CPU s, least {seconds.min():.3f} ({len(seconds)} steps)")
    avatar, template = load(args.run)
    print(both_searches(avatar, template, args.video, args.rays))


if __name__ == "__main__":
    main()
