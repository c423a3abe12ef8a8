"""Two open surfaces of marching cubes, one of cells of twice the size, made one along the faces between their cells."""

from __future__ import annotations

import numpy as np

LONGEST = 3
"""Pieces of the fine surface's line across a face of a coarse cell, at most."""


def join(
    coarse: np.ndarray, coarse_triangles: np.ndarray, fine: np.ndarray, fine_triangles: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Triangles of the joined surface and which fine vertices it has besides the coarse ones.

    Args:
        coarse: (V, 3) vertices in fine samples: coarse samples are the even places.
        coarse_triangles: (F, 3), open exactly where fine cells begin.
        fine: (W, 3) vertices in fine samples.
        fine_triangles: (G, 3), open exactly where coarse cells begin.
    Returns:
        Triangles (F', 3) over all coarse vertices followed by the kept fine ones, and indices (W',) of those; None if
        the two borders do not fit.
    """
    if not len(fine_triangles):
        return coarse_triangles, np.empty(0, dtype=np.int64)
    margin = 2.5
    near = ((coarse > fine.min(0) - margin) & (coarse < fine.max(0) + margin)).all(1)
    local = np.flatnonzero(near[coarse_triangles].any(1))
    ours = _open_edges(coarse_triangles[local])
    # a coarse triangle outside the fine cells' extent cannot be open towards them
    theirs = _open_edges(fine_triangles)
    ours = ours[near[ours].all(1) & (_face_of(coarse, ours) >= 0)]
    faces = _face_of(fine, theirs)
    if (faces < 0).any():
        return None
    welded = _welded(coarse, np.unique(ours), fine, np.unique(theirs))
    lines = _lines(ours, _face_of(coarse, ours), theirs, faces, welded)
    if lines is None:
        return None
    kept = np.ones(len(fine), dtype=bool)
    kept[np.array(list(welded), dtype=np.int64)] = False
    index = np.empty(len(fine), dtype=np.int64)
    index[kept] = len(coarse) + np.arange(int(kept.sum()))
    for one, other in welded.items():
        index[one] = other
    fanned = _fanned(coarse_triangles, local, lines, index)
    return np.concatenate([fanned, index[fine_triangles]]), np.flatnonzero(kept)


def _open_edges(triangles: np.ndarray) -> np.ndarray:
    """Directed edges (E, 2) of triangles (F, 3) that no triangle has the other way round."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(np.int64)
    count = int(edges.max(initial=0)) + 1
    there, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    return edges[~np.isin(there, back)]


def _face_of(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """A number (E,) for the face between coarse cells in which each edge lies, -1 for none."""
    a, b = places[edges[:, 0]], places[edges[:, 1]]
    whole = np.round(a / 2)
    on = (np.abs(a - 2 * whole) < 1e-6) & (np.abs(b - 2 * whole) < 1e-6)
    axis = on.argmax(1)
    cell = np.floor((a + b) / 4).astype(np.int64)
    rows = np.arange(len(edges))
    cell[rows, axis] = whole[rows, axis].astype(np.int64)
    cell += 1  # the layer beyond the grid
    number = ((axis * 4096 + cell[:, 0]) * 4096 + cell[:, 1]) * 4096 + cell[:, 2]
    return np.where(on.sum(1) == 1, number, -1)


def _edge_of(places: np.ndarray) -> np.ndarray:
    """A number (N,) for the coarse grid's edge on which each place lies, -1 for none."""
    whole = np.round(places / 2)
    on = np.abs(places - 2 * whole) < 1e-6
    axis = (~on).argmax(1)
    cell = whole.astype(np.int64)
    rows = np.arange(len(places))
    cell[rows, axis] = np.floor(places[rows, axis] / 2).astype(np.int64)
    cell += 1
    number = ((axis * 4096 + cell[:, 0]) * 4096 + cell[:, 1]) * 4096 + cell[:, 2]
    return np.where(on.sum(1) == 2, number, -1)


def _welded(coarse: np.ndarray, ours: np.ndarray, fine: np.ndarray, theirs: np.ndarray) -> dict[int, int]:
    """Fine vertices among `theirs` that lie on a coarse edge, and the coarse vertex of `ours` that is the same."""
    place = dict(zip(_edge_of(coarse[ours]).tolist(), ours.tolist()))
    place.pop(-1, None)
    numbers = _edge_of(fine[theirs]).tolist()
    return {vertex: place[number] for vertex, number in zip(theirs.tolist(), numbers) if number in place}


def _lines(ours, our_faces, theirs, faces, welded: dict[int, int]) -> dict[tuple[int, int], list[int]] | None:
    """For each open coarse edge the fine vertices along it (often none), or None where the borders do not fit."""
    after: dict[int, dict[int, int]] = {}
    for (a, b), face in zip(theirs.tolist(), faces.tolist()):
        after.setdefault(face, {})[a] = b
    back = {}
    for one, other in welded.items():
        back.setdefault(other, one)
    used, lines = 0, {}
    for (p, q), face in zip(ours.tolist(), our_faces.tolist()):
        step, line = after.get(face), []
        if step is None or p not in back or q not in back:
            return None
        at, end = back[q], back[p]
        for _ in range(LONGEST):
            at = step.get(at)
            used += 1
            if at is None or at == end:
                break
            line.append(at)
        if at != end:
            return None
        lines[p, q] = line[::-1]
    return lines if used == len(theirs) else None


def _fanned(triangles: np.ndarray, local: np.ndarray, lines: dict[tuple[int, int], list[int]], index) -> np.ndarray:
    """The triangles, with those on the lines split into fans from the corner across."""
    owner = {}
    for triangle in local[np.isin(triangles[local], np.unique(list(lines))).sum(1) >= 2].tolist():
        a, b, c = triangles[triangle].tolist()
        owner |= {(a, b): triangle, (b, c): triangle, (c, a): triangle}
    triangles, more = triangles.copy(), []

    def put(where: int, corners: tuple[int, int, int]) -> None:
        if where < len(triangles):
            triangles[where] = corners
        else:
            more[where - len(triangles)] = corners

    for (p, q), line in lines.items():
        if not line:
            continue
        where = owner[p, q]
        corners = triangles[where].tolist() if where < len(triangles) else more[where - len(triangles)]
        across = next(corner for corner in corners if corner not in (p, q))
        path = [p, *(int(index[vertex]) for vertex in line), q]
        put(where, (path[0], path[1], across))
        for a, b in zip(path[1:-1], path[2:]):
            more.append((a, b, across))
        owner[q, across] = len(triangles) + len(more) - 1
        owner[across, p] = where
    return np.concatenate([triangles, np.array(more, dtype=triangles.dtype).reshape(-1, 3)])
