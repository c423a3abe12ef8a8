"""What all hair has in common: how thick it is where, and how it falls."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from headfield.synth.hairstyle import HairStyle
from headfield.synth.noise import smoothstep

CENTRE = np.array([0.0, 0.15, -0.2])
"""Middle of the skull on the reference head."""

EAR_CENTRE = np.array([0.29, 0.015, -0.12])
EAR_RADII = np.array([0.16, 0.19, 0.15])
"""Around the ear the hair's inner radius is that of a head without ears (reference head, left ear)."""

FLOOR = 0.3
"""Least radius of hair, as a share of the head's."""


def azimuth_of(cover: np.ndarray) -> np.ndarray:
    """Unsigned azimuth (D,) of places (D, 3) on the reference head, degrees."""
    return np.degrees(np.arctan2(np.abs(cover[:, 0]), cover[:, 2] - CENTRE[2]))


def hairline(style: HairStyle) -> PchipInterpolator:
    """The height y of the hairline over the unsigned azimuth in degrees."""
    return PchipInterpolator(style.hairline[:, 0], style.hairline[:, 1])


def height_above(style: HairStyle, cover: np.ndarray) -> np.ndarray:
    """How far places (D, 3) of the reference head lie above the hairline (D,), roughly at right angles to it."""
    azimuth = azimuth_of(cover)
    line = hairline(style)
    across = np.maximum(np.hypot(cover[:, 0], cover[:, 2] - CENTRE[2]), 0.05)
    slope = np.degrees(line.derivative()(azimuth)) / across  # dy per unit length around the head
    return (cover[:, 1] - line(azimuth)) / np.sqrt(1 + np.minimum(slope**2, 9.0))


def below_the_top(height: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Heights (D,) above the hairline of a wreath: beyond the rim of the bare top (places (D, 3)) they fall again."""
    brim = 0.34 - 0.1 * smoothstep((azimuth_of(cover) - 80) / 90) - cover[:, 1]
    return -0.03 * np.logaddexp(-height / 0.03, -0.7 * brim / 0.03)


def full_thickness(style: HairStyle, cover: np.ndarray) -> np.ndarray:
    """Thickness (D,) of the hair far from its hairline at places (D, 3) of the reference head, model units."""
    azimuth, y = azimuth_of(cover), cover[:, 1]
    up = smoothstep((y - 0.18) / 0.3)
    behind = smoothstep((azimuth - 70) / 70)
    thick = up * style.top + (1 - up) * (behind * style.back + (1 - behind) * style.side)
    before = smoothstep((cover[:, 2] - CENTRE[2]) / 0.2)
    return thick + style.quiff * np.exp(-((azimuth / 38) ** 2)) * smoothstep((y - 0.3) / 0.12) * before


def with_curtain(
    style: HairStyle, centre, directions, base, radius, hem: np.ndarray | float = 0.0, ramp=9.0
) -> np.ndarray:
    """Let the hair fall from where it is widest, down to the style's end, which strays by `hem` (D,); it begins in
    front over a `ramp` in degrees."""
    azimuth = np.arctan2(directions[:, 0], directions[:, 2])
    sine = directions[:, 1]
    cosine = np.sqrt(np.maximum(1 - sine**2, 1e-9))
    belt = np.abs(sine - 0.02) < 0.15
    bins = np.linspace(-np.pi, np.pi, 49)
    middle = 0.5 * (bins[1:] + bins[:-1])
    at = np.clip(np.digitize(azimuth[belt], bins) - 1, 0, 47)
    reach = np.bincount(at, (radius * cosine)[belt], 48) / np.maximum(np.bincount(at, minlength=48), 1)
    reach = np.convolve(np.r_[reach[-3:], reach, reach[:3]], [1, 2, 3, 4, 3, 2, 1], "valid") / 16
    wide = np.interp(azimuth, np.r_[middle - 2 * np.pi, middle, middle + 2 * np.pi], np.tile(reach, 3))
    down = np.maximum(-sine, 1e-3)
    fall = centre[1] - style.curtain + hem
    spread = down if style.combing is None else np.maximum(-sine, 0) ** 2 / (np.maximum(-sine, 0) + 0.2)  # no crease
    wall = wide / np.maximum(cosine - style.flare * wide * spread / fall, 0.2)
    floor = fall / down
    blend = 0.04
    hung = -blend * np.logaddexp(-wall / blend, -floor / blend)
    corner = np.arctan2(fall, wide * (1 + style.flare))
    steep = np.arcsin(np.clip(-sine, -1, 1))
    # the rim's floor runs on inwards to the neck (else a narrow wedge of air stays between them), but never so steeply
    # that it would fill the mouth
    window = 1 - smoothstep((steep - np.maximum(corner, np.radians(62))) / np.radians(6))
    window *= smoothstep((0.28 - sine) / 0.26) if style.combing is None else smoothstep((0.45 - sine) / 0.43)
    reference = np.degrees(np.abs(azimuth))
    window *= smoothstep((reference - style.curtain_front) / ramp)
    inner = np.minimum(radius, 0.8 * base)
    hung = window * hung + (1 - window) * inner
    soft = 0.02
    if style.combing is not None:
        hung = hung - soft * np.log(2)  # where it leaves the head it is no thicker, or a ledge shows
    return soft * np.logaddexp(radius / soft, hung / soft)
