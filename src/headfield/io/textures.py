"""Colours of pictures on surfaces: what a material and its texture coordinates say of every vertex.

Arithmetic is done in linear light (a picture's bytes are sRGB): mixing texels, factors, and the mean over the corners
that meet in a vertex. A picture that is missing or cannot be read costs its colours and gives a note; it is no reason
to refuse a scan.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headfield.errors import ScanError
from headfield.io import guard
from headfield.io.gltf import linear_colours, srgb_colours
from headfield.io.raw import RawGeometry

KINDS = ("PNG", "JPEG", "BMP", "TGA", "TIFF", "WEBP")
"""Pictures that are read."""

LARGEST_SIDE = 4096
"""Pixels; a larger picture is halved until it fits, which is finer than the vertices of any scan."""

MOST_PIXELS = 2**29
"""Of all pictures of one scan, before they are made smaller: two of 16,384 x 16,384, about ten seconds."""

_LINEAR = linear_colours(np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))[:, 0]
"""Linear light of a byte of sRGB."""


@dataclass(frozen=True)
class Material:
    """The colour of a surface.

    Attributes:
        factor: (3,) linear light; times the picture's where there is one.
        picture: What the file calls the picture, or None.
        wrap: How coordinates outside of [0, 1] are taken, across and down: ``repeat``, ``mirror``, ``clamp``.
        linear: Whether the picture's bytes are shares of linear light, not sRGB.
    """

    factor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    picture: str | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")
    linear: bool = False


class Pictures:
    """The pictures of one scan, each decoded when colours are asked of it.

    Args:
        path: The scan, for messages.
        fetch: Bytes of a picture by what the file calls it; raises ScanError where it is missing.
        shown: What the user is told that it is called.
    """

    def __init__(self, path: Path, fetch: Callable[[str], bytes], shown: Callable[[str], str] = str) -> None:
        self.path, self.fetch, self.shown, self.pixels = path, fetch, shown, 0
        self.notes: dict[str, str] = {}
        self._last: tuple[str, np.ndarray | None] | None = None

    def colours(self, material: Material, uv: np.ndarray | None) -> np.ndarray | None:
        """Linear light at texture coordinates; None where there is no picture to look it up in.

        Args:
            material: Whose picture, factor and wrapping.
            uv: (N, 2) from the picture's upper left corner, right and down, in widths and heights.
        Returns:
            (N, 3) or None.
        """
        if material.picture is None or uv is None:
            return None
        if self._last is None or self._last[0] != material.picture:
            self._last = None  # let go of the one before
            self._last = material.picture, self._picture(material.picture)
        picture = self._last[1]
        if picture is None:
            return None
        return looked_up(picture, uv, material.wrap, linear=material.linear) * np.asarray(material.factor)

    def _picture(self, name: str) -> np.ndarray | None:
        label = guard.shown(repr(self.shown(name)), 80)
        if name in self.notes:
            return None
        try:
            content = self.fetch(name)
        except ScanError as error:
            reason = str(error).removeprefix(f"{self.path}: ")
            self.notes[name] = (
                f"The picture {label} is missing, so its colours are left out: put it beside the scan "
                f"({guard.shown(reason, 200)})."
            )
            return None
        try:
            with guard.reading(f"the picture {label}", "a picture", advice="Save it as PNG or JPEG."):
                picture, pixels = decoded(content, f"the picture {label}", MOST_PIXELS - self.pixels)
        except ScanError as error:
            self.notes[name] = f"Its colours are left out: {error}"
            return None
        self.pixels += pixels
        return picture


def decoded(content: bytes, label: str, most_pixels: int = MOST_PIXELS) -> tuple[np.ndarray, int]:
    """A picture as bytes of sRGB, at most :data:`LARGEST_SIDE` pixels a side, and how many pixels it has itself.

    Args:
        content: The file.
        label: For messages.
        most_pixels: Refuse more than these.
    Returns:
        (H, W, 3) uint8; pixels.
    Raises:
        ScanError: It would take more memory than it may, or has too many pixels.
        Exception: It is damaged or of a kind that is not read; for :func:`headfield.io.guard.reading` around.
    """
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the limit is ours, and is said
    try:
        with Image.open(io.BytesIO(content), formats=KINDS) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise ScanError(
                    f"{label} has {width:,} x {height:,} pixels; a scan's pictures may have {MOST_PIXELS:,} in all. "
                    "Make them smaller."
                )
            image.draft("RGB", (LARGEST_SIDE, LARGEST_SIDE))  # JPEG can be decoded at a half, a quarter, an eighth
            bands = len(image.getbands()) * (1 if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK") else 4)
            held, kept = image.width * image.height, min(image.width * image.height, LARGEST_SIDE**2)
            what = f"a picture of {width:,} x {height:,} pixels"
            guard.check_need(label, held * max(bands, 3) + 10 * kept, len(content), what)
            image.load()
            if max(image.size) > LARGEST_SIDE and image.mode not in ("1", "P"):
                reduced = image.reduce(-(-max(image.size) // LARGEST_SIDE))
            else:
                reduced = image
            return np.asarray(reduced.convert("RGB")), width * height
    finally:
        Image.MAX_IMAGE_PIXELS = before


def looked_up(
    picture: np.ndarray, uv: np.ndarray, wrap: tuple[str, str] = ("repeat", "repeat"), *, linear: bool = False
) -> np.ndarray:
    """Bilinear look-up in linear light.

    Args:
        picture: (H, W, 3) uint8 sRGB.
        uv: (N, 2) right and down from the upper left corner; not finite counts as 0.
        wrap: Across and down: ``repeat``, ``mirror``, ``clamp``.
        linear: The picture's bytes are shares of linear light.
    Returns:
        (N, 3) in [0, 1].
    """
    sides = picture.shape[1], picture.shape[0]
    texels, shares = [], []
    for axis, (size, how) in enumerate(zip(sides, wrap)):
        place = np.nan_to_num(np.asarray(uv[:, axis], dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        place = np.clip(place, 0, 1) if how == "clamp" else np.mod(place, 2.0)
        place = place * size - 0.5  # centres of texels
        low = np.floor(place).astype(np.int64)
        texels.append([_wrapped(low + step, size, how) for step in (0, 1)])
        shares.append((place - low)[:, None])
    (left, right), (above, below) = texels
    across, down = shares
    light = np.arange(256) / 255 if linear else _LINEAR
    rows = [(1 - across) * light[picture[row, left]] + across * light[picture[row, right]] for row in (above, below)]
    return (1 - down) * rows[0] + down * rows[1]


def _wrapped(index: np.ndarray, size: int, how: str) -> np.ndarray:
    if how == "clamp":
        return np.clip(index, 0, size - 1)
    if how == "mirror":
        index = np.mod(index, 2 * size)
        return np.where(index < size, index, 2 * size - 1 - index)
    return np.mod(index, size)


def surface_colours(
    count: int,
    corners: np.ndarray,
    uv: np.ndarray | None,
    materials: np.ndarray,
    table: dict[int, Material],
    pictures: Pictures,
) -> np.ndarray:
    """Colours of vertices from the materials and texture coordinates of the corners that meet in them.

    Args:
        count: How many vertices, N.
        corners: (C,) the vertex of each corner; those beyond the vertices are passed over.
        uv: (C, 2) texture coordinates of each corner, from the picture's upper left, NaN where it has none; or None.
        materials: (C,) its material's number; one that is not in the table is white.
        table: Materials by number.
        pictures: Where they come from; it keeps the notes.
    Returns:
        (N, 3) uint8 sRGB; a vertex without corners has the mean of all.
    """
    linear = np.ones((len(corners), 3))
    known = [number for number in np.unique(materials).tolist() if number in table]
    for number in sorted(known, key=lambda number: (table[number].picture or "", number)):  # picture by picture
        which, material = np.flatnonzero(materials == number), table[number]
        linear[which] = material.factor
        if uv is not None and material.picture is not None:
            which = which[np.isfinite(uv[which]).all(axis=1)]
            if len(which) and (found := pictures.colours(material, uv[which])) is not None:
                linear[which] = found
    inside = (corners >= 0) & (corners < count)
    return srgb_colours(_means(count, corners[inside], linear[inside]))


def settled(parts: list[RawGeometry]) -> list[RawGeometry]:
    """Parts of one scan, all of them with colours or none: none where all is of one colour, which says nothing."""
    known = [part.colours for part in parts if part.colours is not None and len(part.colours)]
    first = known[0][0] if known else None
    if not known or (len(known) == len(parts) and all((colours == first).all() for colours in known)):
        return [replace(part, colours=None) for part in parts]
    white = np.full((1, 3), 255, np.uint8)
    return [
        replace(part, colours=np.repeat(white, len(part.points), 0) if part.colours is None else part.colours[:, :3])
        for part in parts
    ]


def _means(count: int, corners: np.ndarray, linear: np.ndarray) -> np.ndarray:
    """Mean over the corners of every vertex; a vertex without corners gets the mean of all."""
    times = np.bincount(corners, minlength=count)[:, None]
    sums = np.stack([np.bincount(corners, linear[:, band], count) for band in range(3)], axis=1)
    return np.where(times > 0, sums / np.maximum(times, 1), linear.mean(axis=0) if len(linear) else 1.0)


def beside(path: Path, name: str) -> bytes:
    """A file that a scan names: by that name from its folder, else by the last part of it, in any case of letters.

    Programs write the place where a picture lay on the machine that made the scan (``C:\\\\scans\\\\skin.JPG``).

    Raises:
        ScanError: It is not there, or no regular file.
    """
    try:
        return guard.content(guard.neighbour(path, name))
    except ScanError as error:
        last = str(name).replace("\\", "/").rstrip("/").rpartition("/")[2].strip()
        if not last or last in (".", ".."):
            raise
        try:
            listed = {entry.name.casefold(): entry.name for entry in os.scandir(path.parent) if entry.is_file()}
        except OSError:
            raise error from None
        if last.casefold() not in listed:
            raise
        return guard.content(guard.neighbour(path, listed[last.casefold()].replace("%", "%25")))
