"""Specificity of a head model (Styner et al. 2003): how far random heads are from the nearest head it was trained on.

    python benchmarks/specificity.py --store store --model imhead-open-small --draws 100

Bald heads are drawn from the model's prior and, half of each family, from a PCA (150 components) of the same bald
training heads. A draw's distance to a training head is the mean distance of that head's surface points, as the store
keeps them, to the draw's visible surface, in millimetres; the nearest is looked for among the twenty training heads
whose 39 anchors are most like the draw's. A model that invents nobody scores high, one that copies scores zero: the
distance of each training head to its nearest other one is printed beside, as what people are apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from headfield.evaluate.baselines import COMPONENTS
from headfield.fit.normal_equations import codes_of
from headfield.frames import MM_PER_UNIT
from headfield.io.quantise import dequantise
from headfield.io.store import Store
from headfield.models.prior import BARE
from headfield.models.release import load
from headfield.parametric.pca import LinearPCA
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import IdentityKey, frozen
from headfield.synth.person import family, make_person
from headfield.types import Mesh

NEAREST = 20


class Training:
    """Bald training heads of a store: anchors (n, 39, 3), some of their neutral surface points, and who they are."""

    def __init__(self, store: Store, points: int) -> None:
        self.records = [record for record in store.select("train") if record.hair == "bald" and record.beard == "none"]
        arrays = [store.open(record) for record in self.records]
        self.anchors = np.stack([one["anchors"] for one in arrays]).astype(float)
        self.points = [dequantise(np.asarray(one["points"][0, :points]), store.box) for one in arrays]
        self.truth = store.settings["settings"].get("truth", "v1")

    def nearest_mm(self, mesh: Mesh, anchors: np.ndarray, without: int = -1) -> float:
        """Mean distance of the nearest training head's points to a mesh, not counting head `without`."""
        target = Target(mesh, visible_triangles(mesh))
        apart = ((self.anchors - anchors) ** 2).sum((1, 2))
        if without >= 0:
            apart[without] = np.inf
        asked = np.argsort(apart)[:NEAREST]
        return MM_PER_UNIT * min(float(target.closest(self.points[index])[0].mean()) for index in asked)

    def pca(self, name: str) -> LinearPCA:
        """PCA of the store's bald heads of a family."""
        head, sheet = family(name)
        keys = [IdentityKey(name, "train", int(r.id.split("-")[-1]), frozen()["seed"]) for r in self.records
                if r.family == name]  # fmt: skip
        people = [make_person(key, head, sheet, 0.0, self.truth) for key in keys]
        return LinearPCA.fit(np.stack([person.bare().astype(np.float32) for person in people]), head, COMPONENTS)


def tell(name: str, found: list[float], begin: float) -> None:
    values = np.array(found)
    mean, median, p90 = values.mean(), np.median(values), np.percentile(values, 90)
    print(f"| {name} | {len(values)} | {mean:.2f} / {median:.2f} / {p90:.2f} | {time.perf_counter() - begin:.0f} s |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, required=True, help="training store of the model (`headfield synth`)")
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--draws", type=int, default=100)
    parser.add_argument("--sd", type=float, default=1.0)
    parser.add_argument("--points", type=int, default=3000, help="surface points of each training head")
    parser.add_argument("--resolution", type=int, default=128)
    options = parser.parse_args()
    training, rng = Training(Store(options.store), options.points), np.random.default_rng(0)
    print(f"{len(training.records)} bald training heads of truth {training.truth}")
    print("| heads | n | to the nearest training head, mm: mean / median / p90 | took |\n|---|---|---|---|")

    model, begin = load(options.model), time.perf_counter()
    codes = model.prior.draw(options.draws, rng, options.sd, model.prior.names.index(BARE))
    found = []
    for code in codes:
        mesh = mesh_of(model, codes_of(model, code), options.resolution, normals=False)
        anchors = model.anchors(codes_of(model, code))[0].detach().cpu().numpy()
        found.append(training.nearest_mm(mesh, anchors))
    tell(f"{options.model}, {options.sd:g} sd", found, begin)

    families = sorted({record.family for record in training.records})
    for name in families:
        begin, linear = time.perf_counter(), training.pca(name)
        found = []
        for _ in range(options.draws // len(families)):
            vertices = linear.vertices(options.sd * rng.standard_normal(len(linear.components)))
            _, sheet = family(name)
            mesh = Mesh(vertices, sheet.triangles)
            found.append(training.nearest_mm(mesh, linear.anchors(vertices)))
        tell(f"PCA of {name}, {options.sd:g} sd", found, begin)

        begin, own, (head, sheet) = time.perf_counter(), [], family(name)
        here = [index for index, record in enumerate(training.records) if record.family == name]
        for index in here[: options.draws // len(families)]:
            key = IdentityKey(name, "train", int(training.records[index].id.split("-")[-1]), frozen()["seed"])
            person = make_person(key, head, sheet, 0.0, training.truth)
            own.append(training.nearest_mm(Mesh(person.bare(), sheet.triangles), person.anchors, index))
        tell(f"training heads of {name}, each other", own, begin)


if __name__ == "__main__":
    with torch.no_grad():
        main()
