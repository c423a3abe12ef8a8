"""The frozen table of poses (``poses.json``) that reading is tested with, and the groups of channels that count as one.

It was written from action units and viseme tables, before and apart from any prior over expressions. A group lists the
channels that a surface hardly tells apart; the two sides of a face are groups of their own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from headfield.types import ARKIT

GAZE = np.array([name.startswith("eyeLook") for name in ARKIT])
"""Channels (52,) of the gaze, which is measured in degrees."""


@dataclass(frozen=True)
class Pose:
    """One expression of the table.

    Attributes:
        name: Such as ``surprise``, ``aa``, ``wink_left``.
        kind: ``neutral``, ``emotion``, ``viseme``, ``one-sided`` or ``single``.
        symmetric: Both sides do the same, and something is done at all.
        weights: (52,) at full strength.
    """

    name: str
    kind: str
    symmetric: bool
    weights: np.ndarray


@dataclass(frozen=True)
class Group:
    """Channels that count as one action.

    Attributes:
        name: Such as ``smile_left``.
        channels: Indices into ARKIT.
        anchors: Names of the anchors that it moves.
        mirror: Name of the group on the other side; its own in the middle.
        lids: It moves nothing but lids: where they are smoothed away it cannot be seen.
    """

    name: str
    channels: np.ndarray
    anchors: tuple[str, ...]
    mirror: str
    lids: bool = False

    def weight(self, expression: np.ndarray) -> float:
        """The summed weight of the group's channels in an expression (52,)."""
        return float(np.asarray(expression, dtype=float)[self.channels].sum())


@cache
def _table() -> dict:
    return json.loads((files("headfield.synth") / "poses.json").read_text())


@cache
def poses() -> dict[str, Pose]:
    """All poses by name."""
    found = {}
    for name, row in _table()["poses"].items():
        weights = np.zeros(len(ARKIT))
        for channel, weight in row["channels"].items():
            weights[ARKIT.index(channel)] = weight
        weights.setflags(write=False)
        found[name] = Pose(name, row["kind"], row["symmetric"], weights)
    return found


@cache
def groups() -> dict[str, Group]:
    """All groups by name."""
    return {
        name: Group(
            name,
            np.array([ARKIT.index(channel) for channel in row["channels"]]),
            tuple(row["anchors"]),
            row["mirror"],
            row.get("lids", False),
        )
        for name, row in _table()["groups"].items()
    }
