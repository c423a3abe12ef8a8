"""Non-rigid ICP: a template bent onto a scan (Amberg, Romdhani and Vetter 2007, "Optimal Step Nonrigid ICP").

Every vertex has an affine map of its own. From stage to stage the maps may differ more between neighbours; within a
stage closest places and the optimal maps for them take turns. What a scan cannot know is gated out: places too far off,
facing another way, or on the border of what was scanned; there the template follows its own stiffness.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix

from headfield.curate.affine_solver import AffineSolver, Pull
from headfield.curate.flips import FlipTest
from headfield.curate.scan_surface import CloudSurface, Matches, MeshSurface, surface_of
from headfield.curate.stiffness import edge_weights, edges_of, laplacian
from headfield.curate.template_parts import SMALL, Template, prepare
from headfield.errors import ConfigError, ScanError
from headfield.frames import MM_PER_UNIT
from headfield.surface.topology import vertex_normals
from headfield.types import Mesh

WORKING_MM = 100.0
"""The solver's unit of length. It also weighs the linear part of a map against its translation (Amberg's γ = 1)."""

_STILL = 0.05
"""A stage ends when vertices move less than this, millimetres (root mean square)."""

_REPAIRS = 12

Landmarks = tuple[np.ndarray | tuple[np.ndarray, np.ndarray], np.ndarray]
"""Places on the template, and where they belong; see :func:`register`."""


@dataclass(frozen=True)
class Stage:
    """One level of stiffness."""

    stiffness_mm: float
    """The template keeps its shape over about this length: α = stiffness_mm / 100 mm, squared in the energy."""
    landmarks: float
    """Weight of all landmarks together relative to all vertices together: β² = landmarks · vertices / landmarks."""
    iterations: int
    """Rounds of closest places and solving, at most."""
    reach_mm: float
    """Places farther away than this are no match."""
    facing: float = 0.3
    """Cosine between the template's and the scan's normal below which a place is no match."""


STAGES = (
    Stage(100.0, 1.0, 3, 40.0, 0.2),
    Stage(50.0, 1.0, 2, 30.0, 0.2),
    Stage(25.0, 0.3, 2, 20.0),
    Stage(12.0, 0.05, 2, 12.0),
    Stage(6.0, 0.02, 2, 8.0, 0.4),
    Stage(3.0, 0.01, 3, 6.0, 0.5),
)
"""The default schedule: from nearly affine to details of a few millimetres."""


@dataclass(frozen=True)
class NicpOptions:
    """How a template is registered."""

    stages: tuple[Stage, ...] = STAGES
    """Stiffness schedule, stiff to soft."""
    support_weight: float = 0.3
    """Weight of a place on the supporting surface, where the scan has none, relative to a place on the scan."""
    rim_gate: bool = True
    """Places on the border of the scan are no match."""
    small_parts: float = SMALL
    """Connected parts of the template below this share of its area are carried along unbent (eyes, teeth)."""


@dataclass(frozen=True)
class Registration:
    """A template on a scan.

    Attributes:
        vertices: (V, 3) in the order, frame and unit of the template.
        matched: (V,) bool, the vertices that a place on the scan pulled at to the end.
        error: (V,) distance of each matched vertex to the scan, millimetres; NaN elsewhere.
        flipped: Triangles of the bent parts that are turned over; 0 unless the scan contradicts the template.
        landmark_error: (L,) distance of each landmark to its target, millimetres; NaN where it was not given.
        iterations: Linear systems solved.
        seconds: By part: ``match``, ``solve``, ``total``.
    """

    vertices: np.ndarray
    matched: np.ndarray
    error: np.ndarray
    flipped: int
    landmark_error: np.ndarray
    iterations: int
    seconds: dict[str, float] = field(default_factory=dict)


def register(
    template: Mesh,
    target: Mesh,
    *,
    landmarks: Landmarks | None = None,
    options: NicpOptions | None = None,
    support: Mesh | None = None,
    mm_per_unit: float = MM_PER_UNIT,
    progress: Callable[[float], None] | None = None,
) -> Registration:
    """Bend a template onto a scan.

    Args:
        template: Its vertices lie roughly where they belong (about 20 mm), in the frame of the target.
        target: The scan: a mesh, or a cloud (no triangles) best with outward normals. Holes and borders are allowed.
        landmarks: Places on the template and where they belong: vertex indices (L,), or vertex indices (L, K) with
            weights (L, K), or triangle indices (L,) with barycentric weights (L, 3); and points (L, 3), NaN where
            unknown.
        options: See :class:`NicpOptions`.
        support: A complete surface that vertices without a match on the scan follow, such as a fitted head.
        mm_per_unit: Millimetres per unit of both meshes; the model frame's when not given.
        progress: Called with the share done.
    Returns:
        The registration.
    Raises:
        ScanError: A mesh is empty or not finite, or the two do not overlap.
        ConfigError: Landmarks of wrong shape or range, or no stage.
    """
    options = options or NicpOptions()
    tell = progress or (lambda share: None)
    if not options.stages:
        raise ConfigError("non-rigid ICP needs at least one stage.")
    begin = time.perf_counter()
    parts = prepare(template, options.small_parts)
    working = _Working.of(parts, target, support, mm_per_unit)
    rows, wanted, given = _landmark_rows(landmarks, template, parts, working)
    state = _Run(working, rows, wanted, options)
    total, done = sum(stage.iterations for stage in options.stages), 0
    for stage in options.stages:
        for round_ in range(stage.iterations):
            moved = state.step(stage)
            tell((done + round_ + 1) / total)
            if moved * WORKING_MM < _STILL:
                break
        done += stage.iterations
        state.unflip()
        tell(done / total)
    skin = state.positions / working.scale + working.centre
    matched, distance = state.residuals(options.stages[-1])
    bent = parts.of_original >= 0
    pick = np.where(bent, parts.of_original, 0)
    landmark_error = np.full(len(given), np.nan)
    landmark_error[given] = np.linalg.norm(rows @ state.positions - wanted, axis=1) * WORKING_MM
    seconds = {"match": state.seconds_match, "solve": state.seconds_solve, "total": time.perf_counter() - begin}
    return Registration(
        parts.restored(skin),
        bent & matched[pick],
        np.where(bent & matched[pick], distance[pick] * WORKING_MM, np.nan),
        int(state.flips.flipped(state.positions).sum()),
        landmark_error,
        state.solved,
        seconds,
    )


@dataclass(frozen=True)
class _Working:
    """Template and targets in the solver's frame: centred on the template, 100 mm to the unit."""

    template: Template
    skin: Mesh
    surface: MeshSurface | CloudSurface
    support: MeshSurface | CloudSurface | None
    centre: np.ndarray
    scale: float

    @staticmethod
    def of(parts: Template, target: Mesh, support: Mesh | None, mm_per_unit: float) -> _Working:
        if not len(target.vertices) or not np.isfinite(target.vertices).all():
            raise ScanError("the target of the registration is empty, or has coordinates that are not finite numbers.")
        if not mm_per_unit > 0:
            raise ConfigError(f"{mm_per_unit} millimetres per unit: a positive number was expected.")
        centre, scale = parts.skin.vertices.mean(0), mm_per_unit / WORKING_MM

        def moved(mesh: Mesh) -> Mesh:
            return Mesh((np.asarray(mesh.vertices, float) - centre) * scale, mesh.triangles, mesh.normals)

        skin = moved(parts.skin)
        support_surface = None if support is None else surface_of(moved(support), skin)
        return _Working(parts, skin, surface_of(moved(target), skin), support_surface, centre, scale)


