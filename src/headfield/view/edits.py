"""What the widgets of the viewer change in its session."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch

from headfield.edit.presets import preset
from headfield.edit.record import SavedHead
from headfield.surface.head import Head
from headfield.types import ARKIT, Codes
from headfield.view.state import Session


class Edits:
    """Changes of a session, each followed by `changed`; called by one thread at a time."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        """Edit a session, and tell that it changed."""
        self.session, self.changed = session, changed

    def slide(self, index: int, value: float) -> None:
        """Move an identity slider."""
        self._do(lambda: self.session.slide(index, value))

    def reset_sliders(self) -> None:
        """All identity sliders to zero."""
        sliders = (0.0,) * len(self.session.now.sliders)
        self._do(lambda: self.session.change("reset identity", sliders=sliders))

    def express(self, index: int, value: float) -> None:
        """Move an expression slider."""
        self._do(lambda: self.session.express({ARKIT[index]: value}, ARKIT[index], f"expression {index}"))

    def preset(self, name: str) -> None:
        """Take a named expression."""
        self._do(lambda: self.session.express(preset(name), name))

    def sample(self, region: str | None, spread: float) -> None:
        """Draw a new shape for a region."""
        if region is not None:
            self._do(lambda: self.session.sample(region, spread, random.randrange(10_000)))

    def swap(self, region: str | None) -> None:
        """Take a region from the second head."""
        if region is not None:
            self._do(lambda: self.session.swap(region))

    def symmetrise(self, region: str | None) -> None:
        """Make a region, or (None) the whole head, alike on both sides."""
        self._do(lambda: self.session.symmetrise(region))

    def reset(self, region: str | None) -> None:
        """Take a region's edits back, or (None) all."""
        self._do(lambda: self.session.reset(region))

    def strength(self, region: str | None, value: float) -> None:
        """Set the strength of a region's last edit."""
        if region is not None:
            self._do(lambda: self.session.strength(region, value))

    def undo(self) -> None:
        """One step back."""
        self._do(self.session.undo)

    def redo(self) -> None:
        """One step forward."""
        self._do(self.session.redo)

    def drawn(self) -> SavedHead:
        """A head drawn from the model."""
        seed = random.randrange(10_000)
        model = self.session.opened.head.model
        code = model.prior.draw(1, np.random.default_rng(seed), 0.9)
        head = Head(model, Codes(torch.as_tensor(code)))
        return SavedHead(head, self.session.opened.model_name, name=f"random head {seed}")

    def _do(self, act: Callable[[], object]) -> None:
        act()
        self.changed()
