"""The network that sees faces in pictures of point clouds: which pixels are face, and where on a head each pixel lies.

A picture of 64 x 64 pixels (:mod:`headfield.nn.point_views`) goes in; every cell of 2 x 2 pixels gets its place in the
model frame (dense correspondence, as in NOCS, Wang et al. 2019) with an uncertainty, and how surely it is face; the
whole picture gets how surely it shows a face from within about 60 degrees of the front, rolled by at most 55: four
quarter turns of a picture cover all rolls, and a network that need not know upside-down faces learns much sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from headfield.nn.point_views import CHANNELS

SIZE = 64
"""Pixels along a side of the pictures it was made for."""

FACE_MIDDLE = np.array([0.0, -0.03, 0.08])
FACE_REACH = 0.46
"""Middle and half width of the window through which a face is looked at once it is known where it is, model frame."""

WIDTHS = (24, 48, 72, 96)
"""Channels at 32, 16, 8 and 4 cells across."""


@dataclass(frozen=True)
class FaceMaps:
    """What the network sees in V pictures.

    Attributes:
        places: (V, 3, S/2, S/2) model frame.
        spread: (V, S/2, S/2) expected error of a place, model units.
        face: (V, S/2, S/2) logit that a cell is face.
        shown: (V,) logit that the picture shows an upright face from the front.
    """

    places: torch.Tensor
    spread: torch.Tensor
    face: torch.Tensor
    shown: torch.Tensor


@dataclass(frozen=True)
class Glance:
    """Features of V pictures on the four levels, and the logit (V,) that an upright face is shown."""

    fine: torch.Tensor
    middle: torch.Tensor
    coarse: torch.Tensor
    deep: torch.Tensor
    shown: torch.Tensor

    def take(self, index: torch.Tensor) -> Glance:
        """The pictures at an index."""
        return Glance(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


class FaceNet(nn.Module):
    """See the module.

    Args:
        widths: Channels of the four levels.
    """

    def __init__(self, widths: tuple[int, int, int, int] = WIDTHS):
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(_convolution(CHANNELS, a, stride=2, kernel=5), _convolution(a, a))
        self.down1 = nn.Sequential(_convolution(a, b, stride=2), _convolution(b, b), _convolution(b, b))
        self.down2 = nn.Sequential(_convolution(b, c, stride=2), _convolution(c, c), _convolution(c, c))
        self.down3 = nn.Sequential(_convolution(c, d, stride=2), _convolution(d, d), _convolution(d, d))
        self.context = nn.Linear(d, d)
        self.up2 = _convolution(d + c, c)
        self.up1 = _convolution(c + b, b)
        self.narrow = _convolution(b, a, kernel=1)
        self.up0 = _convolution(2 * a, a)
        self.head = nn.Conv2d(a, 5, 1)
        self.shown = nn.Linear(d, 1)

    def channels_last(self) -> FaceNet:
        """It, in the layout of memory in which its convolutions are fastest."""
        module: Any = self  # torch's type hints of `to` lack the layout
        return module.to(memory_format=torch.channels_last)

    def forward(self, pictures: torch.Tensor) -> FaceMaps:
        """What pictures (V, 6, S, S) show."""
        return self.maps(self.glance(pictures))

    def glance(self, pictures: torch.Tensor) -> Glance:
        """What pictures (V, 6, S, S) show as a whole; half of the work, enough to see which are worth the rest."""
        fine = self.stem(pictures)
        middle = self.down1(fine)
        coarse = self.down2(middle)
        deep = self.down3(coarse)
        whole = functional.relu(self.context(deep.mean((2, 3))))
        return Glance(fine, middle, coarse, deep + whole[:, :, None, None], self.shown(whole).float()[:, 0])

    def maps(self, glance: Glance) -> FaceMaps:
        """What every cell of the pictures shows."""
        fine, middle, coarse, deep = glance.fine, glance.middle, glance.coarse, glance.deep
        coarse = self.up2(torch.cat([_twice(deep), coarse], 1))
        middle = self.up1(torch.cat([_twice(coarse), middle], 1))
        fine = self.up0(torch.cat([_twice(self.narrow(middle)), fine], 1))
        out = self.head(fine).float()
        spread = 0.005 + functional.softplus(out[:, 3] - 2.0)
        return FaceMaps(out[:, :3], spread, out[:, 4], glance.shown)


def _convolution(inner: int, outer: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
    )


def _twice(maps: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, scale_factor=2, mode="nearest")
