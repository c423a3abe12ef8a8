"""A template of any origin made ready for registration: welded, turned outwards, its skin told from what rides along.

Artists' heads repeat vertices along texture seams, and hold eyes, teeth and lashes as parts of their own. A part that
is small is carried along with the skin round it, turned and scaled but not bent; what lies hidden (the bag of a mouth)
is bent with the skin, but no scan pulls at it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.curate.scan_surface import border_vertices
from headfield.errors import ScanError
from headfield.surface.topology import component_areas, components, face_areas, vertex_normals
from headfield.surface.visibility import visible_triangles
from headfield.types import Mesh, Similarity

SMALL = 0.1
"""Share of the template's area below which a connected part is carried along."""

_WELD = 1e-7
_GUIDES = 40


@dataclass(frozen=True)
class Template:
    """A template as the registration sees it.

    Attributes:
        skin: Welded mesh of the parts that are bent, triangles counter-clockwise seen from outside.
        seen: (S,) bool of its vertices: not hidden behind other skin.
        border: (S,) bool: on an open edge of the template.
        of_original: (V,) index into the skin's vertices for each vertex of the original, -1 for one that is carried.
        carried: Index arrays of the original vertices of each part that is carried along.
        original: (V, 3) vertices as given.
    """

    skin: Mesh
    seen: np.ndarray
    border: np.ndarray
    of_original: np.ndarray
    carried: tuple[np.ndarray, ...]
    original: np.ndarray

    def restored(self, skin: np.ndarray) -> np.ndarray:
        """All vertices (V, 3) of the original for a registered skin (S, 3)."""
        result = self.original.copy()
        bent = self.of_original >= 0
        result[bent] = skin[self.of_original[bent]]
        if not self.carried:
            return result
        tree = cKDTree(self.skin.vertices)
        for part in self.carried:
            centre = self.original[part].mean(0)
            radius = np.linalg.norm(self.original[part] - centre, axis=1).max()
            near = np.asarray(tree.query_ball_point(centre, 1.3 * radius), dtype=int)
            if len(near) < _GUIDES:
                near = tree.query(centre, k=min(_GUIDES, len(skin)))[1]
            move = Similarity.between(self.skin.vertices[near], skin[near])
            result[part] = move.apply(self.original[part])
        return result


def prepare(mesh: Mesh, small: float = SMALL) -> Template:
    """Make a template ready.

    Args:
        mesh: In any frame; triangles may be turned inwards as a whole.
        small: Share of the area below which a part is carried; 0 bends every part.
    Raises:
        ScanError: No triangle with an area, or coordinates that are not finite.
    """
    vertices, triangles = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.triangles, dtype=np.int64)
    if not np.isfinite(vertices).all():
        raise ScanError("the template has vertices that are not finite numbers.")
    if not len(triangles) or not face_areas(vertices, triangles).sum() > 0:
        raise ScanError("the template has no faces with an area; a surface of triangles or polygons was expected.")
    size = float(np.ptp(vertices, axis=0).max())
    _, first, welded = np.unique(np.round(vertices / (_WELD * size)), axis=0, return_index=True, return_inverse=True)
    welded = np.ravel(welded)
    joined = welded[triangles]
    joined = joined[(joined[:, 0] != joined[:, 1]) & (joined[:, 1] != joined[:, 2]) & (joined[:, 2] != joined[:, 0])]
    whole = Mesh(vertices[first], joined)
    label = components(whole)
    areas = component_areas(whole, label)
    areas = np.pad(areas, (0, int(label.max()) + 1 - len(areas)))
    bent = areas >= small * areas.sum() if small > 0 else areas > 0
    keep = bent[label]
    index = np.where(keep, np.cumsum(keep) - 1, -1)
    skin_triangles = index[joined[keep[joined[:, 0]]]]
    skin = Mesh(whole.vertices[keep], skin_triangles)
    if _signed_volume(skin) < 0:
        whole, skin = Mesh(whole.vertices, joined[:, ::-1]), Mesh(skin.vertices, skin_triangles[:, ::-1])
    skin = Mesh(skin.vertices, skin.triangles, vertex_normals(skin.vertices, skin.triangles))
    visible = np.zeros(len(whole.vertices), dtype=bool)
    visible[whole.triangles[visible_triangles(whole)]] = True  # eyes and teeth hide what lies behind them
    seen = visible[keep]
    parts = label[welded]
    carried = tuple(np.flatnonzero(parts == part) for part in np.flatnonzero(~bent))
    return Template(skin, seen, border_vertices(skin.triangles, len(seen)), index[welded], carried, vertices)


def _signed_volume(mesh: Mesh) -> float:
    """Volume between the surface and its own centre; its sign tells outward from inward, also of an open surface."""
    corners = (mesh.vertices - mesh.vertices.mean(0))[mesh.triangles]
    return float(np.einsum("fc,fc->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])))
