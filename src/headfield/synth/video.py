"""Synthetic head videos in IMAvatar's published layout, with the truth known.

A folder of a subject holds a folder each of *train* (mild speech), *dev* and *test* (stronger expressions and poses),
and each of these ``image/%d.png``, ``mask/%d.png``, ``semantic/%d.png`` from 1 on, the true normals ``normal/%d.png``
(:mod:`headfield.io.normal_picture`), and ``flame_params.json``:

* ``intrinsics`` (4,) and per frame ``world_mat`` (3, 4), see :mod:`headfield.io.video_camera`; ``pose`` (15,) rotation
  vectors of root, neck, jaw and two eyes; ``bbox`` (4,) of the face and ``flame_keypoints`` (68, 2), both in -1..1;
* in the place of FLAME's ``shape_params`` and ``expression``, which only the user's FLAME has, the extension key
  ``channels``: on top ``{"family", "identity", "names"}`` of the tracked template, per frame the numbers of the named
  channels.

Camera and light stand still in the world; the head turns.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headfield.io.normal_picture import normal_colours
from headfield.io.video_camera import FILE, POSE_JOINTS, VideoCamera
from headfield.parametric.ict_rig import JAW_OPEN_RADIANS
from headfield.parametric.topology import vertex_normals
from headfield.synth.expressions import draw_expressions
from headfield.synth.occlusion import Occluder
from headfield.synth.video_subject import TEMPLATE_MODES, Subject, draw_subject
from headfield.types import ARKIT

FOCAL = 4.0
"""Focal length in parts of the picture's side: a lens that portraits are taken with."""

DISTANCE = 5.2
"""Of the camera from the head, model units (1.3 m)."""

LIGHT = np.array([-0.45, 0.55, 0.7]) / np.linalg.norm([-0.45, 0.55, 0.7])
AMBIENT, DIRECT = 0.45, 0.85


@dataclass(frozen=True)
class VideoConfig:
    """A video of one subject."""

    seed: int = 0
    """Who, and what they say."""
    size: int = 128
    """Pixels along a side."""
    train: int = 300
    """Frames of mild speech."""
    dev: int = 20
    """Frames of stronger expressions to tune on."""
    test: int = 100
    """Frames of stronger expressions for the end."""
    samples: int = 3
    """Supersampling per axis."""


@dataclass(frozen=True)
class Take:
    """What a subject does.

    Attributes:
        channels: (F, E) numbers of the rig's channels.
        poses: (F, J, 3) rotation vectors, radians.
    """

    channels: np.ndarray
    poses: np.ndarray


def draw_take(subject: Subject, frames: int, strong: bool, rng: np.random.Generator) -> Take:
    """Smooth motion through random faces.

    Mild: faces at up to 0.45, the jaw of speech up to about 0.15 rad, turns of about 8 degrees. Strong: faces as drawn,
    the jaw up to its limit, turns of about 15 degrees.
    """
    rig, hold = subject.rig, 2 if strong else 6
    known = np.isin(ARKIT, [*rig.channels, "jawOpen"])
    count = frames // hold + 3
    faces = draw_expressions(rng, count, known) * (1.0 if strong else 0.45)
    at = np.arange(frames) / hold
    low, share = at.astype(int), (at % 1.0)[:, None]
    share = share * share * (3 - 2 * share)
    weights = (1 - share) * faces[low] + share * faces[low + 1]
    jaw = weights[:, ARKIT.index("jawOpen")] * JAW_OPEN_RADIANS
    if not strong:  # syllables
        jaw = jaw + 0.12 * np.maximum(np.sin(1.3 * np.arange(frames) + rng.uniform(0, 6)), 0.0)
    turns = rng.standard_normal((count, 3)) * (0.26 if strong else 0.14) * [0.6, 1.2, 0.4]
    poses = np.zeros((frames, len(rig.joints), 3))
    poses[:, rig.joints.index("neck")] = (1 - share) * turns[low] + share * turns[low + 1]
    poses[:, rig.joints.index("jaw"), 0] = np.clip(jaw, 0.0, JAW_OPEN_RADIANS)
    return Take(weights[:, [ARKIT.index(name) for name in rig.channels]], poses)


def video_camera(size: int) -> VideoCamera:
    """The camera of all synthetic videos: in front, a little above the middle of the head."""
    world = np.concatenate([np.eye(3), [[0.0], [-0.02], [-DISTANCE]]], axis=1)
    return VideoCamera(world, np.array([-FOCAL, FOCAL, 0.5, 0.5]), (size, size))


@dataclass(frozen=True)
class Picture:
    """A rendered frame.

    Attributes:
        image: (H, W, 3) uint8 sRGB on white.
        mask: (H, W) bool.
        semantic: (H, W) uint8.
        normals: (H, W, 3) of the pixel's middle, model frame, NaN on the background.
        places: (H, W, 3) what is seen there, model units.
    """

    image: np.ndarray
    mask: np.ndarray
    semantic: np.ndarray
    normals: np.ndarray
    places: np.ndarray


