"""A head video from disk, in the published layout of IMAvatar; see :mod:`headfield.synth.video` for what is in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from headfield.errors import VideoError
from headfield.io import guard
from headfield.io.normal_picture import coloured_normals
from headfield.io.textures import decoded
from headfield.io.video_camera import FILE, POSE_JOINTS, VideoCamera
from headfield.parametric.rig import HeadRig

_OLD_SIDE = 512.0
"""Old files give intrinsics in pixels of pictures of this side."""


@dataclass(frozen=True)
class HeadVideo:
    """The numbers of a video; its pictures are read when they are asked for.

    Attributes:
        folder: Of ``flame_params.json``.
        files: (F,) paths of the pictures.
        cameras: (F,).
        channels: (F, E) numbers of the named channels.
        poses: (F, 5, 3) rotation vectors of POSE_JOINTS, radians.
        boxes: (F, 4) the face's box in pixels: left, top, right, bottom.
        names: (E,) of the channels.
        family: Parametric family of the tracked template.
        identity: Its identity numbers; missing ones are zero.
    """

    folder: Path
    files: tuple[Path, ...]
    cameras: tuple[VideoCamera, ...]
    channels: np.ndarray
    poses: np.ndarray
    boxes: np.ndarray
    names: tuple[str, ...]
    family: str
    identity: np.ndarray

    def __len__(self) -> int:
        return len(self.files)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.cameras[0].size

    def image(self, frame: int) -> np.ndarray:
        """(H, W, 3) uint8.

        Raises:
            VideoError: The picture cannot be read, or is of another size than the first.
        """
        return _picture(self.files[frame], self.size)

    def mask(self, frame: int) -> np.ndarray:
        """(H, W) bool, the person.

        Raises:
            VideoError: As of `image`; or nobody is there.
        """
        mask = _picture(self._beside(frame, "mask"), self.size)[:, :, 0] > 127
        if not mask.any():
            raise VideoError(
                f"{self._beside(frame, 'mask')}: the mask is empty: nobody is in frame {frame + 1}. Leave such frames "
                "out of the json."
            )
        return mask

    def semantic(self, frame: int) -> np.ndarray | None:
        """(H, W) uint8 labels of the published face parser, None where there is no such picture."""
        file = self._beside(frame, "semantic")
        return _picture(file, self.size)[:, :, 0] if file.is_file() else None

    def normals(self, frame: int) -> np.ndarray | None:
        """(H, W, 3) true unit normals in the model frame, NaN on the background; None where there is no picture."""
        file = self._beside(frame, "normal")
        return coloured_normals(_picture(file, self.size)) if file.is_file() else None

    def _beside(self, frame: int, kind: str) -> Path:
        file = self.files[frame]
        return file.parent.parent / kind / file.name

    def tracks(self, rig: HeadRig) -> tuple[np.ndarray, np.ndarray]:
        """Expressions (F, E) and poses (F, J, 3) of a rig's channels and joints.

        Raises:
            VideoError: The video speaks of channels that the rig has not.
        """
        missing = [name for name in rig.channels if name not in self.names]
        unknown = [name for name in self.names if name not in rig.channels and np.any(self._column(name))]
        if unknown:
            raise VideoError(
                f"{self.folder / FILE}: channels {guard.shown(', '.join(unknown[:5]))} move, which the template "
                f"{self.family} does not have. It has {', '.join(rig.channels[:5])}, ..."
            )
        expressions = np.zeros((len(self), len(rig.channels)))
        for at, name in enumerate(rig.channels):
            if name not in missing:
                expressions[:, at] = self._column(name)
        return expressions, self.poses[:, [POSE_JOINTS.index(joint) for joint in rig.joints]]

    def _column(self, name: str) -> np.ndarray:
        return self.channels[:, self.names.index(name)]

    @cached_property
    def masks(self) -> np.ndarray:
        """(F, H, W) bool of all frames.

        Raises:
            VideoError: As of `mask`.
        """
        return np.stack([self.mask(frame) for frame in range(len(self))])


def read_video(folder: Path, size: tuple[int, int] | None = None) -> HeadVideo:
    """Read ``flame_params.json`` of a folder and check that its pictures are there.

    Args:
        folder: Of the file.
        size: (height, width) of pictures to be made: then only the numbers count, and no picture is looked for.
    Raises:
        VideoError: It is missing or incomplete, has a single frame, lacks pictures or masks, has intrinsics of the
            wrong sign, or numbers of FLAME, for which the user's FLAME is needed.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        inner = sorted(found.parent.name for found in folder.glob(f"*/{FILE}")) if folder.is_dir() else []
        hint = f" Give one of its folders {', '.join(inner)}." if inner else ""
        raise VideoError(f"{path} is missing; expected IMAvatar's layout with image/, mask/ and {FILE}.{hint}")
    content = guard.json_of(path, VideoError)
    frames = _member(content, "frames", path, list)
    if len(frames) < 2 and size is None:
        raise VideoError(f"{path}: {len(frames)} frame(s); an avatar is learned from a video, expected at least 2.")
    names, family, identity = _template(content, path)
    files = [_image_file(frame, number, path) for number, frame in enumerate(frames, start=1)]
    if size is None:
        _check_files(files)
    height, width = _content(files[0]).shape[:2] if size is None else size
    intrinsics = _intrinsics(content, path)
    rows = {"world_mat": (3, 4), "pose": (15,), "bbox": (4,), "channels": (len(names),)}
    numbers = {key: _rows(frames, key, shape, path) for key, shape in rows.items()}
    boxes = (numbers["bbox"] + 1) / 2 * [width, height, width, height]
    return HeadVideo(
        folder=folder,
        files=tuple(files),
        cameras=tuple(VideoCamera(_proper(world, path), intrinsics, (height, width)) for world in numbers["world_mat"]),
        channels=numbers["channels"],
        poses=numbers["pose"].reshape(-1, 5, 3),
        boxes=boxes,
        names=names,
        family=family,
        identity=identity,
    )


