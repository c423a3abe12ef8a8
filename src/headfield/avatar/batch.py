"""What a training step sees: some pixels of some frames, a function of seed and step alone, so that runs resume."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from headfield.avatar.networks import Rows
from headfield.avatar.rays import Rays
from headfield.avatar.template import FrameHits, FrameStarts, Template, TemplateStarts
from headfield.avatar.video import HeadVideo

Kept = TypeVar("Kept")

FAR = 0.3
"""Background rays that pass the template at more than this (75 mm) are not looked at: nothing ever comes there."""

ASIDE = 0.1
"""Of those that pass at more than this (25 mm) only the checked ones are: their g is seldom near the surface's."""

HITS_BYTES = 1 << 30
"""What the posed template says of pixels is kept for so many bytes of frames."""


@dataclass(frozen=True)
class Batch:
    """R rays of F frames, sorted by frame.

    Attributes:
        frames: (F,) int64, which of the video's.
        rays: R rays.
        colour: (R, 3) truth in -1..1.
        foreground: (R,) bool, what the mask says.
        mouth: (R,) bool, the inside of the mouth, by the semantic pictures; all False without them.
        checked: (R,) bool, rays that are searched in full.
        away: (R,) how far rays pass the template, model units.
        total: |P|, rays that were drawn, also those that need no look.
    """

    frames: torch.Tensor
    rays: Rays
    colour: torch.Tensor
    foreground: torch.Tensor
    mouth: torch.Tensor
    checked: torch.Tensor
    away: torch.Tensor
    total: int

    def pick(self, which: torch.Tensor) -> Batch:
        """Only some of the rays, (R,) bool; |P| stays."""
        names = ("colour", "foreground", "mouth", "checked", "away")
        picked = {name: getattr(self, name)[which] for name in names}
        return replace(self, rays=self.rays.pick(which), **picked)


class Batches:
    """Batches of a video.

    Args:
        video: The video, whose pictures are held in memory.
        template: The tracked head.
        seed: Of the draws.
        frames, rays: Of a step.
        searched: Share of checked rays in the foreground; in the background twice as many.
    """

    def __init__(self, video: HeadVideo, template: Template, seed: int, frames: int, rays: int, searched: float):
        self.video, self.template, self.seed = video, template, seed
        self.per_step, self.per_frame, self.searched = min(frames, len(video)), rays // frames, searched
        self.expressions, self.poses = video.tracks(template.rig)
        self.images = np.stack([video.image(frame) for frame in range(len(video))])
        self.masks = video.masks
        semantics = [video.semantic(frame) for frame in range(len(video))]
        self.mouths = np.stack([np.zeros(video.size, bool) if one is None else one == 11 for one in semantics])
        self._hits: OrderedDict[int, FrameHits] = OrderedDict()
        self._starts: OrderedDict[int, FrameStarts] = OrderedDict()
        self._most = max(8, HITS_BYTES // (24 * video.size[0] * video.size[1]))

    def hits(self, frame: int) -> FrameHits:
        """What the posed template says of a frame's pixels; remembered."""
        numbers = self.expressions[frame], self.poses[frame], self.video.cameras[frame], self.masks[frame]
        return self._remembered(self._hits, frame, lambda: self.template.hits(*numbers))

    def starts(self, frames: np.ndarray) -> TemplateStarts:
        """Where to look for canonical points in frames (F,); remembered frame by frame."""
        return TemplateStarts(self.template, [self._frame_starts(int(frame)) for frame in frames])

    def _frame_starts(self, frame: int) -> FrameStarts:
        numbers = self.expressions[frame], self.poses[frame]
        return self._remembered(self._starts, frame, lambda: FrameStarts(self.template, *numbers))

    def _remembered(self, kept: OrderedDict[int, Kept], frame: int, make: Callable[[], Kept]) -> Kept:
        """What is kept of a frame, made where it is not; the longest unused is forgotten."""
        if frame not in kept:
            kept[frame] = make()
            if len(kept) > self._most:
                kept.popitem(last=False)
        kept.move_to_end(frame)
        return kept[frame]

    def draw(self, step: int) -> Batch:
        """The batch of a step."""
        rng = np.random.default_rng([self.seed, 5, step])
        frames = np.sort(rng.choice(len(self.video), self.per_step, replace=False))
        pixels = [self._pixels(frame, rng) for frame in frames]
        batch = self.of(frames, pixels)
        # of the background more: nothing else tells what floats there outside the template's interval
        share = torch.where(batch.foreground, self.searched, 2.0 * self.searched)
        batch = replace(batch, checked=torch.from_numpy(rng.random(len(batch.rays))) < share)
        looked = (batch.away < ASIDE) | (batch.checked & (batch.away < FAR))
        return batch.pick(batch.foreground | looked)

    def of(self, frames: np.ndarray, pixels: list[np.ndarray]) -> Batch:
        """Given pixels (n_f,) of given frames (F,); no ray is checked."""
        parts = [self._frame(frame, chosen) for frame, chosen in zip(frames, pixels)]
        origin, direction, near, far, start, colour, foreground, mouth, away = (torch.cat(part) for part in zip(*parts))
        ends = np.cumsum([0, *map(len, pixels)]).tolist()
        owner = torch.repeat_interleave(torch.arange(len(frames)), torch.tensor([len(one) for one in pixels]))
        rays = Rays(origin, direction, Rows(owner, tuple(ends)), near, far, start)
        unchecked = torch.zeros_like(foreground)
        return Batch(torch.as_tensor(frames), rays, colour, foreground, mouth, unchecked, away, len(rays))

    def _pixels(self, frame: int, rng: np.random.Generator) -> np.ndarray:
        """Half of a frame's pixels from anywhere, half from the face's box."""
        height, width = self.video.size
        left, top, right, bottom = np.clip(self.video.boxes[frame], 0, [width, height, width, height]).astype(int)
        anywhere = rng.integers(0, height * width, self.per_frame - self.per_frame // 2)
        inside = self.per_frame // 2
        columns = rng.integers(left, max(right, left + 1), inside).clip(0, width - 1)
        rows = rng.integers(top, max(bottom, top + 1), inside).clip(0, height - 1)
        return np.concatenate([anywhere, rows * width + columns])

    def _frame(self, frame: int, pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
        camera, hits, at = self.video.cameras[frame], self.hits(int(frame)), torch.from_numpy(pixels)
        direction = torch.as_tensor(camera.rays(pixels), dtype=torch.float32)
        origin = torch.as_tensor(camera.origin, dtype=torch.float32).expand_as(direction)
        picture = self.images[frame].reshape(-1, 3)[pixels]
        return (
            origin,
            direction,
            hits.near[at],
            hits.far[at],
            hits.start[at],
            torch.from_numpy(picture).float() / 127.5 - 1.0,
            torch.from_numpy(self.masks[frame].ravel()[pixels]),
            torch.from_numpy(self.mouths[frame].ravel()[pixels]),
            hits.away[at],
        )