class _Run:
    """The state of one registration."""

    def __init__(self, working: _Working, rows: csr_matrix, wanted: np.ndarray, options: NicpOptions) -> None:
        self.working, self.options = working, options
        self.rows, self.wanted = rows, wanted
        skin = working.skin
        edges = edges_of(skin.triangles)
        smooth = laplacian(len(skin.vertices), edges, edge_weights(skin.vertices, edges))
        self.solver = AffineSolver(skin.vertices, smooth)
        self.maps = self.solver.identity()
        self.positions = skin.vertices
        self.flips = FlipTest(skin.vertices, skin.triangles)
        self.solved, self.seconds_match, self.seconds_solve = 0, 0.0, 0.0

    def step(self, stage: Stage) -> float:
        """One round; returns how far the vertices moved (root mean square)."""
        begin = time.perf_counter()
        pull = self._pull(stage)
        self.seconds_match += time.perf_counter() - begin
        before = self.positions
        self._solve(stage, pull)
        return float(np.sqrt(((self.positions - before) ** 2).sum(1).mean()))

    def unflip(self) -> None:
        """Let go of what pulls at flipped triangles, and of more and more round them, until none is left."""
        free = np.zeros(len(self.positions), dtype=bool)
        for rings in range(1, _REPAIRS + 1):
            flagged = self.flips.flipped(self.positions)
            if not flagged.any():
                return
            free |= self.flips.around(flagged, rings)
            self.maps = self.solver.relaxed(self.maps, free)
            self.positions = self.solver.positions(self.maps)

    def residuals(self, stage: Stage) -> tuple[np.ndarray, np.ndarray]:
        """Which skin vertices match the scan (S,), and their distances (S,)."""
        matches = self._closest(self.working.surface)
        return self._trust(matches, stage) > 0, matches.distance

    def _solve(self, stage: Stage, pull: Pull) -> None:
        begin = time.perf_counter()
        stiffness = (stage.stiffness_mm / WORKING_MM) ** 2
        self.maps = self.solver.solve(stiffness, pull, self.maps)
        self.positions = self.solver.positions(self.maps)
        self.solved += 1
        self.seconds_solve += time.perf_counter() - begin

    def _closest(self, surface) -> Matches:
        normals = vertex_normals(self.positions, self.working.skin.triangles)
        self._normals = normals
        return surface.closest(self.positions, normals)

    def _trust(self, matches: Matches, stage: Stage) -> np.ndarray:
        """Weight (S,) of each vertex's match, 0 where a gate is shut."""
        facing = (matches.normals * self._normals).sum(1)
        good = (facing > stage.facing) & (matches.distance * WORKING_MM < stage.reach_mm) & self.working.template.seen
        if self.options.rim_gate:
            good &= ~matches.rim
        return np.where(good, np.clip(facing, 0, 1), 0.0)

    def _pull(self, stage: Stage) -> Pull:
        matches = self._closest(self.working.surface)
        weights, targets = self._trust(matches, stage), matches.points
        if not (weights > 0).any() and not self.rows.shape[0]:
            raise ScanError(
                f"the template and the scan do not overlap: no vertex finds a place on the scan within "
                f"{stage.reach_mm:.0f} mm that faces the same way. Place the template on the scan first, and check "
                "the units of both."
            )
        if self.working.support is not None:
            other = self._closest(self.working.support)
            trust = self.options.support_weight * self._trust(other, stage)
            missing = weights == 0
            weights = np.where(missing, trust, weights)
            targets = np.where(missing[:, None], other.points, targets)
        count = self.rows.shape[0]
        if not count or stage.landmarks <= 0:
            return Pull(weights**2, targets)
        share = stage.landmarks * len(weights) / count
        return Pull(weights**2, targets, self.rows, np.full(count, share), self.wanted)


