"""Flat pictures: contact sheets, error colours with their legend, PNG files that are whole or absent."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import OutputError

PAPER = (246, 245, 243)
INK = (52, 50, 48)

_ERROR_STOPS = np.array([0.0, 0.17, 0.34, 0.52, 0.70, 0.86, 1.0])
_ERROR_SRGB = np.array(
    [(234, 236, 230), (198, 228, 206), (242, 206, 112), (238, 148, 70), (206, 72, 62), (128, 32, 84), (58, 18, 76)],
    dtype=float,
)
"""Lightness falls steadily from good to bad, so the order survives grey printing and colour blindness; the pale end is
near to clay, so that what is right looks like a clay head."""


_SIDE_STOPS = np.array([-1.0, -0.6, -0.25, 0.0, 0.25, 0.6, 1.0])
_SIDE_SRGB = np.array(
    [(22, 42, 102), (62, 112, 190), (160, 200, 226), (236, 235, 230), (246, 190, 142), (214, 88, 62), (104, 16, 40)],
    dtype=float,
)
"""Blue and red are told apart by the colour blind too, and both darken steadily away from the pale middle."""


def error_colours(mm: np.ndarray, max_mm: float = 3.0, *, signed: bool = False) -> np.ndarray:
    """Colours of errors.

    Args:
        mm: (V,) errors in millimetres; NaN means unknown and becomes grey.
        max_mm: Error at the dark end; larger ones take its colour.
        signed: Tell the sides apart; else the sign is ignored.

    Returns:
        (V, 4) uint8 RGBA: pale for 0 over yellow and red to dark violet for `max_mm`; of signed ones from dark blue
        for `-max_mm` over pale for 0 to dark red for `max_mm`.
    """
    mm = np.asarray(mm, dtype=float)
    known = np.isfinite(mm)
    stops, srgb = (_SIDE_STOPS, _SIDE_SRGB) if signed else (_ERROR_STOPS, _ERROR_SRGB)
    level = np.clip(np.where(known, mm if signed else np.abs(mm), 0) / max_mm, stops[0], 1)
    colours = np.stack([np.interp(level, stops, srgb[:, c]) for c in range(3)], axis=-1)
    colours[~known] = 150
    return np.concatenate([np.round(colours), np.full((*mm.shape, 1), 255)], axis=-1).astype(np.uint8)


def font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The label font that ships with pillow."""
    return ImageFont.load_default(size=max(size, 8))


def error_legend(
    width: int, max_mm: float = 3.0, text: str = "distance to the truth (mm)", *, signed: bool = False
) -> np.ndarray:
    """A legend bar for `error_colours`: picture (H, width, 3) uint8 with ticks in millimetres."""
    size = int(np.clip(width / 28, 11, 22))
    height, margin, bar = int(4.2 * size), int(1.6 * size), int(0.9 * size)
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    low = -max_mm if signed else 0.0
    ramp = error_colours(np.linspace(low, max_mm, width - 2 * margin), max_mm, signed=signed)[None, :, :3]
    picture.paste(Image.fromarray(np.repeat(ramp, bar, axis=0)), (margin, int(1.6 * size)))
    long = draw.textlength(text, font=font(size))
    shown = font(size * min(1.0, (width - 2 * margin) / max(long, 1)))
    draw.text((margin, 1.3 * size), text, fill=INK, font=shown, anchor="ls")
    for tick in np.linspace(low, max_mm, 5 if signed else 4):
        x = margin + (tick - low) / (max_mm - low) * (width - 2 * margin - 1)
        label = f"{tick:+.3g}" if signed and tick else f"{tick:.3g}" + ("+" if tick == max_mm else "")
        draw.line([(x, 1.6 * size + bar), (x, 1.9 * size + bar)], fill=INK)
        draw.text((x, 2.0 * size + bar), label, fill=INK, font=font(size), anchor="mt")
    return np.asarray(picture)


def contact_sheet(
    images: Sequence[np.ndarray],
    columns: int = 3,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    legend: np.ndarray | None = None,
) -> np.ndarray:
    """Tile pictures on one sheet.

    Args:
        images: Pictures (H, W, 3) uint8; cells take the largest size, smaller ones are centred.
        columns: Pictures per row.
        labels: Text under each picture, or None; lines are shrunk to fit their cell.
        title: One line above, shrunk to fit the sheet, or None.
        legend: Picture put below, such as `error_legend`, or None.

    Returns:
        (H, W, 3) uint8.

    Raises:
        ValueError: There is no picture.
    """
    if not len(images):
        raise ValueError("contact_sheet needs at least one picture, got none")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    cell_h, cell_w = max(i.shape[0] for i in images), max(i.shape[1] for i in images)
    gap = max(4, cell_w // 64)
    size = int(np.clip(cell_w / 20, 11, 24))
    lines = [label.split("\n") for label in labels or ()]
    line_h = int(1.7 * size) if max(map(len, lines), default=1) == 1 else int(1.3 * size)
    label_h = line_h * max(map(len, lines), default=0 if labels is None else 1)
    title_h = int(2.4 * size) if title else 0
    width = columns * (cell_w + gap) + gap
    body = rows * (cell_h + label_h + gap) + gap
    legend_h = 0 if legend is None else legend.shape[0]
    sheet = Image.new("RGB", (width, title_h + body + legend_h), PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        shown = font(1.25 * size)
        shown = font(1.25 * size * min(1.0, (width - 4 * gap) / max(draw.textlength(title, font=shown), 1)))
        draw.text((gap * 2, title_h / 2), title, fill=INK, font=shown, anchor="lm")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = gap + column * (cell_w + gap), title_h + gap + row * (cell_h + label_h + gap)
        offset = ((cell_w - image.shape[1]) // 2, (cell_h - image.shape[0]) // 2)
        sheet.paste(Image.fromarray(np.ascontiguousarray(image[..., :3])), (x + offset[0], y + offset[1]))
        for number, line in enumerate(lines[index] if index < len(lines) else ()):
            shown = font(size)
            long = draw.textlength(line, font=shown)
            if long > cell_w:
                shown = font(size * cell_w / long)
            middle = (x + cell_w / 2, y + cell_h + (number + 0.5) * line_h)
            draw.text(middle, line, fill=INK, font=shown, anchor="mm")
    if legend is not None:
        sheet.paste(Image.fromarray(legend), ((width - legend.shape[1]) // 2, title_h + body))
    return np.asarray(sheet)


def write_png(image: np.ndarray, path: str | Path, colours: int | None = None) -> None:
    """Write a picture (H, W, 3 or 4) uint8 as PNG, whole or not at all.

    Args:
        image: The picture.
        path: Where to.
        colours: Keep so many colours at most (2..256), which makes the file a third as large; None keeps all.

    Raises:
        OutputError: The place cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as stream:
            picture = Image.fromarray(np.ascontiguousarray(image))
            picture = picture if colours is None else picture.quantize(colours, kmeans=3)
            # level 5 takes half the time of pillow's usual 6, for 4 % more bytes; `optimize` has a level of its own
            picture.save(stream, format="PNG", optimize=colours is not None, compress_level=5)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        raise OutputError(f"Cannot write the picture {path}: {error}. Choose a folder that can be written.") from error
