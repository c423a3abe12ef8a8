"""How well a face's action is read: weights within a family, millimetres across families, gaze in degrees, blinks.

A group of the frozen table (`headfield.synth.poses`) is *active* when its true weight is at least a quarter and it
moves the surface by at least a millimetre: what cannot be seen without texture is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headfield.parametric.topology import vertex_normals
from headfield.synth.gaze import direction_of
from headfield.synth.poses import Group, Pose, groups
from headfield.types import ARKIT

WELL_MM = 0.6
"""A fit this near to the captured face must not be called poor."""

ACTIVE_WEIGHT, ACTIVE_MM = 0.25, 1.0
"""A group counts from this weight on, when it moves the surface by this much."""

FOUND = 0.5
"""An action is found when at least this share of it is read."""

OTHER_SIDE = 0.25
"""Most that may be read on the still side of a one-sided action."""

CLOSED, OPEN = 0.6, 0.2
"""Closed eyes are read as at least this much blink, open ones as at most that much."""

_BLINK = [ARKIT.index("eyeBlinkLeft"), ARKIT.index("eyeBlinkRight")]
_LOOK_DOWN = [ARKIT.index("eyeLookDownLeft"), ARKIT.index("eyeLookDownRight")]
_SIDES = ("Left", "Right")
_NOTHING = 0.05


@dataclass(frozen=True)
class Action:
    """What one group truly does on a head.

    Attributes:
        group: Which.
        weight: Its summed weight, or 1 where the family has no such channels.
        moves_mm: How far it moves the surface at most.
    """

    group: Group
    weight: float
    moves_mm: float

    @property
    def active(self) -> bool:
        """Whether it is asked for."""
        return self.weight >= ACTIVE_WEIGHT and self.moves_mm >= ACTIVE_MM


def actions_of(
    expression: np.ndarray, posed: Callable[[np.ndarray], np.ndarray], triangles: np.ndarray, face: np.ndarray,
    mm_per_unit: float,
) -> dict[str, Action]:  # fmt: skip
    """The groups that an expression plays at all.

    Args:
        expression: (52,) true weights.
        posed: From weights (52,) to the head's vertices (V, 3).
        triangles: (F, 3).
        face: (V,) bool, where motion counts.
        mm_per_unit: True millimetres of the vertices' unit.
    """
    now = posed(expression)
    normals = vertex_normals(now, triangles)
    found = {}
    for name, group in groups().items():
        weight = group.weight(expression)
        if weight < _NOTHING:
            continue
        without = expression.copy()
        without[group.channels] = 0.0
        shift = np.abs(((now - posed(without)) * normals).sum(1))[face]
        found[name] = Action(group, weight, float(shift.max(initial=0.0)) * mm_per_unit)
    return found


def asked(action: Action, lids_visible: bool) -> bool:
    """Whether a reading is asked for an action: it is active, and can be seen."""
    return action.active and (lids_visible or not action.group.lids)


def read_weights(
    pose: Pose, expression: np.ndarray, actions: dict[str, Action], read: np.ndarray, lids_visible: bool
) -> dict[str, float]:
    """What was read, against what is true, in the same family of expressions; NaN for what does not apply.

    Args:
        pose: Of the table.
        expression: (52,) true weights.
        actions: From `actions_of`.
        read: (52,) weights of the fit.
        lids_visible: Whether lids can be judged; else their groups are not asked for.
    Returns:
        ``found``: share of active groups found; ``acted``, ``one_sided``, ``single``: the same of these poses only;
        ``false_neutral``, ``false``: sums of what was read and is not there; ``symmetric``: largest difference of the
        sides; ``closed_read``, ``open_read``.
    """
    values: dict[str, float] = dict.fromkeys(COLUMNS, np.nan)
    active = {name: action for name, action in actions.items() if asked(action, lids_visible)}
    found = {name: action.group.weight(read) >= FOUND * action.weight for name, action in active.items()}
    if found:
        values["found"] = float(np.mean(list(found.values())))
    if pose.kind in ACTED:
        values["acted"] = values["found"]
    if pose.kind == "single":
        values["single"] = values["found"]
    if pose.kind == "one-sided":
        one = [
            ok and groups()[actions[name].group.mirror].weight(read) <= OTHER_SIDE
            for name, ok in found.items()
            if actions[name].group.mirror != name and actions[name].group.mirror not in actions
        ]
        if one:
            values["one_sided"] = float(np.mean(one))
    if not pose.weights.any():
        values["false_neutral"] = float(np.maximum(read - expression, 0)[expression < _NOTHING].sum())
    else:
        values["false"] = float(
            sum(max(group.weight(read) - group.weight(expression), 0.0) for name, group in groups().items()
                if name not in active)
        )  # fmt: skip
    if pose.symmetric:
        gaps = [abs(active[n].group.weight(read) - groups()[active[n].group.mirror].weight(read)) for n in active]
        values["symmetric"] = float(max(gaps)) if gaps else np.nan
    if lids_visible:
        values |= _lids(expression, read)
    return values


def _lids(expression: np.ndarray, read: np.ndarray) -> dict[str, float]:
    """Whether both lids are read right, where both are closed or both open (a gaze that is cast down lowers them)."""
    true, got = expression[_BLINK], np.asarray(read)[_BLINK]
    found = {}
    if (true >= 0.9).all():
        found["closed_read"] = float((got >= CLOSED).all())
    elif (true < _NOTHING).all() and (expression[_LOOK_DOWN] < 0.2).all():
        found["open_read"] = float((got <= OPEN).all())
    return found


def read_motion(pose: Pose, actions: dict[str, Action], moved: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict:
    """The same across families: motion of the group's anchors, mm, along the true motion.

    Args:
        pose: Of the table.
        actions: What the head truly does.
        moved: Group -> (true, read) motions (A, 3) of its anchors, mm.
    """
    values: dict[str, float] = dict.fromkeys(COLUMNS, np.nan)
    found = []
    for name, action in actions.items():
        true, got = moved[name]
        size = float(np.linalg.norm(true))
        if action.active and size >= ACTIVE_MM:
            found.append(float((true * got).sum()) / size >= FOUND * size)
    if not found:
        return values
    key = {"emotion": "acted", "viseme": "acted", "single": "single", "one-sided": "one_sided"}.get(pose.kind, "found")
    values["found"] = values[key] = float(np.mean(found))
    return values


def gaze_error(expression: np.ndarray, read: np.ndarray) -> float:
    """Mean angle between where the eyes look and where they are read to look, degrees."""
    angles = []
    for side in _SIDES:
        cosine = direction_of(side, expression) @ direction_of(side, np.asarray(read, dtype=float))
        angles.append(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return float(np.mean(angles))


def nonzero(weights: np.ndarray) -> dict[str, float]:
    """Channels above 0.02 by name, rounded."""
    return {name: round(float(weight), 3) for name, weight in zip(ARKIT, weights) if weight > 0.02}


def in_words(weights: np.ndarray, most: int = 4) -> str:
    """What a label says of an expression (52,): its strongest groups, both sides as one where they agree, and gaze."""
    told: dict[str, float] = {}
    for name, group in groups().items():
        weight, other = (max(weights[one.channels]) for one in (group, groups()[group.mirror]))
        side = name.rsplit("_", 1)[-1] if group.mirror != name else ""
        if side and not name.startswith("jaw") and abs(weight - other) <= SIDES_AGREE:  # a jaw goes to one side
            name, weight = name.removesuffix(f"_{side}"), (weight + other) / 2
        told[name] = weight
    strong = sorted((name for name in told if told[name] >= TOLD), key=lambda name: -told[name])
    words = [f"{name.replace('_', ' ')} {told[name]:.1f}" for name in strong[:most]]
    off = gaze_error(np.zeros(len(ARKIT)), weights)
    words += [f"gaze {off:.0f}°"] if off >= GAZE_TOLD else []
    return ", ".join(words) or "nothing"


ACTED = ("emotion", "viseme")
"""Kinds of poses that whole faces play."""

TOLD, SIDES_AGREE, GAZE_TOLD = 0.15, 0.2, 5.0
"""Words tell of groups from this weight on, of both sides as one within this difference, of a gaze off by 5 degrees."""

FOUND_COLUMNS = ("found", "acted", "one_sided", "single", "closed_read", "open_read")
"""Those that are shares of what was found."""

SCALELESS = ("false_neutral", "closed_read", "open_read")
"""What can be asked of families whose weights mean other amounts: nothing is nothing, and closed is closed."""

COLUMNS = ("found", "acted", "one_sided", "single", "false_neutral", "false", "symmetric", "closed_read", "open_read")
"""What `read_weights` gives."""
