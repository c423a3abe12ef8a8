"""Heads of families that no model was trained on: Vitruvian (CC0) and Rocketbox (MIT), scan to head.

Both lie in the ICT frame in centimetres, with eyes in its places. They have no common topology with the training
families, so the distance is one-sided: from points of the true visible surface to the fitted head.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from headfield.errors import DataError
from headfield.evaluate.baselines import fit_mean, fit_pca, mean_mesh, points_near, training_pca
from headfield.evaluate.metrics import scan_errors
from headfield.evaluate.observe import Observed, small_pose
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome, fit_facts
from headfield.evaluate.protocol import Protocol
from headfield.fit.run import fit
from headfield.models.release import load
from headfield.parametric.normalise import normalising_similarity
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import sample_surface
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import frozen
from headfield.synth.person import family
from headfield.types import Mesh, Scan, Similarity

FILES = {"vitruvian": "vitruvian_cc0_head.npz", "rocketbox": "rocketbox_mit_verified_parts.npz"}

MORPH = 0.6
"""Vitruvian's morph weights are uniform in plus and minus this."""

STREAMS = {"vitruvian": {"dev": 21, "test": 22}, "rocketbox": {"dev": 23, "test": 24}}
"""Random streams, as the identities'. Rocketbox's ten heads are split, four to dev (``outsiders.json``)."""

NOISE_MM = 0.12
FACE_REACH_CM = 1.5
"""A point belongs to the face when the nearest vertex of ICT's mean head does and lies this near."""

ROCKETBOX_SKIN = 1
"""Parts 0 and 1 are skin; 2 is hair cards, 3 headgear."""

TAIL_Z, TAIL_BELOW = (-10.5, -8.5), 2.0
"""Three heads have a pony tail modelled in the skin. No skull reaches behind z = -10.5 cm, nor behind -8.5 below
y = 2 cm: what does is dropped. One wears a cap that is part of the skin; it stays, as clutter over the forehead."""


@dataclass(frozen=True)
class Outsider:
    """A head of another family and its scan.

    Attributes:
        name: Such as ``vitruvian-00003``.
        mesh: The skin as the artist made it, centimetres.
        observed: The scan; `truth` takes it to centimetres.
        held: (M, 3) points of the true visible surface that the fit never saw, centimetres.
        face: (M,) bool, those of the face.
    """

    name: str
    mesh: Mesh
    observed: Observed
    held: np.ndarray
    face: np.ndarray


def _read(name: str):
    place = os.environ.get("HEADFIELD_DATA")
    path = Path(place or ".") / FILES[name]
    if not place or not path.exists():
        raise DataError(
            f"{FILES[name]} is needed for heads out of family: set the environment variable HEADFIELD_DATA to the "
            f"folder that holds it (now {place or 'not set'})."
        )
    return np.load(path, allow_pickle=False)


@cache
def outsider_arrays(name: str) -> dict[str, np.ndarray]:
    """The arrays of a family's data file.

    Raises:
        DataError: The data file is missing.
    """
    with _read(name) as file:
        return {key: file[key] for key in file.files}


@cache
def outsider_facts() -> dict:
    """The frozen facts: ``anchors`` of both families, Rocketbox's ``split``, Vitruvian's ``shapes`` by channel."""
    return json.loads((files("headfield.evaluate") / "outsiders.json").read_text())


def outsider_mesh(name: str, split: str, index: int, rng: np.random.Generator) -> Mesh:
    """The skin of one head of a split, centimetres in the ICT frame.

    Raises:
        DataError: The data file is missing.
    """
    arrays = outsider_arrays(name)
    if name == "rocketbox":
        who = outsider_facts()["split"][split][index]
        vertices, triangles = arrays[f"{who}.v"].astype(float), arrays[f"{who}.f"].astype(np.int64)
        y, z = vertices[triangles].mean(1)[:, 1:].T
        tail = (z < TAIL_Z[0]) | ((z < TAIL_Z[1]) & (y < TAIL_BELOW))
        return Mesh(vertices, triangles[(arrays[f"{who}.p"] <= ROCKETBOX_SKIN) & ~tail])
    return Mesh(vitruvian_neutral(rng), arrays["triangles"].astype(np.int64))


