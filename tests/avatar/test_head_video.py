"""Videos on disk: what is written is what is read, and bad input is told by name."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from toy_rig import toy_rig
from toy_video import change_json, toy_subject, toy_take, write_toy_video

from headfield.avatar.batch import Batches
from headfield.avatar.check import check_cameras
from headfield.avatar.template import Template
from headfield.avatar.video import read_video
from headfield.errors import VideoError
from headfield.io.video_camera import FILE, VideoCamera
from headfield.synth.video import render_frame, video_camera


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A folder with a toy video."""
    folder = tmp_path_factory.mktemp("video") / "train"
    write_toy_video(folder)
    return folder


@pytest.fixture
def video(filmed, tmp_path):
    """A copy of it to break."""
    return shutil.copytree(filmed, tmp_path / "train")


def test_a_ray_through_a_point_s_pixel_meets_the_point():
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    camera = VideoCamera(np.c_[turn, [0.1, -0.2, -5.0]], np.array([-3.0, 2.5, 0.45, 0.55]), (60, 80))
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    places, depth = camera.project(points)
    away = points - camera.origin
    along = camera.through(places)
    assert (depth > 0).all()
    assert np.allclose(away / np.linalg.norm(away, axis=1, keepdims=True), along, atol=1e-12)
    left = video_camera(100).project(np.array([[0.3, 0.2, 0.0], [0.0, 0.0, 0.0]]))[0]
    assert left[0, 0] > left[1, 0] and left[0, 1] < left[1, 1], "the subject's left is on the right, up is up"


def test_what_is_written_is_read(filmed):
    take, video = toy_take(4), read_video(filmed)
    expressions, poses = video.tracks(toy_rig())
    assert np.allclose(expressions, take.channels) and np.allclose(poses, take.poses)
    picture = render_frame(toy_subject(), video_camera(32), take.channels[1], take.poses[1], 1)
    assert np.array_equal(video.image(1), picture.image) and np.array_equal(video.mask(1), picture.mask)
    assert np.array_equal(video.semantic(1), picture.semantic)
    assert video.size == (32, 32) and (video.boxes[:, 2:] > video.boxes[:, :2]).all()
    assert len(read_video(filmed, size=(64, 64))) == 4


def test_the_template_s_interval_holds_the_surface(filmed):
    """The truth stands out by 7 mm, the interval begins 15 mm before the template."""
    video, subject = read_video(filmed), toy_subject()
    template = Template(toy_rig())
    batches = Batches(video, template, 0, 2, 64, 0.0)
    for frame in range(2):
        hits = batches.hits(frame)
        seen = render_frame(subject, video.cameras[frame], batches.expressions[frame], batches.poses[frame], 1)
        depth = np.linalg.norm(seen.places - video.cameras[frame].origin, axis=2).ravel()
        solid = np.isfinite(depth)
        within = (hits.near.numpy() < depth) & (depth < hits.far.numpy())
        print(f"frame {frame}: {within[solid].mean():.3f} of {solid.sum()} surface pixels in the interval")
        assert within[solid].mean() > 0.95
    batch = batches.draw(3)
    again = batches.draw(3)
    assert np.array_equal(batch.rays.direction, again.rays.direction), "a batch is a function of seed and step"


def test_cameras_that_fit_pass_and_wrong_ones_are_shown(video, tmp_path):
    check_cameras(Batches(read_video(video), Template(toy_rig()), 0, 2, 64, 0.0), tmp_path / "picture.png")
    assert not (tmp_path / "picture.png").exists()

    def aside(content):
        for frame in content["frames"]:
            frame["world_mat"][0][3] += 1.0

    change_json(video, aside)
    with pytest.raises(VideoError, match="picture.png"):
        check_cameras(Batches(read_video(video), Template(toy_rig()), 0, 2, 64, 0.0), tmp_path / "picture.png")
    assert (tmp_path / "picture.png").is_file()


BROKEN = {
    "wrong sign": (lambda c: c.update(intrinsics=[3.0, 3.0, 0.5, 0.5]), "fx < 0 and fy > 0"),
    "upside down": (lambda c: c.update(intrinsics=[-3.0, -3.0, 0.5, 0.5]), "fx < 0 and fy > 0"),
    "no intrinsics": (lambda c: c.pop("intrinsics"), "'intrinsics' is missing"),
    "no frames": (lambda c: c.pop("frames"), "'frames' is missing"),
    "one frame": (lambda c: c.update(frames=c["frames"][:1]), "at least 2"),
    "no pose": (lambda c: c["frames"][2].pop("pose"), "frame 3"),
    "short pose": (lambda c: c["frames"][2].update(pose=[0.0] * 6), r"frame 3: 'pose' of shape \(6,\)"),
    "words": (lambda c: c["frames"][1].update(channels=["a", "b"]), "frame 2"),
    "mirrored": (lambda c: c["frames"][0]["world_mat"][0].__setitem__(0, -1.0), "no rotation"),
    "no template": (lambda c: c.pop("channels"), "'channels' is missing"),
    "FLAME": (lambda c: (c.pop("channels"), c.update(shape_params=[0.0] * 100)), "flame.is.tue.mpg.de"),
    "a way out": (lambda c: c["frames"][0].update(file_path="../../1"), "leads out"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_json_is_explained(video, name):
    change, message = BROKEN[name]
    change_json(video, change)
    with pytest.raises(VideoError, match=message):
        read_video(video)


def test_bad_folders_are_explained(video, tmp_path):
    with pytest.raises(VideoError, match="train"):
        read_video(video.parent)
    (video / "mask" / "3.png").unlink()
    with pytest.raises(VideoError, match="3.png is missing.*white on black"):
        read_video(video)
    Image.new("L", (32, 32)).save(video / "mask" / "3.png")
    with pytest.raises(VideoError, match="nobody is in frame 3"):
        read_video(video).mask(2)
    (video / "image" / "2.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="2.png"):
        read_video(video).image(1)
    Image.new("RGB", (16, 16)).save(video / "image" / "2.png")
    with pytest.raises(VideoError, match="16 x 16"):
        read_video(video).image(1)
    (video / FILE).write_text(json.dumps({"frames": []})[:-2])
    with pytest.raises(VideoError, match="not JSON"):
        read_video(video)


def test_channels_that_the_template_lacks_are_refused(video):
    change_json(video, lambda content: content["channels"].update(names=["smile", "wiggle"]))
    with pytest.raises(VideoError, match="wiggle"):
        read_video(video).tracks(toy_rig())
