"""What `headfield wrap` takes of a scan: the head, and shoulders only for a template that has some."""

from types import SimpleNamespace

import numpy as np
import pytest

from headfield.curate.wrap import _around
from headfield.evaluate.truth import frozen_person
from headfield.fit.mean_field import mean_field_of
from headfield.models.release import load
from headfield.surface.topology import vertex_normals
from headfield.synth.scanner import SHOULDERS, HeadTruth, ScanOptions, scan_head
from headfield.types import Mesh


@pytest.mark.parametrize("meshed", [False, True])
def test_shoulders_are_no_target(meshed):
    person = frozen_person("anny", "dev", 2, "bald")
    options = ScanOptions(points=20_000, shoulders=True, strays=0.0)
    scan, truth = scan_head(HeadTruth.of_person(person), "full", np.random.default_rng(3), options)
    triangles = np.zeros((0, 3), dtype=np.int64)
    if meshed:  # each triangle joins points that follow each other by height: long ones, but of the right kind
        order = np.argsort(truth.model_from_scan.apply(scan.points)[:, 1])
        triangles = order[: len(order) // 3 * 3].reshape(-1, 3)
    surface = Mesh(scan.points, triangles, scan.normals)
    head = truth.head
    support = Mesh(head.vertices, head.triangles, vertex_normals(head.vertices, head.triangles))
    seen = SimpleNamespace(placement=truth.model_from_scan)
    body = truth.model_from_scan.apply(scan.points[truth.labels == SHOULDERS])

    def of_body(mean) -> int:
        target = _around(surface, seen, support, mean)
        used = target.vertices[np.unique(target.triangles)] if meshed else target.vertices
        return int((np.abs(used[:, None] - body[None, ::20]).max(2) < 1e-9).any(1).sum())

    without, within = of_body(mean_field_of(load("imhead-open-small"))), of_body(None)
    assert within > 30 and without < 0.1 * within
