"""From a moment to the screen: a preview at once, then the real surface, coarse before fine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from headfield.surface.baked import Baked
from headfield.surface.head import Head
from headfield.surface.regrid import Remembered, remesh
from headfield.surface.topology import vertex_normals
from headfield.types import Mesh
from headfield.view.preview import Carried, carried
from headfield.view.state import Moment, Session

REST = 0.25
"""Seconds without a change after which the real surface is made."""

MIDDLE = 128
"""Resolution of the mesh that previews move; the last stage may be finer."""

Shape = tuple
"""What a head's shape without its expression hangs on: sliders and edits of a moment."""


def shape_of(moment: Moment) -> Shape:
    """Sliders and edits with their strengths."""
    return (moment.sliders, tuple((edit.serial, edit.strength) for edit in moment.edits))


class Pictures:
    """Makes meshes of one session's moments; used by one thread at a time."""

    def __init__(self, session: Session, show: Callable[[Mesh, Head, str], None], coarse: int = 64) -> None:
        """Args:
        session: Makes the heads.
        show: Takes a mesh in the model frame, its head, and ``preview``, ``coarse`` or ``fine``.
        coarse: Resolution of the first real surface of a head that nothing is known of.
        """
        self.session, self.show, self.coarse = session, show, coarse
        self.baked: tuple[Shape, Baked] | None = None
        self.seconds: dict[str, float] = {}
        self._memory: dict[int, Remembered] = {}
        self._carried: Carried | None = None

    def forget(self) -> None:
        """Another head was opened."""
        self._memory.clear()
        self._carried, self.baked = None, None

    def picture(self, moment: Moment, resolution: int, stop: Callable[[], None], asked: float, rest: bool) -> None:
        """Show a moment.

        Args:
            moment: What to show.
            resolution: Of the last stage.
            stop: Raises when something newer is there.
            asked: `time.perf_counter()` when the user moved.
            rest: Wait for more to come between the preview and the real surface.
        """
        head = self.session.head(moment)
        stop()
        mesh = self._preview(moment, head)
        if mesh is not None:
            self._tell("preview", mesh, head, asked)
        if rest:
            until = asked + REST
            while time.perf_counter() < until:
                stop()
                time.sleep(0.01)
        stages = [r for r in (MIDDLE,) if r < resolution] + [resolution]
        if mesh is None and self.coarse < stages[0]:
            stages = [self.coarse, *stages]
        for stage in stages:
            last = stage == stages[-1]
            mesh = self._real(head, stage, last, stop)
            stop()
            self._tell("fine" if last else f"real {stage}", mesh, head, asked)
            if stage <= MIDDLE:
                self._carried = carried(mesh)

    def _tell(self, kind: str, mesh: Mesh, head: Head, asked: float) -> None:
        self.seconds[kind] = time.perf_counter() - asked
        self.show(mesh, head, kind)

    def _preview(self, moment: Moment, head: Head) -> Mesh | None:
        """The blendshapes' mesh where only the expression moved, else the last one moved onto the new surface."""
        if self.baked is not None and self.baked[0] == shape_of(moment):
            baked = self.baked[1]
            vertices = baked.posed(np.array(moment.expression)).astype(float)
            return Mesh(vertices, baked.triangles, vertex_normals(vertices, baked.triangles))
        if self._carried is None:
            return None
        condition = head.model.condition(head.codes)

        def field(points: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return head.model.signed_distance(torch.from_numpy(points)[None], condition)[0].numpy()

        if head.reflected:
            return None
        with torch.no_grad():
            vertices = self._carried.onto(field)
        return replace(self._carried.mesh, vertices=vertices)

    def _real(self, head: Head, resolution: int, exact: bool, stop: Callable[[], None]) -> Mesh:
        if head.reflected:
            return head.mesh(resolution)
        memory = self._memory.setdefault(resolution, Remembered())
        return remesh(head.model, head.codes, resolution, memory, normals=exact, interrupt=stop)
