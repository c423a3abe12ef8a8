"""Reading one depth map and its camera as a `Scan`.

Depth is along the optical axis (z), as depth cameras store it, not along the ray. Images have y down; the scan is
turned to y up with the camera at the origin looking along -z (OpenGL's and glTF's camera), so a face that looks at
the camera looks along +z.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError, EmptyDepthError, ScanError, need
from headfield.frames import UNITS_IN_METRES, length_text
from headfield.io import arrays, guard
from headfield.io.formats import read_json
from headfield.types import Scan

DEPTH_SUFFIXES = (".png", ".exr", ".npy")
"""Suffixes that :func:`read_depth` understands; ``.npy`` is a depth map only if intrinsics are given."""

_MOST_CHANNELS = 8
"""Channels of four bytes that an EXR is counted with."""

JUMP = 0.015
"""Relative depth step between neighbouring pixels that counts as an edge: 9 mm at 600 mm."""


def read_depth(
    path: str | Path,
    intrinsics: str | Path | tuple[float, float, float, float],
    depth_unit: str | float = "mm",
    max_points: int = 200_000,
    *,
    normals: bool = True,
) -> Scan:
    """Read a depth map as points seen from a camera.

    Args:
        path: 16-bit PNG, EXR (needs the extra ``depth``) or NPY, (H, W); 0 and non-finite mean no measurement.
        intrinsics: (fx, fy, cx, cy) in pixels with the centre of the first pixel at (0, 0), or a JSON file with
            these keys (or ``K``: 3 x 3; optional ``width``, ``height``).
        depth_unit: Unit of the depth values: mm, cm, m or inch; or metres per count, for images that count in
            steps of their own (0.0001 for 0.1 mm, 0.0002 for 1/5000 m).
        max_points: Upper limit of points kept.
        normals: Estimate normals, which takes most of the time; False leaves them out.
    Returns:
        Points (N, 3) and normals (towards the camera) in `depth_unit`, in metres if that is a number; y up, camera at
        the origin looking along -z; `units` and `viewpoint` are set. Pixels beside a depth edge are dropped: they mix
        two surfaces.
    Raises:
        EmptyDepthError: Hardly any pixel holds a depth.
        ScanError: The image or the intrinsics cannot be used.
        ConfigError: `depth_unit` is unknown, or no length.
        MissingExtra: EXR without OpenEXR.
    """
    path = Path(path)
    check_depth_unit(depth_unit)
    with guard.reading(path, "a depth map"):
        return _depth_scan(path, intrinsics, depth_unit, max_points, normals)


def _depth_scan(path: Path, intrinsics, depth_unit: str | float, max_points: int, with_normals: bool) -> Scan:
    depth = _read_image(path)
    as_read = f"in {depth_unit}"
    if not isinstance(depth_unit, str):
        # counts are nobody's unit of length: from here on it is metres, like the number itself
        as_read = f"at {depth_unit:g} m per count"
        depth, depth_unit = depth * depth_unit, "m"
    fx, fy, cx, cy = _read_intrinsics(intrinsics, depth.shape, path)
    valid = np.isfinite(depth) & (depth > 0)
    if valid.sum() < 100:
        raise EmptyDepthError(f"{path}: only {int(valid.sum())} pixels hold a depth; a face needs thousands.")
    _refuse_distance(path, float(np.median(depth[valid])) * UNITS_IN_METRES[depth_unit], depth_unit, as_read)
    notes = []
    smooth = valid & ~_beside_edge(depth, valid)
    if smooth.sum() >= 0.2 * valid.sum():  # a very noisy or coarse map is all edges: keep it as it is
        if dropped := int(valid.sum() - smooth.sum()):
            notes.append(f"{dropped:,} pixels beside depth edges were dropped.")
        valid = smooth
    places = np.flatnonzero(valid)
    if len(places) > max_points:
        chosen = np.sort(np.random.default_rng(0).choice(len(places), max_points, replace=False, shuffle=False))
        notes.append(f"{len(places):,} pixels: a random {max_points:,} of them were used.")
        places = places[chosen]
    rows, columns = np.divmod(places, depth.shape[1])
    z = depth[rows, columns]
    points = np.stack([(columns - cx) / fx * z, -(rows - cy) / fy * z, -z], axis=1)
    if not with_normals:
        return Scan(points, name=path.name, units=depth_unit, viewpoint=np.zeros(3), notes=tuple(notes))
    normals = _normals(depth, valid, rows, columns, (fx, fy, cx, cy))
    facing = np.einsum("ni,ni->n", normals, points) > 0  # the camera is at the origin
    normals[facing] *= -1
    return Scan(points, normals, name=path.name, units=depth_unit, viewpoint=np.zeros(3), notes=tuple(notes))


def _refuse_distance(path: Path, distance: float, unit: str, as_read: str) -> None:
    """Refuse a median depth (metres) from which no head is scanned, and say what the unit may be instead."""
    if 0.05 < distance < 20:
        return
    likely = [u for u, m in UNITS_IN_METRES.items() if 0.2 < distance / UNITS_IN_METRES[unit] * m < 3]
    if as_read.startswith("at "):
        advice = "Look up the camera's depth scale: --depth-unit takes metres per count, or mm, cm, m, inch."
    elif likely:
        advice = f"Pass --depth-unit {likely[0]} if it is in {likely[0]}."
    else:
        advice = "If the values are counts, pass --depth-unit with metres per count, such as 0.0002."
    raise ScanError(
        f"{path}: the median depth is {length_text(distance)} when read {as_read}; "
        f"a head is scanned from 0.1 to 5 m. {advice}"
    )


def check_depth_unit(unit: str | float) -> None:
    """Raise unless a depth unit is known.

    Raises:
        ConfigError: It is neither one of mm, cm, m, inch nor metres per count, positive and at most 1.
    """
    if isinstance(unit, str):
        if unit not in UNITS_IN_METRES:
            raise ConfigError(
                f"Unknown depth unit '{unit}': use one of {', '.join(UNITS_IN_METRES)}, or a number, metres per count."
            )
    elif not 0 < unit <= 1:  # also refuses nan
        likely = f" For {unit:g} counts per metre it is {1 / unit:g}." if 1 < unit < 1e9 else ""
        raise ConfigError(
            f"A depth unit of {unit:g}: expected metres per count, such as 0.001 (millimetres) or 0.0002.{likely}"
        )


def _read_image(path: Path) -> np.ndarray:
    """Depth values (H, W) float64."""
    suffix = path.suffix.lower()
    if not path.exists():
        raise ScanError(f"{path}: no such depth map.")
    if suffix not in DEPTH_SUFFIXES:
        raise ScanError(f"{path}: depth maps are read from {', '.join(DEPTH_SUFFIXES)}.")
    with guard.opened(path) as file:
        if not file.read(1):
            raise ScanError(f"{path}: the file is empty (0 bytes).")
    image = {".png": _read_png, ".exr": _read_exr, ".npy": _read_npy}[suffix](path)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 or image.dtype.kind not in "fiu":
        raise ScanError(f"{path}: an image of shape {image.shape} and type {image.dtype}; expected one channel (H, W).")
    if suffix == ".png" and image.dtype == np.uint8:
        raise ScanError(f"{path}: an 8-bit picture, not a depth map; expected a 16-bit PNG with one channel.")
    return image.astype(np.float64)


_PER_PIXEL = 40
"""Bytes that reading a depth map takes for each of its pixels."""


def _check_size(path: Path, width: int, height: int, more: int = 0) -> None:
    """Refuse a picture that is too large, before it is unpacked; `more` bytes a pixel come on top."""
    what = f"a picture of {width:,} x {height:,} pixels"
    guard.check_need(path, width * height * (_PER_PIXEL + more), path.stat().st_size, what)


def _read_png(path: Path) -> np.ndarray:
    from PIL import Image

    with guard.opened(path) as file:
        begin = file.read(24)  # signature, length and name of the first chunk, width, height
        if not begin.startswith(b"\x89PNG\r\n\x1a\n") or len(begin) < 24:
            raise ScanError(f"{path}: named .png but its content is not PNG. Export the depth map again.")
        _check_size(path, *struct.unpack(">II", begin[16:24]))
        file.seek(0)
        with Image.open(file, formats=["PNG"]) as image:
            return np.array(image)


def _read_npy(path: Path) -> np.ndarray:
    image = arrays.npy(path)
    if image.ndim >= 2:
        _check_size(path, *image.shape[1::-1])
    return image


def _read_exr(path: Path) -> np.ndarray:
    exr = need("OpenEXR", "depth", "Reading an EXR depth map")
    try:
        with exr.File(str(path), header_only=True) as file:
            low, high = file.header()["dataWindow"]
            width, height = (int(size) for size in np.asarray(high, np.int64) - low + 1)
        _check_size(path, width, height, more=4 * _MOST_CHANNELS)
        with exr.File(str(path), separate_channels=True) as file:
            channels = {name: channel.pixels for name, channel in file.channels().items()}
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    # renderers name depth Z, Depth.Z, V or Y; a grey picture repeats it in R, G and B
    order = ("Z", "V", "Y", "R")
    found = [name for wanted in order for name in channels if name.rsplit(".", 1)[-1].upper() == wanted]
    if not found:
        raise ValueError(f"channels {guard.shown(', '.join(channels))}; expected one called {', '.join(order)}")
    return np.array(channels[found[0]])


def _read_intrinsics(intrinsics, shape: tuple[int, int], path: Path) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels."""
    if isinstance(intrinsics, (str, Path)):
        source = str(intrinsics)
        content = read_json(Path(intrinsics), "The camera's intrinsics")
        if "K" in content:
            try:
                matrix = np.asarray(content["K"], dtype=float)
            except (TypeError, ValueError, OverflowError) as error:
                raise ScanError(f"{source}: K is no matrix of numbers; expected 3 x 3.") from error
            if matrix.size != 9:
                raise ScanError(f"{source}: K has {matrix.size} numbers, expected 3 x 3.")
            matrix = matrix.reshape(3, 3)
            values = (matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
        else:
            missing = [key for key in ("fx", "fy", "cx", "cy") if key not in content]
            if missing:
                raise ScanError(f"{source}: no {', '.join(missing)}; expected fx, fy, cx, cy in pixels (or K).")
            values = tuple(content[key] for key in ("fx", "fy", "cx", "cy"))
        stated = (content.get("height", shape[0]), content.get("width", shape[1]))
        if tuple(stated) != tuple(shape):
            raise ScanError(
                f"{source} is for an image of {guard.shown(stated[1], 20)} x {guard.shown(stated[0], 20)} pixels, but "
                f"{path.name} has {shape[1]} x {shape[0]}. Scale fx, fy, cx, cy accordingly."
            )
    else:
        source, values = "intrinsics", tuple(intrinsics)
    try:
        fx, fy, cx, cy = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ScanError(f"{source}: fx, fy, cx, cy must be four numbers, not {guard.shown(values, 80)}.") from error
    if not (np.isfinite([fx, fy, cx, cy]).all() and fx > 0 and fy > 0):
        raise ScanError(f"{source}: fx and fy must be positive pixels, seen fx = {fx}, fy = {fy}.")
    return fx, fy, cx, cy


def _beside_edge(depth: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Pixels (H, W) whose right, left, upper or lower neighbour is valid and more than JUMP away in depth."""
    beside = np.zeros_like(valid)
    for row in range(0, len(depth), _BAND):
        _mark_beside_edge(*(image[row : row + _BAND + 1] for image in (depth, valid, beside)))
    return beside


_BAND = 256
"""Rows that are looked at together, and one more: large pictures take less memory so."""


def _mark_beside_edge(depth: np.ndarray, valid: np.ndarray, beside: np.ndarray) -> None:
    for axis in (0, 1):
        near, far = [slice(None)] * 2, [slice(None)] * 2
        near[axis], far[axis] = slice(None, -1), slice(1, None)
        near, far = tuple(near), tuple(far)
        both = valid[near] & valid[far]
        first, second = np.where(both, depth[near], 1.0), np.where(both, depth[far], 1.0)
        jump = both & (np.abs(first - second) > JUMP * np.minimum(first, second))
        beside[near] |= jump
        beside[far] |= jump


def _normals(depth, valid, rows, columns, camera, radius: int = 3) -> np.ndarray:
    """Unit normals (N, 3), y up, of planes fitted in a window around chosen pixels.

    A plane n.P = d seen by a pinhole camera has inverse depth 1/z = a u + b v + c with n ~ K^T (a, b, c), so the
    fit is linear least squares on inverse depth; neighbours across a depth edge are left out.
    """
    height, width = depth.shape
    z = depth[rows, columns]
    sums = np.zeros((len(rows), 3, 3))
    right = np.zeros((len(rows), 3))
    for dv in range(-radius, radius + 1):
        for du in range(-radius, radius + 1):
            v, u = np.clip(rows + dv, 0, height - 1), np.clip(columns + du, 0, width - 1)
            near = depth[v, u]
            weight = valid[v, u] & (np.abs(near - z) < (1 + max(abs(dv), abs(du))) * JUMP * z)
            inverse = np.where(weight, z / np.where(weight, near, 1), 0)  # relative: well scaled
            row = np.array([du, dv, 1.0])
            sums += weight[:, None, None] * np.outer(row, row)
            right += inverse[:, None] * row
    sums += 1e-6 * np.diag([1.0, 1.0, 0.0])  # isolated pixels: facing the camera
    sums[:, 2, 2] += 1e-9
    a, b, c = np.linalg.solve(sums, right[..., None])[..., 0].T
    fx, fy, cx, cy = camera
    # window coordinates to the image's: u = columns + du, so the constant at the pixel is c
    n = np.stack([a * fx, b * fy, a * (cx - columns) + b * (cy - rows) + c], axis=1)
    n *= np.array([1.0, -1.0, -1.0])  # y down, z forward -> y up, z back
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-30)