def _landmark_rows(
    landmarks: Landmarks | None, template: Mesh, parts: Template, working: _Working
) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """Rows (L, S) on the skin, targets (L, 3) in the working frame, and which of the given landmarks they are."""
    size = len(parts.skin.vertices)
    if landmarks is None:
        return csr_matrix((0, size)), np.zeros((0, 3)), np.zeros(0, dtype=bool)
    where, points = landmarks
    points = np.asarray(points, dtype=float)
    if isinstance(where, tuple):
        triangle, weights = np.asarray(where[0], dtype=np.int64), np.asarray(where[1], dtype=float)
    else:
        triangle = np.asarray(where, dtype=np.int64)
        weights = np.ones((len(triangle), 1))
    by_triangle = isinstance(where, tuple) and triangle.ndim == 1
    limit = len(template.triangles) if by_triangle else len(template.vertices)
    if points.shape != (len(triangle), 3) or weights.shape[0] != len(triangle):
        raise ConfigError(
            f"landmarks: {len(triangle)} places on the template and points of shape {points.shape}; "
            "as many points [x, y, z] as places were expected."
        )
    if len(triangle) and not (0 <= triangle.min() and triangle.max() < limit):
        raise ConfigError(f"landmarks: an index {triangle.max()} where the template has {limit:,}.")
    corners = np.asarray(template.triangles)[triangle] if by_triangle else triangle.reshape(len(triangle), -1)
    on_skin = parts.of_original[corners]
    given = np.all(np.isfinite(points), axis=1) & np.all(on_skin >= 0, axis=1)
    count = int(given.sum())
    index = np.repeat(np.arange(count), weights.shape[1])
    rows = csr_matrix((weights[given].ravel(), (index, on_skin[given].ravel())), shape=(count, size))
    return rows, (points[given] - working.centre) * working.scale, given
