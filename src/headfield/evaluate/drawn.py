"""Tests of what a model draws, without a scan: edits of a region, regions of others, the way from head to head.

imHead's Figs. 4, 6 and 7. The heads are the model's own, drawn from its prior, so models see different people; what is
measured are ratios within a head.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from headfield.edit.operations import interpolate, sample_region, swap
from headfield.edit.regions import parts_of
from headfield.evaluate.locality import Locality, free_edit, measure
from headfield.evaluate.measured import by_column
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.protocol import Protocol
from headfield.frames import MM_PER_UNIT
from headfield.models.protocol import Local, require
from headfield.models.release import load
from headfield.surface.head import Head
from headfield.surface.nearest import Target
from headfield.surface.visibility import visible_triangles
from headfield.types import Codes, Mesh

REGIONS = ("nose", "mouth", "left_ear", "chin")
"""Regions that are edited; imHead's figures show nose, mouth and chin."""

SD = 2.0
"""Spread of a region that is drawn: a change that is seen."""

STEPS = 5
"""Steps from one head to another."""


def drawn_head(model, index: int) -> Head:
    """The head of a number, of the model's own prior, at rest."""
    code = model.prior.draw(1, np.random.default_rng([index, 7]))
    return Head(model, Codes(torch.as_tensor(code).to(model.mean_codes().identity)))


def run_drawn(protocol: Protocol, index: int, settings: Settings) -> Outcome:
    """Run and measure one case.

    Raises:
        ConfigError: The model has no local parts, which edits of a region need.
    """
    model = load(settings.model)
    head, other = drawn_head(model, index), drawn_head(model, index + 1_000_000)
    begin = time.perf_counter()
    facts = {}
    if protocol.name == "interpolation":
        numbers, facts["steps_mm"] = _evenness(head, other, settings.resolution)
    else:
        require(model, Local, "Editing a region")
        numbers = _leakage(head, other, protocol.name == "swap", index, settings.resolution)
    facts |= {"fit_seconds": time.perf_counter() - begin, "person": {}}
    return Outcome(by_column(protocol, {"ours": numbers}), None, facts)


def _leakage(head: Head, other: Head, swapped: bool, seed: int, resolution: int) -> dict[str, float]:
    """How far an edit reaches beyond its region: our way (the blend anchors stay) and NPHM's (they follow)."""
    mesh = head.mesh(resolution)
    kept, moved = [], []
    for region in REGIONS:
        parts = parts_of(region)
        edited = swap(head, other, region) if swapped else sample_region(head, region, SD, seed)
        kept.append(measure(head, edited, mesh, parts))
        moved.append(measure(head, edited, mesh, parts, free_edit(head, edited)))
    return {
        "leakage": _mean(kept, "leakage"),
        "leakage_moved": _mean(moved, "leakage"),
        "inside": _mean(kept, "inside_mm"),
        "border": _mean(kept, "border_mm"),
        "border_moved": _mean(moved, "border_mm"),
        "exact": float(all(one.exact for one in kept)),
    }


def _mean(found: list[Locality], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in found]))


def _evenness(a: Head, b: Head, resolution: int) -> tuple[dict[str, float], list[float]]:
    """How evenly the surface goes from one head to the other as the code goes straight: the longest step over the mean
    one, and the sum of the steps over the whole way; and the steps, mm."""
    meshes = [interpolate(a, b, t).mesh(resolution) for t in np.linspace(0.0, 1.0, STEPS + 1)]
    steps = [_apart(one, two) for one, two in zip(meshes, meshes[1:])]
    whole = _apart(meshes[0], meshes[-1])
    numbers = {"longest": float(max(steps) / np.mean(steps)), "detour": float(sum(steps) / whole), "apart": whole}
    return numbers, steps


def _apart(a: Mesh, b: Mesh) -> float:
    """Mean distance of what is seen of two surfaces, both ways, mm."""
    ways = []
    for one, two in ((a, b), (b, a)):
        seen = visible_triangles(one)
        places = one.vertices[np.unique(one.triangles[seen])]
        ways.append(Target(two, visible_triangles(two)).closest(places[:: max(1, len(places) // 5000)])[0].mean())
    return MM_PER_UNIT * float(np.mean(ways))
