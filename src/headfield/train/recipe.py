"""What the training loop asks of a model's recipe, and which recipe a model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Protocol

import torch

from headfield.errors import ConfigError
from headfield.train.batches import Batch
from headfield.train.config import TrainConfig
from headfield.train.recipes import imface, imhead, mononphm, nphm, npm


class Recipe(Protocol):
    """A module of :mod:`headfield.train.recipes`: how a model of one architecture is trained.

    `model` is of that architecture, B heads of a batch have the codes `identity` (B, D), and losses are numbers by
    name beside their weighted sum.
    """

    def loss_weights(self, name: str) -> Any:
        """The weights of the losses that a configuration's `losses` names; ConfigError for an unknown name."""
        ...

    def total_loss(self, model: Any, batch: Batch, identity: torch.Tensor, weights: Any) -> tuple[torch.Tensor, dict]:
        """The loss of one micro-batch of heads of one kind, all at rest or all posed."""
        ...

    def warp_loss(self, model: Any, batch: Batch, identity: torch.Tensor, weights: Any) -> tuple[torch.Tensor, dict]:
        """The part of it that speaks of correspondences, for posed heads; asked for only of a deformer alone."""
        ...

    def rate_share(self, parameter: str) -> float:
        """Share of the learning rate that a parameter of this name takes."""
        ...

    def watch(self, model: Any, codes: torch.Tensor) -> dict[str, float]:
        """Numbers that a run's metrics hold beside the losses, from some of the codes (N, D)."""
        ...


RECIPES: dict[str, Recipe] = {
    "imhead": imhead,
    "nphm": nphm,
    "npm": npm,
    "imface": imface,
    "mononphm": mononphm,
}


def recipe_of(architecture: str) -> Recipe:
    """How models of an architecture are trained.

    Raises:
        ConfigError: There is no recipe for it.
    """
    if architecture not in RECIPES:
        raise ConfigError(f"No recipe trains {architecture!r}: there are those of {', '.join(RECIPES)}.")
    return RECIPES[architecture]


def with_preset(config: TrainConfig) -> TrainConfig:
    """The configuration with what its preset asks of the training; a setting that is not the default's stays.

    A recipe may have ``PRESET_SETTINGS``: by preset, fields of the training's configuration that belong to it.
    """
    settings: Mapping[str, Mapping[str, Any]] = getattr(recipe_of(config.model), "PRESET_SETTINGS", {})
    asked = settings.get(config.preset, {})
    default = {field.name: field.default for field in fields(config)}
    return replace(config, **{name: value for name, value in asked.items() if getattr(config, name) == default[name]})
