"""The face finder's training: losses know right from wrong, a run that was stopped goes on as if it never was."""

from pathlib import Path

import numpy as np
import torch
from fake_face_heads import fake_face_heads
from safetensors.torch import load_file

from headfield.nn.face_net import FaceMaps, FaceNet
from headfield.synth.face_clouds import draw_cloud
from headfield.train.face_finder import FaceFinderConfig, losses, pictures, train


def run(out: Path, *steps: int) -> dict[str, torch.Tensor]:
    out.mkdir()
    fake_face_heads().save(out / "heads.npz")
    for count in steps:
        path = train(FaceFinderConfig(out, steps=count, batch=4, pool=4, fresh=1))
    return load_file(path)


def test_a_stopped_run_goes_on_exactly(tmp_path):
    whole, resumed = run(tmp_path / "whole", 4), run(tmp_path / "resumed", 2, 4)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    FaceNet().load_state_dict({name: value.float() for name, value in whole.items()}, strict=False)


def test_the_losses_are_least_at_the_truth():
    rng = np.random.default_rng(0)
    pool = [draw_cloud(fake_face_heads(), rng, kind) for kind in ("whole", "mask", "depth", "thing")]
    views, standings = pictures(pool, 12, rng)
    truth, face = views.attributes[:, :3], views.attributes[:, 3]
    assert bool((standings[:, 0] < 60).any()) and bool((standings == 180).any())
    upright = (standings[:, 0] < 62) & (standings[:, 1] < 55)
    ahead = (standings[:, 0] < 80) & (standings[:, 1] < 65)
    logit = torch.where((face > 0.5) & ahead[:, None, None], 9.0, -9.0)
    spread = torch.full_like(face, 0.02)
    right = losses(FaceMaps(truth, spread, logit, torch.where(upright, 9.0, -9.0)), views, standings)
    wrong = losses(FaceMaps(truth + 0.1, spread, -logit, torch.where(upright, -9.0, 9.0)), views, standings)
    for name in right:
        assert float(right[name]) < float(wrong[name]) - 0.5
