"""Colours per vertex: what the shading modes of the viewer show, and how to read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from headfield.edit.regions import parts_of
from headfield.errors import present
from headfield.neighbours import PointTree
from headfield.surface.sheet import error_colours
from headfield.view.region_colours import REGION_COLOURS, part_weights, region_index

if TYPE_CHECKING:
    from headfield.fit.result import Fit
    from headfield.surface.head import Head

MODES = ("Surface", "Scan colours", "Normals", "Regions", "Fit error", "Change")
"""Shading modes by the names that users see."""

NEEDED = {
    "Fit error": ("There is no scan", "the error map needs a fitted scan"),
    "Scan colours": ("There is no scan with colours", "they come from a fitted one"),
}
"""What modes need that not every head has: what is missing, and why it matters."""

CLAY = np.array([212, 182, 160], dtype=np.uint8)
ACCENT = np.array([232, 148, 62], dtype=np.uint8)
"""sRGB of plain skin, and of the region that is picked."""

ERROR_MM = 3.0
CHANGE_MM = 8.0
"""Dark ends of the two scales, millimetres."""

_INWARD = np.array([CLAY, [120, 160, 214], [34, 82, 166]], dtype=float)
_OUTWARD = np.array([CLAY, [232, 140, 92], [176, 38, 44]], dtype=float)


def clay(count: int) -> np.ndarray:
    """Plain colours (V, 4) uint8."""
    return np.tile(np.append(CLAY, 255).astype(np.uint8), (count, 1))


def picked(vertices: np.ndarray, anchors: np.ndarray, region: str) -> np.ndarray:
    """Clay with one region tinted: (V, 4) uint8, by the blend weight of its parts at vertices (V, 3)."""
    weight = part_weights(vertices, anchors)
    share = weight[:, parts_of(region)].sum(1) / weight.sum(1)
    share = 0.75 * np.clip((share - 0.25) / 0.5, 0, 1)[:, None]
    return _opaque((1 - share) * CLAY + share * ACCENT)


def of_normals(normals: np.ndarray) -> np.ndarray:
    """Normals (V, 3) as colours (V, 4): right, up and towards the front as red, green and blue."""
    return _opaque(127.5 + 127.5 * np.asarray(normals))


def of_regions(vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """The region of every vertex by colour (V, 4), as in the legend."""
    palette = np.array([_rgb(colour) for colour in REGION_COLOURS.values()], dtype=float)
    return _opaque(palette[region_index(vertices, anchors)])


def of_fit(vertices: np.ndarray, fit: Fit, scan: int = 0) -> np.ndarray:
    """Distance of the fitted scan to the head, at the vertices that it saw; grey elsewhere: (V, 4)."""
    which = fit.scans[scan]
    points = which.placement.apply(which.points)[which.on_head]
    errors = np.abs(which.residual_mm[which.on_head])
    if not len(points):
        return error_colours(np.full(len(vertices), np.nan), ERROR_MM)
    count, reach = min(3, len(points)), 12 / which.mm_per_unit
    distance, near = PointTree(points).query(vertices, k=count, distance_upper_bound=reach)
    near = near.reshape(len(vertices), -1)
    known = np.isfinite(distance.reshape(len(vertices), -1))
    value = np.where(known, np.append(errors, 0.0)[near], 0).sum(1) / np.maximum(known.sum(1), 1)
    return error_colours(np.where(known.any(1), value, np.nan), ERROR_MM)


def has(mode: str, fit: Fit | None) -> bool:
    """Whether a head of this fit, or of none, can be shown in a mode."""
    if mode == "Scan colours":
        return fit is not None and fit.scans[0].colours is not None
    return mode != "Fit error" or fit is not None


def of_scan(vertices: np.ndarray, normals: np.ndarray, fit: Fit) -> np.ndarray:
    """The fitted scan's own colours (V, 4), fading to its typical one where it saw nothing."""
    return present(fit.paint(), "the scan's colours").on(vertices, normals)


def of_change(vertices: np.ndarray, before: Head, mm: float) -> np.ndarray:
    """How far vertices lie outside (red) or inside (blue) of the head as it was opened: (V, 4)."""
    model, condition = before.model, before.model.condition(before.codes)
    points = torch.as_tensor(np.asarray(vertices), dtype=torch.float32)
    if before.reflected:
        points = points * torch.tensor([-1.0, 1.0, 1.0])
    with torch.no_grad():
        found = [model.signed_distance(part[None], condition)[0] for part in points.split(16_384)]
    return change_colours(torch.cat(found).numpy() * mm)


def change_colours(moved_mm: np.ndarray) -> np.ndarray:
    """Signed millimetres (V,) as colours (V, 4): blue inwards, skin for none, red outwards."""
    level = np.clip(np.abs(moved_mm) / CHANGE_MM, 0, 1) ** 0.7
    stops = np.array([0.0, 0.5, 1.0])
    sides = [np.stack([np.interp(level, stops, side[:, c]) for c in range(3)], 1) for side in (_INWARD, _OUTWARD)]
    return _opaque(np.where(np.asarray(moved_mm)[:, None] < 0, *sides))


def legend(mode: str) -> str:
    """How to read a mode, as Markdown with plain HTML; empty where there is nothing to say."""
    if mode == "Regions":
        entries = [f"{_swatch(colour)} {name.replace('_', ' ')}" for name, colour in REGION_COLOURS.items()]
        return "<small>" + " &nbsp; ".join(entries) + "</small>"
    if mode == "Fit error":
        steps = [0.0, 1.0, 2.0, 3.0]
        colours = error_colours(np.array([*steps, np.nan]), ERROR_MM)
        names = [*(f"{step:g} mm" for step in steps[:-1]), f"{ERROR_MM:g} mm and more", "not scanned"]
        return _row(colours, names)
    if mode == "Change":
        steps = np.array([-CHANGE_MM, -2.0, 0.0, 2.0, CHANGE_MM])
        return _row(change_colours(steps), ["8 mm in", "2 mm in", "unchanged", "2 mm out", "8 mm out"])
    if mode == "Normals":
        return "<small>Red: to the subject's left. Green: up. Blue: to the front.</small>"
    return ""


def _row(colours: np.ndarray, names: list[str]) -> str:
    entries = [f"{_swatch(f'rgb({c[0]},{c[1]},{c[2]})')} {name}" for c, name in zip(colours, names)]
    return "<small>" + " &nbsp; ".join(entries) + "</small>"


def _swatch(colour: str) -> str:
    return f'<span style="display:inline-block;width:0.8em;height:0.8em;border-radius:2px;background:{colour}"></span>'


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def _opaque(rgb: np.ndarray) -> np.ndarray:
    rgb = np.clip(np.round(rgb), 0, 255).astype(np.uint8)
    return np.concatenate([rgb, np.full((len(rgb), 1), 255, np.uint8)], axis=1)
