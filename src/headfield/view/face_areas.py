"""The 52 channels by area of the face, as the viewer and the share page group their sliders."""

from __future__ import annotations

import re

from headfield.types import ARKIT

_PATTERNS: dict[str, str] = {
    "Mouth": "mouthSmile.*|mouthFrown.*|mouthLeft|mouthRight|mouthDimple.*|mouthStretch.*|mouthPucker|mouthFunnel",
    "Jaw": "jaw.*|mouthClose",
    "Eyes": "eyeBlink.*|eyeSquint.*|eyeWide.*",
    "Brows": "brow.*",
    "Lips": "mouth.*|tongueOut",
    "Cheeks and nose": "cheek.*|nose.*",
    "Gaze": "eyeLook.*",
}
"""Area of the face -> pattern of its channels; a channel belongs to the first that fits."""


def face_areas() -> dict[str, tuple[str, ...]]:
    """Area of the face -> its channels in ARKIT order; each channel once."""
    left, found = list(ARKIT), {}
    for area, pattern in _PATTERNS.items():
        found[area] = tuple(channel for channel in left if re.fullmatch(pattern, channel))
        left = [channel for channel in left if channel not in found[area]]
    return found


def channel_label(name: str, area: str) -> str:
    """A channel as people write it, without the word that all of its area begin with: ``smile left`` of the mouth."""
    words = re.sub("([A-Z])", r" \1", name).lower().split()
    plain = {"Mouth": "mouth", "Jaw": "jaw", "Eyes": "eye", "Brows": "brow", "Lips": "mouth", "Gaze": "eye"}
    return " ".join(words[1:] if words[0] == plain.get(area) and len(words) > 1 else words)
