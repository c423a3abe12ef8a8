"""Sizes of an avatar's three fields; presets are functions. It imports no torch, so that help is shown at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AvatarConfig:
    """Sizes of the networks of IMAvatar (§3.2, Fig. 7; numbers of the published code).

    Departures: weights are not normalised (Salimans and Kingma 2016, which adds a number per unit and changes no
    function that the networks can be); occupancy is kept as its logit.
    """

    geometry_hidden: int = 512
    """Width of the geometry network."""
    geometry_layers: int = 8
    """Its hidden layers; the input is appended again in the middle, where the layer before is narrower."""
    frequencies: int = 6
    """Of the positional encoding of canonical points that geometry sees."""
    wave_gain: float = 1.0
    """Factor on the waves of every octave beyond the one before. Published: 1, with which the shortest waves (15 mm)
    are 32 times as steep as the longest for the same weight; with 0.5 all are equally steep, and a step of Adam, which
    is as large for every weight, tilts the surface by all of them alike."""
    features: int = 256
    """Numbers that geometry hands to texture."""
    latent: int = 0
    """Numbers of a code of every frame that geometry sees (published code: 32, off unless asked for)."""
    deformation_hidden: int = 128
    """Width of the deformation network, which sees points without encoding."""
    deformation_layers: int = 4
    """Its hidden layers."""
    texture_hidden: int = 512
    """Width of the texture network."""
    texture_layers: int = 4
    """Its hidden layers."""
    texture_frequencies: int = 4
    """Of the positional encoding of canonical points that texture sees."""
    texture_condition: int = 8
    """Numbers that expression and jaw are projected to for texture."""
    sharpness: float = 50.0
    """alpha: occupancy is sigmoid(-alpha g) of the logit g, which is negative inside and level 0 at the surface."""
    temperature: float = 20.0
    """Factor on the skinning logits before their softmax."""


def published() -> AvatarConfig:
    """The paper's sizes."""
    return AvatarConfig()


def small() -> AvatarConfig:
    """4 x 128 each with 32 features: trains on one CPU core at about 0.15 s a step."""
    return AvatarConfig(geometry_hidden=128, geometry_layers=4, wave_gain=0.5, features=32, texture_hidden=128)


def tiny() -> AvatarConfig:
    """For tests."""
    return AvatarConfig(
        geometry_hidden=56,
        geometry_layers=2,
        frequencies=2,
        features=4,
        deformation_hidden=24,
        deformation_layers=2,
        texture_hidden=16,
        texture_layers=1,
    )


PRESETS = {"published": published, "small": small, "tiny": tiny}
"""The presets by name."""
