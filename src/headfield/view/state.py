"""A session of the viewer without a browser: what is open, what was changed, undo and redo, and the head of it all.

A moment is a handful of numbers and the list of region edits; its head is made from them, so every moment can be made
again, saved with its history, and compared with the head as it was opened.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from headfield.edit import operations
from headfield.edit.record import SavedHead, recorded
from headfield.edit.regions import region_names
from headfield.errors import ConfigError
from headfield.surface.head import Head
from headfield.types import ARKIT
from headfield.view.directions import Directions, directions_of

if TYPE_CHECKING:
    from headfield.fit.result import Fit

MERGE_SECONDS = 1.0
"""Changes of one slider that follow each other this closely are one step of undo."""

MOST_STEPS = 200
"""Of undo."""

MOST_KNOWN = 64
"""Edited heads that are remembered."""

_serial = itertools.count(1)


@dataclass(frozen=True)
class Edit:
    """One edit of a region.

    Attributes:
        operation: As :meth:`headfield.edit.record.SavedHead.apply` takes it, at full strength.
        strength: How much of it: 0 nothing, 1 all.
        serial: Tells edits apart, whatever their strength.
    """

    operation: dict[str, Any]
    strength: float = 1.0
    serial: int = field(default_factory=lambda: next(_serial))

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that it changes, by name; () when it changes all."""
        given = self.operation.get("regions")
        return () if given is None else region_names(given)

    def recorded(self) -> dict[str, Any]:
        """The operation with its strength, for the saved head's history."""
        plain = self.operation["do"] == "reset"
        return dict(self.operation) if plain else {**self.operation, "strength": self.strength}


@dataclass(frozen=True)
class Moment:
    """Everything that the user has set.

    Attributes:
        sliders: (S,) positions along the identity directions, standard deviations.
        edits: Region edits in order.
        expression: (52,) weights in ARKIT order.
        label: What was done last, for the undo button.
    """

    sliders: tuple[float, ...]
    edits: tuple[Edit, ...] = ()
    expression: tuple[float, ...] = (0.0,) * len(ARKIT)
    label: str = "opened"


