"""ICT-FaceKit (USC ICT 2020, MIT): 100 identity modes ~ N(0, 1), adults, bald, 51 of the 52 ARKit channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.sparse.csgraph import dijkstra

from headfield.errors import DataError
from headfield.parametric.closed_head import ClosedHead, LinearShapes, SolidPlaces
from headfield.parametric.ict_files import NARROW_FACE, PARTS, IctData, find_source, index_file, read_ict
from headfield.parametric.prior import IdentityPrior
from headfield.parametric.solid import plan_solid
from headfield.parametric.topology import boundary_loops, edge_lengths_graph
from headfield.types import ARKIT

METRES_PER_CM = 0.01
LARGEST_WEIGHT = 3.0
"""Identity weights are clamped to this many standard deviations."""

MOUTH_TUCK = 0.3
"""How far the inner mouth bag is drawn towards its middle."""


class IctHead(ClosedHead):
    """ICT-FaceKit as closed solids; implements ``ParametricHead``."""

    name = "ict"
    licence = "MIT (USC Institute for Creative Technologies, ICT-FaceKit, 2020)"

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """Weights (100,) ~ N(0, 1), clamped to 3."""
        return np.clip(rng.standard_normal(self.n_identity), -LARGEST_WEIGHT, LARGEST_WEIGHT)

    def identity_prior(self) -> IdentityPrior:
        """N(0, 1), clamped to 3."""
        return IdentityPrior.standard(self.n_identity, LARGEST_WEIGHT)


def arkit_name(name: str) -> str | None:
    """ARKit channel of an ICT expression shape, or None: ``eyeBlink_L`` -> ``eyeBlinkLeft``.

    ICT splits browInnerUp and cheekPuff in two halves, which merge (their sum is the ARKit channel).
    """
    if name[:-2] in ("browInnerUp", "cheekPuff"):
        return name[:-2]
    if name.endswith(("_L", "_R")):
        name = name[:-2] + {"L": "Left", "R": "Right"}[name[-1]]
    return name if name in ARKIT else None


def load_ict(source: Path | str | None = None) -> IctHead:
    """Load ICT-FaceKit.

    Args:
        source: A clone of the public repository, an npz of its arrays, or a folder holding either; None looks in the
            folder named by the environment variable HEADFIELD_DATA.
    Raises:
        DataError: Missing, or not as published.
    """
    return _build(read_ict(source), find_source(source))


def _build(data: IctData, path: Path) -> IctHead:
    inside = np.zeros(len(data.vertices), dtype=bool)
    for part in ("face", "head_neck", "mouth_socket", "sclera_left", "sclera_right"):
        inside[slice(*PARTS[part])] = True
    triangles = data.triangles[inside[data.triangles].all(1)].astype(np.int64)
    template = data.vertices.astype(float) * METRES_PER_CM
    indices = index_file("ict_anchors39.json")
    anchor_vertices = np.array(indices["vertices"])
    tuck = _MouthTuck(template, triangles)
    template = tuck.apply(template)
    plan = plan_solid(template, triangles, anchor_vertices, _lids(template, triangles))

    expression = np.zeros((len(ARKIT), plan.n_linear, 3), dtype=np.float32)
    for name, offsets in zip(data.expression_names, data.expression):
        channel = arkit_name(name)
        if channel is not None:
            expression[ARKIT.index(channel)] += plan.linear @ tuck.apply(offsets.astype(np.float32) * METRES_PER_CM)
    expression *= plan.rest[:, None].astype(np.float32)
    face = np.zeros(len(template))
    face[slice(*NARROW_FACE)] = 1.0
    identity = tuck.apply(data.identity.astype(np.float32) * np.float32(METRES_PER_CM))
    stat = path.stat()
    return IctHead(
        plan=plan,
        shapes=LinearShapes(template, identity, expression),
        places=SolidPlaces(
            anchors=plan.place_anchors(anchor_vertices),
            landmarks=plan.place(np.array(indices["landmarks68"])),
            face=plan.linear @ face > 0.999,
        ),
        facts_key=(path.resolve(), stat.st_size, stat.st_mtime_ns),
    )


class _MouthTuck:
    """Draws the mouth bag in towards its middle, more with the distance from the lips; linear.

    As published the bag comes through the chin of about one head in sixty when the jaw opens.
    """

    def __init__(self, template: np.ndarray, triangles: np.ndarray) -> None:
        self._bag = slice(*PARTS["mouth_socket"])
        bag = np.arange(*PARTS["mouth_socket"])
        touching = triangles[np.isin(triangles, bag).any(1)]
        graph = edge_lengths_graph(template, touching)
        distance = dijkstra(graph, indices=np.setdiff1d(touching, bag), min_only=True)[bag]
        self._share = (MOUTH_TUCK * np.clip((distance - 0.003) / 0.012, 0.0, 1.0))[:, None]

    def apply(self, vertices: np.ndarray) -> np.ndarray:
        """Positions or offsets (..., S, 3) after the tuck, of the same type."""
        tucked = vertices.copy()
        bag = vertices[..., self._bag, :]
        middle = bag.mean(-2, keepdims=True)
        tucked[..., self._bag, :] += self._share.astype(vertices.dtype) * (middle - bag)
        return tucked


def _lids(template: np.ndarray, triangles: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each lid's open loop with its eyeball's vertices; the third open boundary is the neck's."""
    loops = [np.array(loop) for loop in boundary_loops(triangles)]
    lids = [loop for loop in loops if loop.max() < NARROW_FACE[1]]
    if len(lids) != 2:
        raise DataError(f"ICT-FaceKit: {len(lids)} open eyelid loops, expected 2; is this the light topology?")
    scleras = [np.arange(*PARTS["sclera_left"]), np.arange(*PARTS["sclera_right"])]
    return [(min(lids, key=lambda loop: _gap(template, loop, ball)), ball) for ball in scleras]


def _gap(template: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    return float(np.linalg.norm(template[first].mean(0) - template[second].mean(0)))
