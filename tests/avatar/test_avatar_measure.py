"""The measures on pictures whose answers are known, and the trivial rival on a video."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from toy_rig import toy_rig
from toy_video import toy_subject, write_toy_video

from headfield.avatar.avatar import Avatar
from headfield.avatar.config import tiny
from headfield.avatar.measure import FrameScores, Score, compare, gain, means, measure
from headfield.avatar.rival import View, bake
from headfield.avatar.template import Template
from headfield.avatar.video import read_video
from headfield.errors import VideoError
from headfield.io.normal_picture import coloured_normals, normal_colours


def test_pictures_of_normals_are_read_as_they_were():
    normals = np.random.default_rng(0).standard_normal((20, 30, 3))
    normals /= np.linalg.norm(normals, axis=2, keepdims=True)
    normals[3:5] = np.nan
    back = coloured_normals(normal_colours(normals))
    assert np.array_equal(np.isnan(back), np.isnan(normals))
    angle = np.degrees(np.arccos(np.clip((back * normals).sum(2), -1, 1)))
    print(f"mean {np.nanmean(angle):.2f} degrees, worst {np.nanmax(angle):.2f}")
    assert np.nanmean(angle) < 0.3 and np.nanmax(angle) < 0.6


def test_regions_are_measured_apart():
    """Skin is tilted by 10 degrees and darker by 0.1, the mouth is missing."""
    size = (40, 40)
    normals = np.zeros((*size, 3))
    normals[..., 2] = 1.0
    semantic = np.ones(size, dtype=np.uint8)
    semantic[30:] = 11
    tilted = np.zeros_like(normals)
    tilted[..., 1], tilted[..., 2] = np.sin(np.radians(10)), np.cos(np.radians(10))
    tilted[30:] = np.nan
    image = np.full((*size, 3), 128, dtype=np.uint8)
    darker = (image - np.uint8(25.5)).astype(np.uint8)
    darker[30:] = 255
    scores = compare(View(image, normals), View(darker, tilted), np.ones(size, dtype=bool), semantic)
    skin, mouth, face = (scores.regions[name] for name in ("skin", "mouth", "face"))
    assert skin.normals == pytest.approx(10.0, abs=1e-6) and skin.holes == 0.0 and mouth.holes == 1.0
    assert skin.l1 == pytest.approx(25 / 255) and skin.mse == pytest.approx((25 / 255) ** 2)
    assert mouth.l1 == pytest.approx(127 / 255) and face.holes == pytest.approx(0.25)
    assert scores.iou == pytest.approx(0.75) and "eyes" not in scores.regions
    same = compare(View(image, normals), View(image, normals), np.ones(size, dtype=bool), semantic).regions["skin"]
    assert same.normals < 1e-4 and same.ssim == pytest.approx(1.0) and skin.ssim < 0.99


def scores(*degrees: float) -> list[FrameScores]:
    return [FrameScores(1.0, {"skin": Score(100, one, 0.0, 0.1, 0.01, 0.9)}) for one in degrees]


def test_means_and_gains_are_over_frames():
    ours, theirs = [*scores(4.0, 6.0, 8.0), FrameScores(1.0, {})], [*scores(9.0, 11.0, 13.0), FrameScores(1.0, {})]
    assert means(ours, "skin")["frames"] == 3 and means(ours, "skin")["normals"] == pytest.approx(6.0)
    assert means(ours, "skin")["psnr"] == pytest.approx(20.0) and means(ours, "mouth") == {}
    assert gain(ours, theirs, "skin") == pytest.approx((5.0, 5.0, 5.0))


def test_the_rival_is_the_template_with_the_colours_of_the_video(tmp_path):
    write_toy_video(tmp_path / "train", frames=4, size=48)
    video, subject = read_video(tmp_path / "train"), toy_subject()
    expressions, poses = video.tracks(toy_rig())
    off = {}
    for name, rig in (("template", subject.template), ("truth", subject.rig)):
        seen = bake(Template(rig), video).view(video.cameras[1], expressions[1], poses[1])
        angle = np.degrees(np.arccos(np.clip((seen.normals * video.normals(1)).sum(2), -1, 1)))
        both = seen.mask & video.mask(1)
        gap = np.abs(seen.image.astype(float) - video.image(1))[both].mean()
        off[name] = float(np.nanmean(angle))
        print(f"{name}: normals {off[name]:.2f} degrees, colours {gap:.1f} of 255")
        assert both.sum() > 0.9 * video.mask(1).sum() and gap < 12
    assert off["truth"] < 0.5 and off["template"] > 4 * off["truth"], "the bump that the template lacks is told"
    shutil.rmtree(tmp_path / "train" / "normal")
    with pytest.raises(VideoError, match="no normal/"):
        measure(Avatar(tiny(), 2, 3), bake(Template(subject.template), video), video)