class Session:
    """One open head with its changes. Not thread-safe by itself: the viewer holds one lock around it."""

    def __init__(self, opened: SavedHead, fit: Fit | None = None, *, clock: Callable[[], float] = time.monotonic):
        """Open a head.

        Args:
            opened: The head as found: a fit's, a saved one, or the model's mean.
            fit: The fit it came from, when there is one, for its scan and errors.
            clock: Seconds, for tests.
        """
        self.directions: Directions = directions_of(opened.head.model)
        self.clock = clock
        self.other: SavedHead | None = None
        self._made: dict[tuple, Head] = {}  # sliders and edits so far -> head after the last of them
        self._lock = threading.Lock()
        self.open(opened, fit)

    def open(self, opened: SavedHead, fit: Fit | None = None) -> None:
        """Start again with another head of the same or another model; the second head to swap with is kept."""
        self.directions = directions_of(opened.head.model)
        self.opened, self.fit = opened, fit
        expression = opened.head.codes.expression
        weights = (0.0,) * len(ARKIT)
        if expression is not None:
            weights = tuple(float(value) for value in expression[0])
        self.now = self.before = Moment((0.0,) * len(self.directions.names), (), weights)
        self._undo: list[Moment] = []
        self._redo: list[Moment] = []
        self._made.clear()
        self._last: tuple[str | None, float] = (None, -np.inf)

    # ---- changes -----------------------------------------------------------------------------------------------------

    def change(self, label: str, key: str | None = None, **fields) -> Moment:
        """Change fields of the moment.

        Args:
            label: What is done, in a few words.
            key: Changes of one key within a second of each other are undone together, as when a slider is dragged.
            **fields: Of :class:`Moment`.
        """
        moment = replace(self.now, label=label, **fields)
        if replace(moment, label="") == replace(self.now, label=""):
            return self.now
        before, when = self._last
        if key is None or key != before or self.clock() - when > MERGE_SECONDS:
            self._undo = [*self._undo, self.now][-MOST_STEPS:]
        self._last = (key, self.clock())
        self._redo.clear()
        self.now = moment
        return moment

    def slide(self, index: int, value: float) -> Moment:
        """Move an identity slider to a position in standard deviations."""
        sliders = list(self.now.sliders)
        sliders[index] = float(value)
        return self.change(self.directions.names[index], f"slider {index}", sliders=tuple(sliders))

    def express(self, weights: np.ndarray | dict[str, float], label: str = "expression", key: str | None = None):
        """Set all weights (52,), or some by name."""
        vector = np.array(self.now.expression)
        if isinstance(weights, dict):
            for name, value in weights.items():
                vector[ARKIT.index(name)] = value
        else:
            vector = np.asarray(weights, dtype=float)
        return self.change(label, key, expression=tuple(float(v) for v in np.clip(vector, 0, 1)))

    def sample(self, region: str, sd: float, seed: int, strength: float = 1.0) -> Moment:
        """Draw a region from the prior."""
        operation = {"do": "sample_region", "regions": [region], "sd": float(sd), "seed": int(seed)}
        return self._edit(f"sample {spoken(region)}", operation, strength)

    def swap(self, region: str, strength: float = 1.0) -> Moment:
        """Take a region from the second head.

        Raises:
            ConfigError: There is no second head.
        """
        if self.other is None:
            raise ConfigError("There is no second head to take it from: load one first.")
        operation = {"do": "swap", "regions": [region], "donor": self.other}
        return self._edit(f"swap {spoken(region)}", operation, strength)

    def symmetrise(self, region: str | None, strength: float = 1.0) -> Moment:
        """Make left and right alike, in a region or (None) everywhere."""
        operation = {"do": "symmetrise"} | ({} if region is None else {"regions": [region]})
        return self._edit(f"symmetrise {spoken(region) if region else 'all'}", operation, strength)

    def reset(self, region: str | None) -> Moment:
        """Take the edits of a region back, or (None) all of them."""
        if region is None:
            return self.change("reset regions", edits=())
        edits = tuple(edit for edit in self.now.edits if edit.regions != region_names(region))
        if self.opened.head.codes.parts is not None or any(edit.regions == () for edit in edits):
            edits = (*edits, Edit({"do": "reset", "regions": [region]}))
        return self.change(f"reset {spoken(region)}", edits=edits)

    def strength(self, region: str, value: float) -> Moment:
        """Set the strength of the last edit of a region; nothing happens where there is none."""
        for place in reversed(range(len(self.now.edits))):
            edit = self.now.edits[place]
            if edit.regions == region_names(region) and edit.operation["do"] != "reset":
                top = 1.0 if edit.operation["do"] == "symmetrise" else operations.MOST
                edits = list(self.now.edits)
                edits[place] = replace(edit, strength=float(np.clip(value, 0.0, top)))
                return self.change(f"strength of {spoken(region)}", f"strength {edit.serial}", edits=tuple(edits))
        return self.now

    def strength_of(self, region: str) -> float | None:
        """Strength of the last edit of a region, None when it has none."""
        names = region_names(region)
        found = [e.strength for e in self.now.edits if e.regions == names and e.operation["do"] != "reset"]
        return found[-1] if found else None

    def _edit(self, label: str, operation: dict[str, Any], strength: float) -> Moment:
        return self.change(label, edits=(*self.now.edits, Edit(operation, float(strength))))

    # ---- undo --------------------------------------------------------------------------------------------------------

    @property
    def undo_label(self) -> str | None:
        """What undo would take back, None when there is nothing."""
        return self.now.label if self._undo else None

    @property
    def redo_label(self) -> str | None:
        """What redo would do again, None when there is nothing."""
        return self._redo[-1].label if self._redo else None

    def undo(self) -> Moment:
        """Go one step back, if there is one."""
        if self._undo:
            self._redo.append(self.now)
            self.now = self._undo.pop()
        self._last = (None, -np.inf)
        return self.now

    def redo(self) -> Moment:
        """Go one step forward again, if there is one."""
        if self._redo:
            self._undo.append(self.now)
            self.now = self._redo.pop()
        self._last = (None, -np.inf)
        return self.now

    # ---- heads -------------------------------------------------------------------------------------------------------

    def head(self, moment: Moment | None = None) -> Head:
        """The head of a moment, default the present one. An edit is worked out once; its strength costs nothing."""
        moment = self.now if moment is None else moment
        head = self._identity(moment)
        path: tuple = moment.sliders
        for edit in moment.edits:
            full = self._made.get((*path, edit.serial))
            if full is None:
                full = replace(self.opened, head=head, start=None, history=()).apply(edit.operation).head
                with self._lock:
                    if len(self._made) > MOST_KNOWN:
                        self._made.pop(next(iter(self._made)))
                    self._made[(*path, edit.serial)] = full
            head = operations.at_strength(head, full, edit.strength)
            path = (*path, edit.serial, edit.strength)
        weights = np.array(moment.expression)
        return head.with_expression(weights) if weights.any() else head.neutral()

    def saved(self, moment: Moment | None = None) -> SavedHead:
        """The head of a moment with its history, ready for a file: its start is the head after the identity sliders."""
        moment = self.now if moment is None else moment
        opened = self.opened
        moved = any(moment.sliders)
        start = self._identity(moment) if moved else opened.head.neutral()
        history = () if moved else opened.history
        saved = replace(opened, head=start, history=history, start=start if moved else opened.start)
        records = tuple(recorded(edit.recorded(), saved) for edit in moment.edits)
        return replace(saved, head=self.head(moment), start=saved.start or start, history=(*history, *records))

    def _identity(self, moment: Moment) -> Head:
        """The opened head moved along the sliders, neutral, without the session's region edits."""
        head = self.opened.head.neutral()
        if not any(moment.sliders):
            return head
        shift = torch.as_tensor(self.directions.code(np.array(moment.sliders)), dtype=torch.float32)[None]
        codes = replace(head.codes, identity=head.codes.identity + shift, parts=None, anchors=None, around=None)
        if codes.warp_identity is not None:
            codes = replace(codes, warp_identity=codes.warp_identity + shift)
        moved = Head(head.model, codes, head.reflected)
        if head.codes.parts is None and head.codes.anchors is None:
            return moved
        # edits that the head came with ride on the new identity as differences from the old one's own
        old = operations.in_use(replace(head, codes=replace(head.codes, parts=None, anchors=None)))
        edited, new = operations.in_use(head), operations.in_use(moved)
        parts, anchors = (own + (was - plain) for own, was, plain in zip(new, edited, old))
        return replace(moved, codes=replace(moved.codes, parts=parts, anchors=anchors, around=operations.acting(head)))


def spoken(region: str) -> str:
    """A region's name as people write it."""
    return region.replace("_", " ")