def vitruvian_neutral(rng: np.random.Generator) -> np.ndarray:
    """Vertices (V, 3) cm of a random identity: morph weights uniform in plus and minus `MORPH`."""
    arrays = outsider_arrays("vitruvian")
    vertices, pointer = arrays["template"].astype(float), arrays["identity_ptr"]
    for k, weight in enumerate(rng.uniform(-MORPH, MORPH, len(pointer) - 1)):
        rows = slice(pointer[k], pointer[k + 1])
        np.add.at(vertices, arrays["identity_index"][rows], weight * arrays["identity_delta"][rows].astype(float))
    return vertices


@cache
def ict_face() -> tuple[cKDTree, np.ndarray]:
    """Vertices of ICT's mean head, centimetres, as a tree, and which are of the face."""
    head, _ = family("ict")
    return cKDTree(100.0 * head.raw_vertices(head.mean_identity())), np.asarray(head.face_mask, dtype=bool)


@cache
def _model_from_cm() -> Similarity:
    """Centimetres of the ICT frame -> model frame, by ICT's mean head."""
    head, _ = family("ict")
    metres = normalising_similarity(head.anchors(head.raw_vertices(head.mean_identity())))
    return metres.after(Similarity(scale=0.01))


def make_outsider(name: str, split: str, index: int) -> Outsider:
    """A head with its scan of 5,000 points, the same whenever it is made."""
    rng = np.random.default_rng([frozen()["seed"], STREAMS[name][split], index])
    mesh = outsider_mesh(name, split, index, rng)
    seen = visible_triangles(mesh)
    scan = sample_surface(mesh, 5000, rng, seen)
    noise = NOISE_MM / 10 * rng.standard_normal(len(scan.points))
    points = scan.points + noise[:, None] * scan.normals
    held = sample_surface(mesh, 20_000, rng, seen).points
    tree, of_face = ict_face()
    gap, nearest = tree.query(held)
    pose = small_pose(rng, 10.0)
    observed = Observed(Scan(pose.apply(points), name=f"{name}-{index:05d}", units="mm"), pose.inverse())
    return Outsider(observed.scan.name, mesh, observed, held, of_face[nearest] & (gap < FACE_REACH_CM))


def run_outsider(protocol: Protocol, name: str, index: int, settings: Settings) -> Outcome:
    """Fit one head and measure from its points to the fitted head, mm."""
    case, model = make_outsider(name, settings.split, index), load(settings.model)
    begin = time.perf_counter()
    found = fit(case.observed.scan, model, expression=protocol.expression, refuse=False)
    facts = {"fit_seconds": time.perf_counter() - begin} | fit_facts(found)
    to_scan = case.observed.truth.inverse()
    held = to_scan.apply(case.held)  # millimetres, as the scan
    start = _model_from_cm().after(case.observed.truth)
    points = points_near(case.observed.scan, start, model.box)
    place = fit_mean(model, points, start)
    linear = fit_pca(training_pca("ict", settings.pca_heads), points, start)
    answers = {
        "ours": mesh_of(model, found.codes(), settings.resolution).transformed(found.placement.inverse()),
        "mean": mean_mesh(settings.model, settings.resolution)[0].transformed(place.inverse()),
        "pca": linear.mesh.transformed(linear.placement.inverse()),
    }
    values = {"face": {}, "whole": {}}
    for method, mesh in answers.items():
        errors = scan_errors(held, mesh, 1.0)
        above = errors < 25.0  # what lies far from every head is neck and chest below the cut
        values["face"][method] = float(np.median(errors[case.face]))
        values["whole"][method] = float(np.median(errors[above]))
    return Outcome(values, found, facts)
