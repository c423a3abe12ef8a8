"""Before any training: do the cameras of a video and its tracks show the person where the masks are?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from headfield.avatar.batch import Batches
from headfield.errors import VideoError
from headfield.surface.sheet import contact_sheet, write_png

LEAST_OVERLAP = 0.5
"""`overlap` of mask and projected template below which a camera is wrong."""

FRAMES = 5
"""Frames that are looked at, spread over the video."""


def overlap(template: np.ndarray, mask: np.ndarray) -> float:
    """Share of the template's silhouette (H, W) in the mask (H, W), or twice that of the mask's in the silhouette.

    The lesser of the two: masks hold shoulders and hair that the template lacks, but not more than as much again.
    """
    both = (template & mask).sum()
    return float(min(both / max(template.sum(), 1), 2.0 * both / max(mask.sum(), 1), 1.0))


def check_cameras(batches: Batches, picture: Path) -> None:
    """Project the template into some frames.

    Args:
        batches: Of the video.
        picture: Where pictures of the frames go if they do not fit: the mask grey, the template's silhouette red.
    Raises:
        VideoError: The template misses the mask in most of them; the message names the picture.
    """
    frames = np.unique(np.linspace(0, len(batches.video) - 1, FRAMES).round().astype(int))
    seen = [batches.hits(int(frame)).start[:, 0].isfinite().numpy().reshape(batches.video.size) for frame in frames]
    shares = [overlap(silhouette, batches.masks[frame]) for silhouette, frame in zip(seen, frames)]
    if np.median(shares) >= LEAST_OVERLAP:
        return
    images = []
    for silhouette, frame in zip(seen, frames):
        image = np.full((*batches.video.size, 3), 255, dtype=np.uint8)
        image[batches.masks[frame]] = 170
        image[silhouette] = (0.5 * image[silhouette] + [110, 20, 20]).astype(np.uint8)
        images.append(image)
    labels = [f"frame {frame + 1}: {share:.0%}" for frame, share in zip(frames, shares)]
    write_png(contact_sheet(images, columns=len(images), labels=labels), picture)
    raise VideoError(
        f"{batches.video.folder}: the tracked head, seen through the video's cameras, misses the masks: they overlap "
        f"by {np.median(shares):.0%}, expected over {LEAST_OVERLAP:.0%}. World_mat, intrinsics or poses are of another "
        f"convention; look at {picture} (mask grey, head red)."
    )
