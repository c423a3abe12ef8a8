"""Teeth, gums and tongue: closed solids placed in any head from its anchors, that follow the jaw and ``tongueOut``.

The head's field keeps an open cavity when the lips part; what is to be seen in it are five separate parts, from
ICT-FaceKit (MIT; the notice is in ``mouth_parts.npz``, which ``benchmarks/make_mouth_parts.py`` makes). Upper teeth and
gums are fixed to the skull. Lower ones and the tongue move as a rigid jaw does: they turn about its hinge, near the
ears, and slide. Offsets are linear in the channels: of a turn they hold the chord.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frames import MM_PER_UNIT, anchor_indices, reference_anchors
from ..types import ARKIT, ARKIT_MIRROR, Codes
from .parts import Material
from .topology import vertex_normals

if TYPE_CHECKING:
    from ..models.imhead import ImHead
    from .head import Head

IVORY = Material("teeth", (233, 224, 205), 0.25)
GUM = Material("gums", (190, 108, 106), 0.35)
TONGUE = Material("tongue", (186, 98, 98), 0.45)
MATERIALS = {"teethUpper": IVORY, "teethLower": IVORY, "gumsUpper": GUM, "gumsLower": GUM, "tongue": TONGUE}
"""The parts, and what each is made of."""

WITH_JAW = ("teethLower", "gumsLower", "tongue")

JAW_CHANNELS = ("jawOpen", "jawForward", "jawLeft", "jawRight")

CHIN = ("chin", "chin_side_left", "chin_side_right")
"""Anchors whose motion says how far a head's own channels move its jaw."""

DEPTH_MM = 0.5
"""Parts of a neutral head lie at least this deep under its surface."""

DROP_MM = 3.5
"""Teeth stand this much lower than ICT-FaceKit's, so that upper ones show under the lip as those of adults do."""

STEP_MM, SHRINK, STEPS = 0.4, 0.99, 24
"""Where a part comes too near, all go back by a step and get smaller by a share, at most so many times."""

NARROW, NARROWINGS = 0.985, 6
"""Where cheeks come too near in a smile, the arch gets narrower by a share, at most so many times."""

LARGEST_GAIN = 1.3

SIDES = 0.6
"""What lies this far out of the mid-plane, as a share of the dental arch's half width, lies against the cheeks."""

SMILE = ("mouthSmileLeft", "mouthSmileRight")

Field = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MouthPart:
    """One part of a neutral head's mouth; a :class:`headfield.surface.parts.Part`.

    Attributes:
        name: A key of MATERIALS.
        vertices: (V, 3) model units.
        triangles: (F, 3); the part is closed, and they face outwards.
        shapes: Offsets (V, 3) for the channels that move it, by ARKit name.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    shapes: Mapping[str, np.ndarray] = field(default_factory=dict)

    fused = False
    replaces = np.zeros(0, dtype=int)

    @property
    def mesh_name(self) -> str:
        """No two parts share a mesh."""
        return self.name

    @property
    def material(self) -> Material:
        """Ivory, gum or tongue."""
        return MATERIALS[self.name]

    @property
    def place(self) -> dict[str, Any]:
        """The mesh stands where it belongs."""
        return {}

    def vertex_data(self) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Positions and normals, and triangles (F, 3)."""
        normals = vertex_normals(self.vertices, self.triangles)
        return {"POSITION": self.vertices.astype("<f4"), "NORMAL": normals.astype("<f4")}, self.triangles

    def scaled(self, factor: float) -> MouthPart:
        """The part in another unit."""
        shapes = {name: offsets * factor for name, offsets in self.shapes.items()}
        return replace(self, vertices=self.vertices * factor, shapes=shapes)

    def mirrored(self) -> MouthPart:
        """The mirror image, with left and right channels exchanged."""
        flip = np.array([-1.0, 1.0, 1.0])
        other = {name: ARKIT[ARKIT_MIRROR[ARKIT.index(name)]] for name in self.shapes}
        shapes = {other[name]: offsets * flip for name, offsets in self.shapes.items()}
        return replace(self, vertices=self.vertices * flip, triangles=self.triangles[:, ::-1].copy(), shapes=shapes)


