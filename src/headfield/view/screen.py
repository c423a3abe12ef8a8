"""What the viewer shows of its session: which moment, how fine, in which colours; and the region that was clicked."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from headfield.errors import ConfigError, present
from headfield.surface.head import Head
from headfield.surface.topology import vertex_normals
from headfield.types import Mesh
from headfield.view import shading
from headfield.view.canvas import Canvas
from headfield.view.jobs import Jobs
from headfield.view.mouths import Mouths
from headfield.view.pictures import Pictures
from headfield.view.region_colours import REGION_COLOURS, region_index
from headfield.view.state import Session
from headfield.view.worker import Newest


class Screen:
    """The picture of a session. One thread makes the newest one; another works out edits that take long."""

    def __init__(
        self, server, session: Session, jobs: Jobs, *, resolution: int, coarse: int, picked: Callable[[str], None]
    ) -> None:
        """Set the screen up.

        Args:
            server: A viser server.
            session: What to show.
            jobs: Tells about errors.
            resolution: Of the finest picture.
            coarse: Of the first picture of a head that nothing is known of.
            picked: Called with the region that the user clicked.
        """
        self.session, self.jobs, self.picked = session, jobs, picked
        self.resolution = resolution
        self.mode = shading.MODES[0]
        self.tinted: str | None = None
        self.before = False
        self.frozen = False
        """Whether something else draws on the canvas, as a player does."""
        self.canvas = Canvas(server, self._clicked)
        self.mouths = Mouths()
        self.pictures = Pictures(session, self._show, coarse)
        self._painter = Newest(jobs.failed, "headfield-pictures")
        self._head: Head | None = None

    def refresh(self, rest: bool = True) -> None:
        """Show the present moment; after a preview wait for the user to rest, or not."""
        asked = time.perf_counter()
        with self.jobs.lock:
            moment = self.session.before if self.before else self.session.now
            resolution = self.resolution

        def paint(stop: Callable[[], None]) -> None:
            self.pictures.picture(moment, resolution, stop, asked, rest)

        self._painter.put(paint)

    def forget(self) -> None:
        """Another head was opened."""
        self.pictures.forget()
        if not shading.has(self.mode, self.session.fit):
            self.mode = shading.MODES[0]

    def idle(self) -> bool:
        """Whether nothing is being drawn."""
        return self._painter.idle()

    def close(self) -> None:
        """Stop drawing."""
        self._painter.close()

    # ---- colours -----------------------------------------------------------------------------------------------------

    def shade(self, mode: str) -> None:
        """Choose a shading mode.

        Raises:
            ConfigError: It is the error map or the scan's colours, and there is none.
        """
        if not shading.has(mode, self.session.fit):
            missing, why = shading.NEEDED[mode]
            raise ConfigError(f"{missing}: {why}. Open one in the Head tab.")
        self.mode = mode
        self.recolour()

    def tint(self, region: str | None) -> None:
        """Tint a region on the plain surface, or (None) nothing."""
        self.tinted = region
        if self.mode == shading.MODES[0]:
            self.recolour()

    def recolour(self) -> None:
        """Show the mesh on screen with other colours."""
        mesh, head = self.canvas.mesh, self._head
        if mesh is not None and head is not None and not self.frozen:
            self.canvas.show(mesh, self._colours(mesh, head))

    def _show(self, mesh: Mesh, head: Head, kind: str) -> None:
        self._head = head
        if not self.frozen:
            # while the user moves, what the mouth holds keeps its place; a new shape gets it placed anew at rest
            parts = self.mouths.of(head, place=kind == "fine")
            self.canvas.show(mesh, self._colours(mesh, head), parts)

    def _colours(self, mesh: Mesh, head: Head) -> np.ndarray | None:
        vertices, mode = np.asarray(mesh.vertices), self.mode
        if mode == "Normals":
            return shading.of_normals(vertex_normals(vertices, mesh.triangles))
        if mode == "Scan colours":
            normals, fit = vertex_normals(vertices, mesh.triangles), present(self.session.fit, "a fit")
            return shading.of_scan(vertices, normals, fit)
        if mode == "Regions":
            return shading.of_regions(vertices, head.anchors())
        if mode == "Fit error":
            return shading.of_fit(vertices, present(self.session.fit, "a fit"))
        if mode == "Change":
            return shading.of_change(vertices, self.session.head(self.session.before), self.session.opened.mm_per_unit)
        return None if self.tinted is None else shading.picked(vertices, head.anchors(), self.tinted)

    def _clicked(self, place: np.ndarray) -> None:
        head = self._head
        if head is not None:
            region = int(region_index(place[None], head.anchors())[0])
            self.picked(list(REGION_COLOURS)[region])
