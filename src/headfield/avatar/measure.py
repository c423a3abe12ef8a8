"""How near an avatar comes to the truth on frames that it has not seen, beside the trivial rival.

Numbers are means over the pixels of a region, taken frame by frame, then over the frames that show the region at all
(IMAvatar's tables: frame by frame). Regions are those of the video's semantic pictures; pictures stand on white.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from headfield.avatar.avatar import Avatar
from headfield.avatar.render import render
from headfield.avatar.rival import Rival, View
from headfield.avatar.template import Template
from headfield.avatar.video import HeadVideo
from headfield.errors import VideoError

REGIONS = {
    "face": (1, 2, 3, 4, 5, 10, 11, 12, 13),
    "skin": (1, 2, 3, 10, 12, 13),
    "mouth": (11,),
    "eyes": (4, 5),
}
"""Semantic labels of what is measured apart; the face is the other three together. Lips and brows count as skin, ears,
neck and hair are left out."""

LEAST_PIXELS = 12
"""A frame that shows less of a region says nothing of it."""


@dataclass(frozen=True)
class Score:
    """One region of one frame.

    Attributes:
        pixels: How many.
        normals: Mean angle between normals, degrees, over pixels in which there is a surface.
        holes: Share of pixels in which there is none.
        l1: Mean absolute difference of colours in 0..1.
        mse: Mean squared difference of colours in 0..1.
        ssim: Mean structural similarity (Gaussian window of 1.5 pixels).
    """

    pixels: int
    normals: float
    holes: float
    l1: float
    mse: float
    ssim: float


@dataclass(frozen=True)
class FrameScores:
    """What one frame says of one contender: its regions, and the overlap of silhouettes."""

    iou: float
    regions: dict[str, Score]


def compare(truth: View, seen: View, mask: np.ndarray, semantic: np.ndarray) -> FrameScores:
    """Scores of a picture.

    Args:
        truth: What the video shows, with the true normals.
        seen: What is measured.
        mask: (H, W) bool, the person.
        semantic: (H, W) labels.
    """
    picture, other = truth.image / 255.0, seen.image / 255.0
    _, similar, *_ = structural_similarity(
        picture, other, channel_axis=2, full=True, data_range=1.0,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    angle = np.degrees(np.arccos(np.clip((truth.normals * seen.normals).sum(2), -1.0, 1.0)))
    gap, regions = np.abs(picture - other), {}
    for name, labels in REGIONS.items():
        here = np.isin(semantic, labels) & truth.mask
        if here.sum() >= LEAST_PIXELS:
            angles = angle[here]
            known = np.isfinite(angles)
            regions[name] = Score(
                pixels=int(here.sum()),
                normals=float(angles[known].mean()) if known.any() else 90.0,
                holes=float(1.0 - known.mean()),
                l1=float(gap[here].mean()),
                mse=float((gap[here] ** 2).mean()),
                ssim=float(similar[here].mean()),
            )
    return FrameScores(float((mask & seen.mask).sum() / max((mask | seen.mask).sum(), 1)), regions)


def measure(
    avatar: Avatar,
    rival: Rival,
    video: HeadVideo,
    on_frame: Callable[[int, View, View, View], None] | None = None,
) -> tuple[list[FrameScores], list[FrameScores]]:
    """Scores of an avatar and of its rival on every frame of a video.

    Args:
        avatar: The avatar.
        rival: Its template with colours.
        video: With true normals and semantic pictures.
        on_frame: Told the frame, truth, avatar and rival.
    Raises:
        VideoError: The video lacks normals or semantic pictures.
    """
    template: Template = rival.template
    expressions, poses = video.tracks(template.rig)
    ours, theirs = [], []
    for frame, camera in enumerate(video.cameras):
        normals, semantic = video.normals(frame), video.semantic(frame)
        if normals is None or semantic is None:
            raise VideoError(
                f"{video.folder}: frame {frame + 1} has no normal/ or no semantic/ picture; an avatar is measured on "
                "films of headfield avatar film, which hold the truth."
            )
        truth = View(video.image(frame), normals)
        shown = render(avatar, template, camera, expressions[frame], poses[frame])
        mine, other = View(shown.image, shown.normals), rival.view(camera, expressions[frame], poses[frame])
        ours.append(compare(truth, mine, video.mask(frame), semantic))
        theirs.append(compare(truth, other, video.mask(frame), semantic))
        if on_frame:
            on_frame(frame, truth, mine, other)
    return ours, theirs


def means(scores: Sequence[FrameScores], region: str) -> dict[str, float]:
    """Mean numbers of a region over the frames that show it, with ``psnr``, the mean of the frames' own, in dB."""
    shown = [one.regions[region] for one in scores if region in one.regions]
    if not shown:
        return {}
    names = ("pixels", "normals", "holes", "l1", "ssim")
    found = {name: float(np.mean([getattr(one, name) for one in shown])) for name in names}
    decibels = [-10 * np.log10(max(one.mse, 1e-10)) for one in shown]
    return {"frames": len(shown), **found, "psnr": float(np.mean(decibels))}


def gain(ours: Sequence[FrameScores], theirs: Sequence[FrameScores], region: str) -> tuple[float, float, float]:
    """By how many degrees the avatar's normals are nearer than the rival's, and the 95 % interval over frames."""
    both = [(a.regions[region], b.regions[region]) for a, b in zip(ours, theirs) if region in a.regions]
    difference = np.array([b.normals - a.normals for a, b in both])
    if not len(difference):
        return float("nan"), float("nan"), float("nan")
    drawn = np.random.default_rng(0).integers(0, len(difference), (2000, len(difference)))
    low, high = np.quantile(difference[drawn].mean(1), [0.025, 0.975])
    return float(difference.mean()), float(low), float(high)


def table(ours: Sequence[FrameScores], theirs: Sequence[FrameScores]) -> str:
    """Markdown: a line for each region and contender."""
    lines = ["| region | | frames | normals | holes | L1 | PSNR | SSIM |", "|---|---|---|---|---|---|---|---|"]
    for region in REGIONS:
        for name, scores in (("avatar", ours), ("template", theirs)):
            one = means(scores, region)
            if one:
                shape = f"{one['frames']} | {one['normals']:.1f}° | {one['holes']:.1%}"
                colour = f"{one['l1']:.4f} | {one['psnr']:.2f} dB | {one['ssim']:.3f}"
                lines.append(f"| {region} | {name} | {shape} | {colour} |")
    overlap = [float(np.mean([one.iou for one in scores])) for scores in (ours, theirs)]
    mean, low, high = gain(ours, theirs, "skin")
    lines += [
        "",
        f"Silhouettes: IoU {overlap[0]:.3f} avatar, {overlap[1]:.3f} template.",
        f"Skin normals: the avatar's are {abs(mean):.1f}° {'nearer' if mean >= 0 else 'farther'} than the template's",
        f"(95 % of resampled frames: {low:+.1f} to {high:+.1f}, + is nearer).",
    ]
    return "\n".join(lines) + "\n"