def _member(content, key: str, path: Path, kind: type):
    held = content.get(key) if isinstance(content, dict) else None
    if not isinstance(held, kind):
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise VideoError(f"{path}: '{key}' is missing or no {kind.__name__}; it holds {guard.shown(keys)}.")
    return held


def _template(content: dict, path: Path) -> tuple[tuple[str, ...], str, np.ndarray]:
    """Names of the channels, family and identity numbers of the tracked template."""
    if "channels" not in content and "shape_params" in content:
        from headfield.parametric.flame import HOW_TO_GET

        raise VideoError(
            f"{path} holds FLAME's numbers, which need your own FLAME; this version drives avatars by the families of "
            f"the extension key 'channels' (family, identity, names). {HOW_TO_GET}."
        )
    said = _member(content, "channels", path, dict)
    names, family = said.get("names"), said.get("family")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not isinstance(family, str):
        raise VideoError(f"{path}: 'channels' needs 'family' (a name) and 'names' (a list of names).")
    try:
        identity = np.array(said.get("identity", []), dtype=float)
    except (TypeError, ValueError):
        identity = np.full(1, np.nan)
    if identity.ndim != 1 or not np.isfinite(identity).all():
        raise VideoError(f"{path}: 'identity' of 'channels' is no list of numbers.")
    return tuple(names), family, identity


def _intrinsics(content: dict, path: Path) -> np.ndarray:
    held = _member(content, "intrinsics", path, list)
    try:
        found = np.array(held, dtype=float)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.shape != (4,) or not np.isfinite(found).all():
        raise VideoError(f"{path}: intrinsics {guard.shown(held)}, expected four numbers fx, fy, cx, cy.")
    if found[2] > 1 or found[3] > 1:  # an old file: pixels
        found = found / _OLD_SIDE
    if found[0] >= 0 or found[1] <= 0:
        raise VideoError(
            f"{path}: intrinsics fx {found[0]:.3g}, fy {found[1]:.3g}; with the camera looking along -z a picture that "
            "is neither mirrored nor upside down has fx < 0 and fy > 0. Change the signs."
        )
    return found


def _rows(frames: list, key: str, shape: tuple[int, ...], path: Path) -> np.ndarray:
    rows = []
    for number, frame in enumerate(frames, start=1):
        try:
            row = np.array(_member(frame, key, path, list), dtype=float)
        except VideoError as error:
            raise VideoError(f"frame {number} of {error}") from error
        except (TypeError, ValueError):
            row = np.zeros(0)
        if row.shape != shape or not np.isfinite(row).all():
            raise VideoError(f"{path}: frame {number}: '{key}' of shape {row.shape}, expected {shape} finite numbers.")
        rows.append(row)
    return np.stack(rows)


def _proper(world: np.ndarray, path: Path) -> np.ndarray:
    turn = world[:, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-2 or np.linalg.det(turn) < 0:
        raise VideoError(
            f"{path}: a world_mat whose left part is no rotation; expected world to camera, x_cam = R x + t."
        )
    return world


def _image_file(frame, number: int, path: Path) -> Path:
    said = frame.get("file_path") if isinstance(frame, dict) else None
    if not isinstance(said, str):
        raise VideoError(f"{path}: frame {number} has no 'file_path', expected such as './image/{number}'.")
    return guard.neighbour(path, said if said.endswith(".png") else f"{said}.png", VideoError)


def _check_files(files: list[Path]) -> None:
    """Raise VideoError for pictures and masks that are missing, all at once."""
    for kind, advice in (
        ("image", "Extract the frames of the video there."),
        ("mask", "Every frame needs a picture of the person, white on black (published: MODNet)."),
    ):
        lost = [file for file in files if not (file.parent.parent / kind / file.name).is_file()]
        if lost:
            first = lost[0].parent.parent / kind / lost[0].name
            raise VideoError(f"{first} is missing, and {len(lost) - 1} more of {len(files)}. {advice}")


def _content(file: Path) -> np.ndarray:
    with guard.reading(file, "a picture", VideoError, advice="Extract the frame again."):
        return decoded(guard.content(file, VideoError), str(file))[0]


def _picture(file: Path, size: tuple[int, int]) -> np.ndarray:
    picture = _content(file)
    if picture.shape[:2] != size:
        raise VideoError(
            f"{file}: {picture.shape[1]} x {picture.shape[0]} pixels, the first frame has {size[1]} x {size[0]}."
        )
    return picture
