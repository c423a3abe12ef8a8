"""Specificity (Styner et al. 2003; imHead Fig. 3): how far heads drawn from a model are from the nearest training head.

A drawn head's distance to a training head is the mean distance of points of that head's surface to what is seen of
the drawn one. The nearest is looked for among the training heads whose 39 anchors are most like the drawn head's. A
model that invents nobody scores high and one that copies scores zero, so the number says little without how well
held-out heads are fitted, and how far each training head is from its nearest other one stands beside it.

Everybody is bald, for hair would outweigh faces; a model whose prior knows no bald heads draws whomever it has.
Released weights do not carry their training heads: these are drawn anew, by the seeds that stores are made with, or
read from the store that `training_store` names.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from headfield.errors import ConfigError
from headfield.evaluate.baselines import training_pca
from headfield.evaluate.measured import by_column
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.protocol import Protocol
from headfield.fit.normal_equations import codes_of, model_anchors
from headfield.frames import MM_PER_UNIT
from headfield.io.quantise import dequantise
from headfield.io.store import Store
from headfield.models.prior import BARE
from headfield.models.protocol import HeadModel
from headfield.models.release import load
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target, sample_surface
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import FAMILIES, IdentityKey, frozen
from headfield.synth.person import Person, family, make_person
from headfield.types import Mesh

NEAREST = 20
"""Training heads, those of the most similar anchors, among which the nearest one is looked for."""

POINTS = 3000
"""Surface points of every training head."""


@dataclass(frozen=True)
class TrainingHeads:
    """Bald heads that a model was trained on, in the model frame.

    Attributes:
        anchors: (n, 39, 3).
        points: n arrays (P, 3) of their neutral surfaces.
        meshes: Their visible surfaces by number, where they are known; of a store's heads they are not.
    """

    anchors: np.ndarray
    points: list[np.ndarray]
    meshes: tuple[Mesh, ...] = ()

    def nearest_mm(self, mesh: Mesh, anchors: np.ndarray, without: int = -1) -> float:
        """Mean distance (mm) of the nearest training head's points to a mesh.

        Args:
            mesh: In the model frame.
            anchors: (39, 3) of the same head.
            without: Number of a training head that does not count.
        """
        target = Target(mesh, visible_triangles(mesh))
        apart = ((self.anchors - anchors) ** 2).sum((1, 2))
        if without >= 0:
            apart[without] = np.inf
        asked = [index for index in np.argsort(apart)[:NEAREST] if np.isfinite(apart[index])]
        return MM_PER_UNIT * min(float(target.closest(self.points[index])[0].mean()) for index in asked)

    def apart_mm(self, index: int) -> float:
        """Distance (mm) of a training head to its nearest other one; NaN where its surface is not known."""
        if index >= len(self.meshes):
            return float("nan")
        return self.nearest_mm(self.meshes[index], self.anchors[index], index)


@cache
def training_heads(heads: int | None, truth: str, store: str = "") -> TrainingHeads:
    """Bald training heads of both families, or of a store; made once in a process.

    Args:
        heads: So many of each family at most; None takes as many as released models are trained on.
        truth: ``v1`` or ``v2``: which people they are. Those of ``v2`` take about a second each.
        store: Folder of a training store, whose own bald heads are taken in their place; empty for none.
    Raises:
        StoreError: There is no such store.
        ConfigError: It holds fewer than two bald training heads.
    """
    if store:
        return _of_store(Store(Path(store)), heads)
    people = []
    for name in FAMILIES:
        head, sheet = family(name)
        count = frozen()["released_counts"][name]["train"] if heads is None else heads
        keys = [IdentityKey(name, "train", index, frozen()["seed"]) for index in range(count)]
        people += [make_person(key, head, sheet, 0.0, truth) for key in keys]
    meshes = tuple(_mesh(person) for person in people)
    points = [_points(person, mesh) for person, mesh in zip(people, meshes)]
    return TrainingHeads(np.stack([person.anchors for person in people]), points, meshes)


def _mesh(person: Person) -> Mesh:
    return Mesh(person.bare().astype(np.float32), person.sheet.triangles)


def _points(person: Person, mesh: Mesh) -> np.ndarray:
    """Points (P, 3) of what nothing ever hides, spread evenly."""
    sheet = person.sheet
    found = sample_surface(mesh, POINTS, person.key.rng("samples"), ~(sheet.interior | sheet.cap))
    return found.points.astype(np.float32)


def _of_store(store: Store, heads: int | None) -> TrainingHeads:
    taken: dict[str, int] = {}
    anchors, points = [], []
    for record in store.select("train"):
        taken[record.family] = taken.get(record.family, 0)
        if record.hair != BARE or record.beard != "none" or taken[record.family] == heads:
            continue
        taken[record.family] += 1
        arrays = store.open(record)
        anchors.append(np.asarray(arrays["anchors"], dtype=float))
        points.append(dequantise(np.asarray(arrays["points"][0, :POINTS]), store.box))
    if len(points) < 2:
        raise ConfigError(
            f"{store.path} has {len(points)} bald training heads, and the nearest of at least 2 is looked for: give "
            "another --training-store, or none to take those of the known families."
        )
    return TrainingHeads(np.stack(anchors), points)


def bald_component(model: HeadModel) -> int | None:
    """Number of the prior's component of bald heads; None where it knows no such class."""
    names = model.prior.names
    return names.index(BARE) if BARE in names else None


