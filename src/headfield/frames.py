"""The model frame, units, box and the 39 anchor places: every convention that more than one room needs.

Model frame: axes, origin and scale of the FLAME frame times 4 (NPHM's frame). One unit is 250 mm of an average
adult, +x is the subject's left, +y up, +z out of the face. Signed distances are negative inside; level 0 is the skin.
"""

from __future__ import annotations

import numpy as np

MM_PER_UNIT = 250.0
"""Millimetres of an average adult per model unit."""

METRES_PER_UNIT = MM_PER_UNIT / 1000.0

BOX = np.array([[-0.65, -0.68, -0.95], [0.65, 0.85, 0.50]])
"""Default model box (2, 3): lower and upper corner in model units. A released model stores its own."""

UNITS_IN_METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0, "inch": 0.0254}
"""Length units that files use, in metres."""


def length_text(metres: float) -> str:
    """A length in the most readable unit, without exponents: ``213 mm``, ``1.8 m``, ``256 km``."""
    if metres < 5e-4:
        return "less than 1 mm"
    if metres < 0.9995:
        return f"{metres * 1000:.0f} mm"
    if metres < 999.5:
        return f"{metres:.3g} m"
    return f"{metres / 1000:,.0f} km" if metres < 1e9 else "over a million km"


ICT_PITCH_DEGREES = -5.7
ICT_ORIGIN_CM = np.array([0.0, 1.09, 5.89])
"""Placement of the ICT-FaceKit frame (centimetres) in the model frame: least squares on shared landmarks."""

REFERENCE_ANCHORS = {
    "mouth_corner_left": (0.1014, -0.2006, 0.1528),
    "mouth_corner_right": (-0.1014, -0.2006, 0.1528),
    "jaw_below_ear_left": (0.2686, -0.0953, -0.0416),
    "jaw_below_ear_right": (-0.2686, -0.0953, -0.0416),
    "chin_side_left": (0.1278, -0.2745, 0.1144),
    "chin_side_right": (-0.1278, -0.2745, 0.1144),
    "cheek_left": (0.2010, -0.0799, 0.1150),
    "cheek_right": (-0.2010, -0.0799, 0.1150),
    "brow_left": (0.1458, 0.1525, 0.1802),
    "brow_right": (-0.1458, 0.1525, 0.1802),
    "eye_inner_left": (0.0738, 0.0729, 0.1402),
    "eye_inner_right": (-0.0738, 0.0729, 0.1402),
    "eye_outer_left": (0.1784, 0.0824, 0.1173),
    "eye_outer_right": (-0.1784, 0.0824, 0.1173),
    "nose_wing_left": (0.0726, -0.0810, 0.1775),
    "nose_wing_right": (-0.0726, -0.0810, 0.1775),
    "jaw_angle_left": (0.2151, -0.2588, -0.0761),
    "jaw_angle_right": (-0.2151, -0.2588, -0.0761),
    "temple_left": (0.2639, 0.0745, 0.0272),
    "temple_right": (-0.2639, 0.0745, 0.0272),
    "ear_back_left": (0.2866, -0.0030, -0.1920),
    "ear_back_right": (-0.2866, -0.0030, -0.1920),
    "forehead_top_left": (0.1634, 0.3496, 0.1087),
    "forehead_top_right": (-0.1634, 0.3496, 0.1087),
    "crown_front_left": (0.2108, 0.4693, -0.1347),
    "crown_front_right": (-0.2108, 0.4693, -0.1347),
    "head_back_left": (0.1835, 0.2556, -0.5035),
    "head_back_right": (-0.1835, 0.2556, -0.5035),
    "nape_left": (0.1696, -0.1757, -0.3942),
    "nape_right": (-0.1696, -0.1757, -0.3942),
    "neck_side_left": (0.2829, -0.4657, -0.3822),
    "neck_side_right": (-0.2829, -0.4657, -0.3822),
    "throat": (0.0000, -0.4366, -0.0665),
    "nose_tip": (0.0000, -0.0557, 0.2830),
    "lower_lip": (0.0000, -0.2401, 0.2035),
    "upper_lip": (0.0000, -0.1658, 0.2226),
    "nose_bridge": (0.0000, 0.0863, 0.2033),
    "forehead": (0.0000, 0.1955, 0.2115),
    "chin": (0.0000, -0.3626, 0.1464),
}
"""The 39 anchor places (NPHM Fig. 12) on the reference head, model units. Pairs first: index 2i is the subject's
left (+x), 2i+1 the right; the last seven lie on the mid-line. Derived from the ICT-FaceKit template (MIT)."""

