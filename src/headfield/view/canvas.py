"""The scene of the viewer: one head, shown as plain skin or with colours per vertex, and the scan beside it.

viser's plain meshes take new vertices without a flicker but have one colour; colours per vertex need a GLB, which goes
blank while it is parsed. So a coloured head is put up beside the last one, which is taken away a moment later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headfield.surface.parts import Part
from headfield.surface.rays import RayScene
from headfield.surface.topology import vertex_normals
from headfield.types import Mesh
from headfield.view.shading import CLAY

LINGER = 0.5
"""Seconds that the last coloured head stays up, until the next one has been parsed."""

LIGHTS = {
    "key": ((255, 244, 230), 2.6, (1.6, 1.5, 1.9)),
    "fill": ((214, 226, 255), 0.7, (-2.0, 0.2, 1.4)),
    "rim": ((255, 255, 255), 1.4, (-1.4, 1.2, -1.8)),
}
"""A portrait's three lights: colour, intensity and where from, model frame; the key light on the head's left."""


class Canvas:
    """Shows meshes; safe to call from several threads."""

    def __init__(self, server, clicked: Callable[[np.ndarray], None]) -> None:
        """Set the scene up.

        Args:
            server: A viser server.
            clicked: Called with the place (3,) on the head, model frame, that the user clicked.
        """
        self.server, self.clicked = server, clicked
        self.mesh: Mesh | None = None
        self.colours: np.ndarray | None = None
        self.shown = 0
        self._lock = threading.RLock()
        self._plain = self._coloured = self._scan = None
        self._parts: dict[str, Any] = {}
        self._turn, self._rays = 0, None
        scene = server.scene
        scene.set_up_direction("+y")
        scene.world_axes.visible = False
        scene.configure_default_lights(False)
        scene.configure_environment_map(None)  # ten times the work for a machine without a graphics card
        sky, ground = (236, 240, 255), (150, 128, 112)
        scene.add_light_hemisphere("/lights/sky", sky_color=sky, ground_color=ground, intensity=0.7)
        for name, (colour, intensity, position) in LIGHTS.items():
            scene.add_light_directional(
                f"/lights/{name}", color=colour, intensity=intensity, position=position, cast_shadow=False
            )
        y, x = np.mgrid[-1:1:128j, -1:1:128j]
        fall = np.clip((x**2 + 0.8 * (y + 0.2) ** 2) / 2, 0, 1)[..., None]
        backdrop = (1 - fall) * np.array([238, 237, 235]) + fall * np.array([206, 205, 203])
        scene.set_background_image(backdrop.astype(np.uint8), format="png")
        self.home(server.initial_camera)

    @staticmethod
    def home(camera) -> None:
        """Put a camera where a portrait is taken from: a little to the head's left, at eye level."""
        camera.position, camera.look_at, camera.up = (0.95, 0.18, 2.15), (0.0, 0.0, -0.12), (0.0, 1.0, 0.0)
        camera.fov = 0.6

    def show(
        self, mesh: Mesh, colours: np.ndarray | None = None, parts: Sequence[tuple[Part, Mesh]] | None = None
    ) -> None:
        """Put a mesh on screen, model frame.

        Args:
            mesh: The head.
            colours: (V, 4) uint8 sRGB, or None for plain skin.
            parts: Separate parts as they stand; None leaves those on screen as they are.
        """
        with self._lock:
            if parts is not None:
                self._show_parts(parts)
            same = self.mesh is not None and self.mesh.triangles is mesh.triangles
            self.mesh, self.colours, self._rays = mesh, colours, None
            if colours is None:
                self._show_plain(mesh, same)
            else:
                self._show_coloured(mesh, colours)
            self.shown += 1

    def _show_plain(self, mesh: Mesh, same: bool) -> None:
        vertices = np.asarray(mesh.vertices, dtype=np.float32)
        with self.server.atomic():
            if self._plain is None:
                self._plain = self.server.scene.add_mesh_simple(
                    "/head",
                    vertices,
                    np.asarray(mesh.triangles, dtype=np.uint32),
                    color=tuple(int(c) for c in CLAY),
                    side="double",
                )
                self._plain.on_click(self._on_click)
                self._triangles = mesh.triangles
            else:
                self._plain.vertices = vertices
                if self._triangles is not mesh.triangles:
                    self._plain.faces = np.asarray(mesh.triangles, dtype=np.uint32)
                    self._triangles = mesh.triangles
            self._plain.visible = True
            if self._coloured is not None:
                self._coloured.remove()
                self._coloured = None

    def _show_parts(self, parts: Sequence[tuple[Part, Mesh]]) -> None:
        with self.server.atomic():
            for name in set(self._parts) - {part.name for part, _ in parts}:
                self._parts.pop(name).remove()
            for part, mesh in parts:
                vertices, known = np.asarray(mesh.vertices, dtype=np.float32), self._parts.get(part.name)
                if known is None:
                    self._parts[part.name] = self.server.scene.add_mesh_simple(
                        f"/parts/{part.name}",
                        vertices,
                        np.asarray(mesh.triangles, dtype=np.uint32),
                        color=part.material.colour,
                    )
                else:  # of every head a part has the same triangles, but for a mirrored one's
                    known.vertices, known.faces = vertices, np.asarray(mesh.triangles, dtype=np.uint32)

    def _show_coloured(self, mesh: Mesh, colours: np.ndarray) -> None:
        from headfield.io.gltf import pack_glb

        normals = vertex_normals(mesh.vertices, mesh.triangles)  # without them a GLB is shown in facets
        data = {"POSITION": np.asarray(mesh.vertices, "<f4"), "NORMAL": normals.astype("<f4"), "COLOR_0": colours}
        self._turn += 1
        node = self.server.scene.add_glb(f"/coloured_{self._turn % 4}", pack_glb(data, np.asarray(mesh.triangles)))
        node.on_click(self._on_click)
        last, self._coloured = self._coloured, node

        def take_away() -> None:
            with self._lock:
                if last is not None:
                    last.remove()
                if self._coloured is not None and self._plain is not None:
                    self._plain.visible = False

        timer = threading.Timer(LINGER, take_away)
        timer.daemon = True
        timer.start()

    def show_scan(self, points: np.ndarray | None, visible: bool = True) -> None:
        """Put scan points (N, 3), model frame, beside the head, or None for none."""
        with self._lock:
            if self._scan is not None:
                self._scan.remove()
                self._scan = None
            if points is not None and len(points):
                some = points[:: max(1, len(points) // 40_000)].astype(np.float32)
                self._scan = self.server.scene.add_point_cloud(
                    "/scan", some, colors=(54, 118, 190), point_size=0.004, visible=visible
                )

    def scan_visible(self, visible: bool) -> None:
        """Show or hide the scan."""
        with self._lock:
            if self._scan is not None:
                self._scan.visible = visible

    def _on_click(self, event) -> None:
        with self._lock:
            mesh = self.mesh
            if mesh is None:
                return
            if self._rays is None:
                self._rays = RayScene(mesh.vertices, mesh.triangles)
            origin, direction = np.array([event.ray_origin]), np.array([event.ray_direction])
            hit = self._rays.first_hit(origin, direction)
        if hit.triangle[0] >= 0:
            self.clicked(origin[0] + hit.distance[0] * direction[0])