def render_frame(
    subject: Subject, camera: VideoCamera, channels: np.ndarray, pose: np.ndarray, samples: int
) -> Picture:
    """A picture of the subject in one frame, lit by one light and the sky."""
    rig, (height, width) = subject.rig, camera.size
    vertices = rig.posed(channels, pose)
    normals, scene = vertex_normals(vertices, rig.triangles), Occluder(vertices, rig.triangles)
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    offsets = (np.arange(samples) + 0.5) / samples - 0.5
    light, covered = np.zeros((height * width, 3)), np.zeros(height * width)
    shown = {}
    for down in offsets:
        for right in offsets:
            places = np.stack([column.ravel() + right, row.ravel() + down], axis=1)
            hit, seen = _seen(subject, scene, vertices, normals, camera, camera.through(places))
            light[hit] += seen["colour"]
            covered[hit] += 1.0
            if abs(down) + abs(right) < 1e-9 or samples == 1:
                shown = {"hit": hit, **seen}
    if not shown:  # an even number of samples has none in the middle
        places = np.stack([column.ravel(), row.ravel()], axis=1)
        hit, seen = _seen(subject, scene, vertices, normals, camera, camera.through(places))
        shown = {"hit": hit, **seen}
    light = light + (samples**2 - covered)[:, None]
    image = np.round(255 * _srgb(light / samples**2)).astype(np.uint8).reshape(height, width, 3)
    flat = {name: np.full((height * width, 3), np.nan) for name in ("normal", "place")}
    semantic = np.zeros(height * width, dtype=np.uint8)
    for name, array in flat.items():
        array[shown["hit"]] = shown[name]
    semantic[shown["hit"]] = shown["label"]
    return Picture(
        image,
        (covered > samples**2 / 2).reshape(height, width),
        semantic.reshape(height, width),
        flat["normal"].reshape(height, width, 3),
        flat["place"].reshape(height, width, 3),
    )


def _seen(subject: Subject, scene: Occluder, vertices, normals, camera: VideoCamera, rays: np.ndarray):
    """Indices (N,) of rays that hit, and what they see: colour, normal, place, label."""
    triangle, distance = scene.first_hit(np.broadcast_to(camera.origin, rays.shape), rays)
    hit = np.flatnonzero(triangle >= 0)
    corners = subject.rig.triangles[triangle[hit]]
    place = camera.origin + distance[hit, None] * rays[hit]
    weights = _barycentric(place, vertices[corners])
    normal = np.einsum("nk,nkc->nc", weights, normals[corners])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    albedo = np.einsum("nk,nkc->nc", weights, subject.albedo[corners])
    lit = AMBIENT * (0.75 + 0.25 * normal[:, 1]) + DIRECT * np.maximum(normal @ LIGHT, 0.0)
    label = subject.label[corners[np.arange(len(hit)), weights.argmax(1)]]
    return hit, {"colour": albedo * lit[:, None], "normal": normal, "place": place, "label": label}


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    a, b, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    aa, ab, bb = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
    pa, pb = (p * a).sum(1), (p * b).sum(1)
    det = np.maximum(aa * bb - ab * ab, 1e-30)
    v, w = (bb * pa - ab * pb) / det, (aa * pb - ab * pa) / det
    weights = np.clip(np.stack([1 - v - w, v, w], axis=1), 0, 1)
    return weights / weights.sum(1, keepdims=True)


def _srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0.0, 1.0)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def write_take(subject: Subject, take: Take, config: VideoConfig, folder: Path) -> None:
    """Write a take's pictures and numbers into a folder, which is made."""
    for kind in ("image", "mask", "semantic", "normal"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    camera, frames = video_camera(config.size), []
    for number, (channels, pose) in enumerate(zip(take.channels, take.poses), start=1):
        picture = render_frame(subject, camera, channels, pose, config.samples)
        Image.fromarray(picture.image).save(folder / "image" / f"{number}.png")
        Image.fromarray(np.uint8(255) * picture.mask.astype(np.uint8)).save(folder / "mask" / f"{number}.png")
        Image.fromarray(picture.semantic).save(folder / "semantic" / f"{number}.png")
        Image.fromarray(normal_colours(picture.normals)).save(folder / "normal" / f"{number}.png")
        marks, _ = camera.project(subject.rig.posed(channels, pose)[subject.landmarks])
        keypoints = 2 * marks / config.size - 1
        low, high = keypoints.min(0), keypoints.max(0)
        room = 0.1 * (high - low)
        full = np.zeros((len(POSE_JOINTS), 3))
        for joint, turn in zip(subject.rig.joints, pose):
            full[POSE_JOINTS.index(joint)] = turn
        frames.append(
            {
                "file_path": f"./image/{number}",
                "world_mat": camera.world.tolist(),
                "pose": full.ravel().tolist(),
                "bbox": np.clip([*(low - room), *(high + room)], -1, 1).tolist(),
                "flame_keypoints": keypoints.tolist(),
                "channels": channels.tolist(),
            }
        )
    content = {
        "frames": frames,
        "intrinsics": camera.intrinsics.tolist(),
        "channels": {
            "family": "ict",
            "identity": subject.identity[:TEMPLATE_MODES].tolist(),
            "names": list(subject.rig.channels),
        },
    }
    (folder / FILE).write_text(json.dumps(content))


def make_video(config: VideoConfig, folder: Path) -> Subject:
    """Film a subject: ``train``, ``dev`` and ``test`` below a folder, and ``subject.json`` with what was asked for.

    Raises:
        DataError: ICT-FaceKit is missing.
    """
    from headfield.parametric.ict import load_ict

    subject = draw_subject(load_ict(), config.seed)
    for number, (name, count) in enumerate((("train", config.train), ("dev", config.dev), ("test", config.test))):
        if count:
            rng = np.random.default_rng([config.seed, 11, number])
            write_take(subject, draw_take(subject, count, name != "train", rng), config, folder / name)
    mean, high = subject.template_distance()
    stated = {"template_mm": {"mean": round(mean, 3), "p95": round(high, 3)}}
    (folder / "subject.json").write_text(json.dumps({"video": asdict(config), "name": subject.name, **stated}))
    return subject
