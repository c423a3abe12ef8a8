"""Takes, the baked head that they are played on, and the play button."""

from __future__ import annotations

import numpy as np

from headfield.edit.presets import preset, preset_loop
from headfield.edit.tracks import Track, resample
from headfield.surface.bake import bake
from headfield.surface.baked import Baked
from headfield.view.pictures import shape_of
from headfield.view.player import Player
from headfield.view.rooms import Rooms
from headfield.view.state import Moment

LOOP = "Preset loop"
"""The take that is there without a file."""

FPS = 20.0
"""Frames a second; a browser takes meshes no faster than that."""


class Animation:
    """Plays takes on the session's head."""

    def __init__(self, viewer: Rooms, vertices: int) -> None:
        """Play for a viewer, on a baked head of about so many vertices."""
        self.viewer, self.vertices = viewer, vertices
        self.player = Player(viewer.screen.canvas)
        loop = [preset(name) for name in ("smile", "surprise", "anger", "blink", "open", "kiss")]
        self._takes: dict[str, Track] = {LOOP: preset_loop(np.array(loop), fps=FPS)}

    @property
    def takes(self) -> tuple[str, ...]:
        """Names of the takes."""
        return tuple(self._takes)

    def add(self, name: str, track: Track) -> None:
        """Add a take, or replace the one of that name."""
        self._takes[name] = track

    def toggle(self, name: str) -> None:
        """Play a take, or stop what plays; the head is baked first, once."""
        if self.player.playing:
            self.stop()
            self.viewer.screen.refresh(rest=False)
        else:
            self.viewer.jobs.put(lambda: self._play(self._takes[name]))

    def stop(self) -> None:
        """Stop, if something plays."""
        self.player.stop()
        self.viewer.screen.frozen = False

    def baked(self, moment: Moment) -> Baked:
        """The blendshapes of a moment's head, baked once for its shape; shows progress and can be stopped."""
        known = self.viewer.screen.pictures.baked
        if known is not None and known[0] == shape_of(moment):
            return known[1]
        head = self.viewer.session.head(moment).neutral()
        detail = 256 if self.vertices > 8000 else 128
        with self.viewer.jobs.sign("Baking 52 shapes") as progress:
            baked = bake(head.model, head.codes, vertices=self.vertices, resolution=detail,
                         progress=lambda share, what: progress(f"Baking 52 shapes: {what}", share))  # fmt: skip
        self.viewer.screen.pictures.baked = (shape_of(moment), baked)
        return baked

    def _play(self, track: Track) -> None:
        moment = self.viewer.session.now
        baked = self.baked(moment)
        pivot = self.viewer.session.head(moment).neutral().pivot()
        self.viewer.screen.frozen = True
        self.viewer.panels.playing(True)
        self.player.play(baked, resample(track, FPS), pivot, lambda: self.viewer.panels.playing(False))