@dataclass(frozen=True)
class Placement:
    """Where the reference head's mouth lies in another head: x -> scale * (x - origin) + target.

    Attributes:
        scale: (3,) across, up and forwards.
        origin: (3,) middle of the reference head's lips.
        target: (3,) middle of the head's lips.
    """

    scale: np.ndarray
    origin: np.ndarray
    target: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the reference head in this one."""
        return self.scale * (points - self.origin) + self.target


def placement_of(anchors: np.ndarray) -> Placement:
    """How the mouth parts fit into a head with these anchors (39, 3): by the widths of mouth and jaw, by the height
    from nose to chin, and by the depth from the ears to the lips."""
    lips = ["upper_lip", "lower_lip", "mouth_corner_left", "mouth_corner_right"]
    pairs = ("mouth_corner", "chin_side", "jaw_angle", "nose_wing", "cheek")

    def measures(of: np.ndarray) -> np.ndarray:
        at = lambda *names: of[anchor_indices(names)].mean(0)  # noqa: E731
        width = sum(at(f"{name}_left")[0] - at(f"{name}_right")[0] for name in pairs)
        height = at("nose_wing_left", "nose_wing_right")[1] - at("chin")[1]
        depth = at("upper_lip", "lower_lip")[2] - at("jaw_below_ear_left", "jaw_below_ear_right")[2]
        return np.array([width, height, depth])

    reference = reference_anchors()
    scale = np.clip(measures(np.asarray(anchors)) / measures(reference), 0.7, 1.3)
    index = anchor_indices(lips)
    lower = np.array([0.0, DROP_MM / MM_PER_UNIT, 0.0])
    return Placement(scale, reference[index].mean(0), np.asarray(anchors)[index].mean(0) - lower)


def place(
    anchors: np.ndarray, field: Field, gains: Mapping[str, float] | None = None, *, smiling: Field | None = None
) -> tuple[MouthPart, ...]:
    """The five parts of a head, or () where they find no room inside it.

    Args:
        anchors: (39, 3) of the neutral head, model units.
        field: Signed distances (N,) of the neutral head at points (N, 3).
        smiling: The same of the head with a broad smile, which draws the cheeks against the molars: room is made for
            them.
        gains: How far the jaw moves for each of JAW_CHANNELS, as a share of ICT-FaceKit's; 1 where none is given.
    """
    asset = _asset()
    found = placement_of(anchors)
    points = np.concatenate([asset[f"{name}.vertices"] for name in MATERIALS])
    # in front, a smile parts the lips: there is no saying what is inside
    sides = points[np.abs(points[:, 0]) > SIDES * np.abs(points[:, 0]).max()]
    narrowings = 0
    for _ in range(STEPS):
        if field(found.apply(points)).max() >= -DEPTH_MM / MM_PER_UNIT:
            back = np.array([0.0, 0.0, -STEP_MM / MM_PER_UNIT])
            found = Placement(found.scale * SHRINK, found.origin, found.target + back)
        elif smiling is not None and narrowings < NARROWINGS and smiling(found.apply(sides)).max() > 0:
            found = Placement(found.scale * [NARROW, 1.0, 1.0], found.origin, found.target)
            narrowings += 1
        else:
            return tuple(_part(name, asset, found, gains or {}) for name in MATERIALS)
    return ()


def jaw_gains(skin: Callable[[np.ndarray, str], np.ndarray], anchors: np.ndarray) -> dict[str, float]:
    """How far each of JAW_CHANNELS moves a head's chin, as a share of how far it moves ICT-FaceKit's.

    Args:
        skin: From points (N, 3) of the neutral head and a channel to their offsets (N, 3) at weight 1.
        anchors: (39, 3).
    """
    asset, found, chin = _asset(), placement_of(anchors), anchors[anchor_indices(CHIN)]
    gains = {}
    for channel in JAW_CHANNELS:
        own, its = skin(chin, channel), found.scale * asset[f"{channel}.chin"]
        gains[channel] = float(np.clip((own * its).sum() / (its**2).sum(), 0.0, LARGEST_GAIN))
    return gains


def mouth_parts(model: ImHead, codes: Codes) -> tuple[MouthPart, ...]:
    """The mouth parts of one head of a model with the 52 ARKit channels; its expression is ignored.

    Raises:
        ValueError: The codes are of more than one head.
    """
    import torch

    from .inverse_warp import from_canonical

    neutral = replace(codes, expression=None)
    device = codes.identity.device
    with torch.no_grad():
        anchors = model.anchors(neutral)[0].cpu().numpy().astype(float)

        def posed(*channels: str) -> Codes:
            weights = codes.identity.new_zeros(1, len(ARKIT))
            weights[0, [ARKIT.index(channel) for channel in channels]] = 1.0
            return replace(codes, expression=weights)

        def field_of(which: Codes) -> Field:
            condition = model.condition(which)

            def field(points: np.ndarray) -> np.ndarray:
                query = torch.as_tensor(points, dtype=torch.float32, device=device)
                return model.signed_distance(query[None], condition)[0].cpu().numpy()

            return field

        def skin(points: np.ndarray, channel: str) -> np.ndarray:
            return from_canonical(model, points, posed(channel)).points - points

        return place(anchors, field_of(neutral), jaw_gains(skin, anchors), smiling=field_of(posed(*SMILE)))


def mouth_parts_of(head: Head) -> tuple[MouthPart, ...]:
    """The mouth parts of a head in the model frame, mirrored where it is; () where its model has other channels."""
    if not head.model.expression_space.speaks_arkit:
        return ()
    parts = mouth_parts(head.model, head.codes)
    return tuple(part.mirrored() for part in parts) if head.reflected else parts


def hinge_of(anchors: np.ndarray) -> np.ndarray:
    """The (y, z) of the axis, parallel to x, about which a head's jaw opens, model units."""
    return placement_of(anchors).apply(np.append(0.0, _asset()["hinge"]))[1:]


