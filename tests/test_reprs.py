"""What a user prints says in one line what it is; arrays are not poured out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from headfield.edit.record import SavedHead
from headfield.fit.result import Fit
from headfield.fit.scan_fit import ScanFit
from headfield.fit.verdict import Verdict
from headfield.surface.head import Head
from headfield.types import Mesh, Scan, Similarity


def _scan_fit(weights: np.ndarray) -> ScanFit:
    points = np.zeros((1000, 3))
    return ScanFit("a.ply", Similarity(), "cm", 0.0, weights, points, np.full(1000, 0.25), np.ones(1000, bool), points)


def test_a_head_names_its_model_its_expression_and_whether_it_was_edited(bald):
    head = Head(bald.model, bald.codes)
    assert repr(head) == f"Head({bald.model.name}; neutral)"
    smiling = head.with_expression({"jawOpen": 0.25, "mouthSmileLeft": 0.5, "mouthPucker": 0.01})
    assert repr(smiling) == f"Head({bald.model.name}; mouthSmileLeft 0.50, jawOpen 0.25)"
    assert "mirrored; mouthSmileRight 0.50, jawOpen" in repr(smiling.mirrored()), "as it is seen"
    saved = SavedHead(head, bald.model.name, name="b.npz")
    edited = saved.apply({"do": "sample_region", "regions": ["nose"], "seed": 1})
    assert repr(edited) == f"SavedHead(b.npz, m, 1 edit; Head({bald.model.name}, edited; neutral))"
    assert "edited" not in repr(head) and "identity (1, 256), expression (1, 52)" in repr(smiling.codes)


def test_fits_scans_and_meshes_in_a_line():
    weights = np.zeros(52)
    weights[24] = 0.5  # jawOpen
    one = _scan_fit(weights)
    assert repr(one) == "ScanFit(a.ply, cm, 1,000 points, median 0.25 mm; jawOpen 0.50)"
    fit = Fit("some-model", np.zeros(256), (one, replace(one, name="b.ply")), verdict=Verdict("fair", ("this",)))
    assert repr(fit) == "Fit(some-model; a.ply in cm, b.ply in cm; median 0.25 / 0.25 mm; fair)"
    scan = Scan(np.zeros((1000, 3)), triangles=np.zeros((10, 3), int), name="a.ply")
    assert repr(scan) == "Scan(a.ply, 1,000 points, 10 triangles, unit unknown)"
    mesh = Mesh(scan.points, scan.triangles, scan.points, attributes={"seen": np.ones(1000, bool)})
    assert repr(mesh) == "Mesh(1,000 vertices, 10 triangles, normals, seen)"