def drawn_code(model: HeadModel, index: int, sd: float) -> np.ndarray:
    """The bald head's code (D,) of a number, so far (sd) from the mean and at every spread the same way."""
    return model.prior.draw(1, np.random.default_rng([index, 7]), sd, bald_component(model))[0]


def run_specificity(protocol: Protocol, index: int, settings: Settings) -> Outcome:
    """Draw and measure one head, one of the PCA of the training heads, and one training head against the others.

    Args:
        protocol: One of the test's; its `level` is the spread in standard deviations.
        index: Number of the head.
        settings: Of the run.
    """
    model = load(settings.model)
    training = training_heads(settings.pca_heads, settings.truth, settings.training_store)
    begin = time.perf_counter()
    code = drawn_code(model, index, protocol.level)
    mesh = mesh_of(model, codes_of(model, code, None), settings.resolution, normals=False)
    numbers = {"ours": {"nearest": training.nearest_mm(mesh, model_anchors(model, code))}}
    seconds = time.perf_counter() - begin
    if settings.baselines:
        numbers["mean"] = {"nearest": _mean_head(settings)}
        numbers["ours"]["apart"] = _apart(index % len(training.points), settings)
        if not settings.training_store:
            numbers["pca"] = {"nearest": _pca_head(index, protocol.level, settings, training)}
    return Outcome(by_column(protocol, numbers), None, {"fit_seconds": seconds, "person": {}})


@cache
def _mean_head(settings: Settings) -> float:
    """The mean bald head's distance, which is that of no spread at all."""
    model = load(settings.model)
    mean = model.prior.component(bald_component(model) or 0).mean
    mesh = mesh_of(model, codes_of(model, mean, None), settings.resolution, normals=False)
    training = training_heads(settings.pca_heads, settings.truth, settings.training_store)
    return training.nearest_mm(mesh, model_anchors(model, mean))


@cache
def _apart(index: int, settings: Settings) -> float:
    """A training head's distance to its nearest other one, the same at every spread."""
    return training_heads(settings.pca_heads, settings.truth, settings.training_store).apart_mm(index)


def _pca_head(index: int, sd: float, settings: Settings, training: TrainingHeads) -> float:
    """A head drawn from the PCA of one family's training heads, families in turn."""
    pca = training_pca(FAMILIES[index % len(FAMILIES)], settings.pca_heads, truth=settings.truth)
    weights = sd * np.random.default_rng([index, 8]).standard_normal(pca.n_identity)
    vertices = pca.vertices(weights)
    return training.nearest_mm(Mesh(vertices, np.asarray(pca.triangles)), pca.anchors(vertices))