def _part(name: str, asset: Mapping[str, np.ndarray], placed: Placement, gains: Mapping[str, float]) -> MouthPart:
    rest = asset[f"{name}.vertices"]
    vertices, shapes = placed.apply(rest), {}
    for channel in JAW_CHANNELS if name in WITH_JAW else ():
        gain = gains.get(channel, 1.0)
        if channel == "jawOpen":
            hinge = placed.apply(np.append(0.0, asset["hinge"]))[1:]
            shapes[channel] = _opened(vertices, hinge, gain * float(asset["angle"]))
        else:
            motion = asset[channel]
            shapes[channel] = gain * placed.scale * (rest @ motion[:, :3].T + motion[:, 3] - rest)
    if name == "tongue":
        shapes["jawOpen"] = shapes["jawOpen"] + gains.get("jawOpen", 1.0) * placed.scale * asset["tongue.jawOpen"]
        shapes["tongueOut"] = placed.scale * asset["tongue.tongueOut"]
    return MouthPart(name, vertices, asset[f"{name}.triangles"], shapes)


def _opened(points: np.ndarray, hinge: np.ndarray, angle: float) -> np.ndarray:
    """Offsets (V, 3) of points that turn by an angle, downwards in front, about the axis across with this (y, z)."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    arm = points[:, 1:] - hinge
    return np.column_stack([np.zeros(len(points)), arm @ turn.T - arm])


@functools.lru_cache(maxsize=1)
def _asset() -> dict[str, np.ndarray]:
    """The packaged parts in model units, in the reference head, and how its jaw moves."""
    with resources.files("headfield.surface").joinpath("mouth_parts.npz").open("rb") as stream:
        stored = dict(np.load(stream, allow_pickle=False))
    unit = float(stored["micrometres"]) / 1000.0 / MM_PER_UNIT
    for name in [name for name, array in stored.items() if array.dtype == np.int16]:
        stored[name] = stored[name] * unit
    for name in MATERIALS:
        stored[f"{name}.triangles"] = stored[f"{name}.triangles"].astype(np.int64)
    return stored