ANCHOR_NAMES: tuple[str, ...] = tuple(REFERENCE_ANCHORS)
N_ANCHORS = len(ANCHOR_NAMES)  # K = 39
N_PAIRS = 16
N_PART_NETWORKS = N_ANCHORS - N_PAIRS  # R = 23: the two of a pair share one network

PART_NETWORK = np.array([j // 2 if j < 2 * N_PAIRS else j - N_PAIRS for j in range(N_ANCHORS)])
"""Network index (K,) of every part: pairs share (0..15), mid-line parts have their own (16..22)."""

IS_MIRRORED = np.array([j < 2 * N_PAIRS and j % 2 == 1 for j in range(N_ANCHORS)])
"""True (K,) for the right one of a pair, which sees its local coordinates with x negated."""

MIRROR_PART = np.array([j ^ 1 if j < 2 * N_PAIRS else j for j in range(N_ANCHORS)])
"""Index (K,) of each part's mirror image: an involution."""

DENSER_LANDMARKS = {
    "jaw_line_upper": (15, 1), "jaw_line_middle": (13, 3), "jaw_line_lower": (11, 5), "jaw_line_chin": (9, 7),
    "brow_outer": (26, 17), "brow_inner": (22, 21), "lid_upper": (44, 37), "lid_lower": (46, 41),
    "nostril": (35, 31), "lip_peak_upper": (52, 50), "lip_side_upper": (53, 49), "lip_peak_lower": (56, 58),
    "lip_side_lower": (55, 59),
}  # fmt: skip
"""13 more pairs of places, by the numbers of the 68 Multi-PIE landmarks, (left, right): models with 65 anchors."""

ANCHOR65_NAMES: tuple[str, ...] = (
    *ANCHOR_NAMES, *(f"{name}_{side}" for name in DENSER_LANDMARKS for side in ("left", "right"))
)  # fmt: skip
"""Names of 65 anchors: the 39, and the denser landmarks."""

MIRROR65 = np.concatenate([MIRROR_PART, N_ANCHORS + (np.arange(2 * len(DENSER_LANDMARKS)) ^ 1)])
"""Index (65,) of each one's mirror image: an involution."""

_UNSTABLE = {"mouth_corner", "throat", "lower_lip", "upper_lip", "chin", "chin_side", "neck_side", "nape", "jaw_angle"}
NORMALISING_ANCHORS = np.array(
    [name.removesuffix("_left").removesuffix("_right") not in _UNSTABLE for name in ANCHOR_NAMES]
)
"""Skull and upper-face anchors (K,) that define a head's similarity to the model frame (size is placement)."""


def anchors65(anchors: np.ndarray, landmarks68: np.ndarray) -> np.ndarray:
    """The 65 anchors (65, 3), by ANCHOR65_NAMES, of a head's 39 anchors (39, 3) and 68 landmarks (68, 3)."""
    return np.concatenate([anchors, landmarks68[[number for pair in DENSER_LANDMARKS.values() for number in pair]]])


REGIONS: dict[str, tuple[str, ...]] = {
    "nose": ("nose_wing_left", "nose_wing_right", "nose_tip", "nose_bridge"),
    "mouth": ("mouth_corner_left", "mouth_corner_right", "lower_lip", "upper_lip"),
    "left_eye": ("eye_inner_left", "eye_outer_left"),
    "right_eye": ("eye_inner_right", "eye_outer_right"),
    "left_brow": ("brow_left",),
    "right_brow": ("brow_right",),
    "left_cheek": ("cheek_left",),
    "right_cheek": ("cheek_right",),
    "left_ear": ("ear_back_left",),
    "right_ear": ("ear_back_right",),
    "left_temple": ("temple_left",),
    "right_temple": ("temple_right",),
    "jaw": ("jaw_angle_left", "jaw_angle_right", "jaw_below_ear_left", "jaw_below_ear_right"),
    "chin": ("chin", "chin_side_left", "chin_side_right"),
    "forehead": ("forehead", "forehead_top_left", "forehead_top_right"),
    "scalp": ("crown_front_left", "crown_front_right", "forehead_top_left", "forehead_top_right"),
    "back_of_head": ("head_back_left", "head_back_right"),
    "neck": ("nape_left", "nape_right", "neck_side_left", "neck_side_right", "throat"),
}
"""Regions by the names users know, each a set of anchors (DESIGN: regions overlap where anatomy does)."""


def reference_anchors() -> np.ndarray:
    """The 39 reference anchors as an array (39, 3), model units, in the order of ANCHOR_NAMES."""
    return np.array([REFERENCE_ANCHORS[name] for name in ANCHOR_NAMES])


def edit_reach() -> np.ndarray:
    """How far (39,) from each anchor an edit of its region can be felt, model units.

    At least 27 mm, which leaves a feature of the face its whole size; three fifths of the way to the nearest other
    anchor where they lie farther apart, on the skull and the neck.
    """
    anchors = reference_anchors()
    between = np.linalg.norm(anchors[:, None] - anchors, axis=2) + np.diag(np.full(N_ANCHORS, np.inf))
    return np.maximum(27.0 / MM_PER_UNIT, 0.6 * between.min(axis=1))


def anchor_indices(names) -> np.ndarray:
    """Indices of anchors given by name.

    Raises:
        KeyError: A name is unknown.
    """
    lookup = {name: index for index, name in enumerate(ANCHOR_NAMES)}
    return np.array([lookup[name] for name in names], dtype=int)


TURNING_ANCHORS = ("jaw_below_ear_left", "jaw_below_ear_right", "nape_left", "nape_right")
"""The anchors about whose mean a head turns: between the jaw's joints and the nape."""


GAZE_RADIANS = float(np.radians(28.0))
"""How far an eyeball turns sideways for a gaze channel of 1."""

GAZE_PITCH = 0.8
"""Up and down it turns this much of that."""


def gaze_angles(side: str, inwards, outwards, up, down) -> tuple[np.ndarray, np.ndarray]:
    """How an eyeball turns for its four gaze channels.

    Args:
        side: ``Left`` or ``Right``, the subject's.
        inwards, outwards, up, down: Weights (...) of eyeLookIn, eyeLookOut, eyeLookUp, eyeLookDown of that side.
    Returns:
        Yaw about +y, positive towards the subject's left, and then pitch about +x, positive downwards (...), radians.
    """
    outward = 1.0 if side == "Left" else -1.0  # the subject's left is +x
    yaw = GAZE_RADIANS * outward * (np.asarray(outwards) - np.asarray(inwards))
    return yaw, GAZE_PITCH * GAZE_RADIANS * (np.asarray(down) - np.asarray(up))


def turning_pivot(anchors: np.ndarray) -> np.ndarray:
    """The point (3,) that a head with these anchors (39, 3) turns about."""
    return np.asarray(anchors)[anchor_indices(TURNING_ANCHORS)].mean(axis=0)


def mirror_points(points: np.ndarray) -> np.ndarray:
    """Reflect points (..., 3) across the mid-sagittal plane x = 0."""
    return points * np.array([-1.0, 1.0, 1.0])
