"""The whole way on a head in closed form: scans in, a Fit out, files, batches and refusals."""

import json
from dataclasses import fields

import numpy as np
import pytest
import torch
from seeded import seeded
from stub_head import StubHead, surface_of

from headfield.errors import ConfigError, NotAHeadError, ScanError
from headfield.fit.evidence import evidence_of, refuse_unless_head
from headfield.fit.mean_field import neck_plane
from headfield.fit.placement import Placement
from headfield.fit.placing import surface_points
from headfield.fit.result import Fit
from headfield.fit.run import fit, fit_placed
from headfield.frames import reference_anchors
from headfield.types import Codes, Scan, Similarity


def _scan(stub, similarity, seed=0, expression=None, scale=250.0, count=5000, name="scan"):
    rng = np.random.default_rng(seeded(seed))
    identity = torch.from_numpy(0.8 * rng.standard_normal((1, stub.config.identity))).float()
    weights = None if expression is None else torch.tensor([expression])
    points, _ = surface_of(stub, Codes(identity, weights), count, seed)
    truth = similarity(rng, scale)
    return Scan(truth.apply(points), name=name), truth, identity[0].double().numpy()


@pytest.fixture(scope="module")
def fitted(stub, similarity):
    scan, truth, identity = _scan(stub, similarity, 3, [0.8, 0.7, 0.0])
    back = truth.inverse().apply(scan.points)[:, 2] < -0.36
    scan = Scan(scan.points[~back], name="scan")  # the back of the head is missing
    return fit(scan, stub), scan, truth, identity


def test_a_scan_becomes_a_head_in_its_own_frame(fitted):
    result, scan, truth, identity = fitted
    assert result.units == "mm"
    assert np.median(np.abs(result.identity - identity)) < 0.1
    assert result.errors["scan_to_head_mm"]["median"] < 0.5
    assert result.errors["inliers"] > 0.97
    assert result.expression[:2] == pytest.approx([0.8, 0.7], abs=0.25)
    together = result.placement.after(truth)
    assert np.allclose(together.matrix(), np.eye(4), atol=0.03)
    assert {"read", "align", "solve", "mesh", "total"} <= set(result.seconds)


def test_meshes_are_in_the_users_frame_and_tell_seen_from_invented(fitted):
    result, scan, truth, _ = fitted
    mesh = result.mesh(48)
    low, high = np.percentile(scan.points, [1, 99], axis=0)
    assert (mesh.vertices.min(0) < low + 30).all() and (mesh.vertices.max(0) > high - 30).all()
    assert np.linalg.norm(mesh.vertices - scan.points.mean(0), axis=1).max() < 400
    seen = mesh.attributes["seen"]
    ahead = (mesh.vertices - truth.apply(np.zeros(3))) @ truth.rotation[:, 2]  # millimetres
    assert seen[ahead > -80].mean() > 0.9
    assert seen[ahead < -105].mean() < 0.1
    assert result.seconds["mesh"] > 0


def test_detail_brings_the_surface_closer_to_the_scan(stub, similarity):
    igl = pytest.importorskip("igl")
    scan, truth, identity = _scan(stub, similarity, 11, count=20_000)
    local = truth.inverse().apply(scan.points)
    wave = 0.006 * np.sin(40 * local[:, 0]) * np.sin(40 * local[:, 1])  # 1.5 mm that no code can say
    normal = local / np.linalg.norm(local, axis=1, keepdims=True)
    rough = Scan(truth.apply(local + wave[:, None] * normal)[local[:, 2] > -0.1])  # the back is missing
    result = fit(rough, stub, expression="neutral")
    plain, detailed = result.mesh(96), result.mesh(96, detail=True)
    before, after = (
        np.sqrt(igl.point_mesh_squared_distance(rough.points, mesh.vertices, mesh.triangles)[0]).mean()
        for mesh in (plain, detailed)
    )
    assert after < 0.35 * before
    behind = plain.vertices[truth.inverse().apply(plain.vertices)[:, 2] < -0.42]  # 8 cm behind what was seen
    moved = np.sqrt(igl.point_mesh_squared_distance(behind, detailed.vertices, detailed.triangles)[0])
    assert len(behind) > 100 and moved.max() < 0.1  # millimetres


def test_a_fit_survives_its_file(fitted, tmp_path, stub):
    result, *_ = fitted
    path = result.save(tmp_path / "fit.npz")
    again = Fit.load(path, model=stub)
    assert again.to_dict() == result.to_dict(), "errors, placement, verdict and all"
    for before, after in ((result, again), (result.scans[0], again.scans[0])):
        for field in (field.name for field in fields(before) if field.name not in ("scans", "_model", "_file")):
            one, other = getattr(before, field), getattr(after, field)
            if isinstance(one, Similarity):
                one, other = one.matrix(), other.matrix()
            assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other, field


def test_every_key_of_fit_json_is_documented(fitted, fit_json):
    result, *_ = fitted
    content = json.loads(json.dumps(result.to_dict()))
    elsewhere = {"resolution", "evidence.search_landmark_residual_units"}  # of the command, and of landmarks
    assert fit_json.keys(content) | elsewhere == fit_json.documented
    assert content["hair"] == result.hair == "all" and content["notes"] == list(result.notes)
    assert np.array(content["scans"][0]["placement"]).shape == (4, 4)


def test_a_folder_stands_for_the_fit_in_it(fitted, tmp_path, stub):
    result, *_ = fitted
    result.save(tmp_path / "fit.npz")
    assert Fit.load(tmp_path, model=stub).to_dict() == result.to_dict()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="empty: a folder without fit.npz; give the fit.npz that"):
        Fit.load(tmp_path / "empty")
    (tmp_path / "head.glb").write_bytes(b"glTF")
    with pytest.raises(ScanError, match="head.glb: a mesh or a scan, not a fit.* Give .*fit.npz, which lies beside it"):
        Fit.load(tmp_path / "head.glb")


def test_a_fit_with_single_precision_errors_is_read(fitted, tmp_path, stub):
    """As older versions wrote it."""
    result, *_ = fitted
    with np.load(result.save(tmp_path / "fit.npz")) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "old.npz", **arrays | {"scan0_residual_mm": arrays["scan0_residual_mm"].astype(np.float32)})
    again = Fit.load(tmp_path / "old.npz", model=stub)
    assert np.allclose(again.scans[0].residual_mm, result.scans[0].residual_mm, rtol=1e-6, atol=0)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04broken"])
def test_a_damaged_fit_says_so(tmp_path, content):
    path = tmp_path / "fit.npz"
    path.write_bytes(content)
    with pytest.raises(ScanError, match="not a fit"):
        Fit.load(path)


def test_other_numpy_files_are_no_fits(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((5, 3)))
    np.savez(tmp_path / "codes.npz", identity=np.zeros(4), expression=np.zeros(52))
    np.savez(tmp_path / "half.npz", header=np.array(json.dumps({"version": 1, "scans": [{}]})))
    for name, message in {
        "x.npy": "no NPZ archive",
        "codes.npz": r"other things \(identity, expression\)",
        "half.npz": "cannot be read as a fit.*scan0_rotation.*Give the fit.npz",
        "nowhere.npz": "no such file",
    }.items():
        with pytest.raises(ScanError, match=message) as caught:
            Fit.load(tmp_path / name)
        assert "fit.npz that `headfield fit` wrote" in str(caught.value)
        assert "Error" not in str(caught.value) and "context manager" not in str(caught.value)


def test_a_pickle_inside_a_fit_is_never_opened(tmp_path):
    path = tmp_path / "fit.npz"
    np.savez(path, header=np.array([{"version": 1}], dtype=object))
    with pytest.raises(ScanError, match="pickled objects, which are never opened"):
        Fit.load(path)


def test_a_wrong_unit_is_named(stub, similarity):
    scan, *_ = _scan(stub, similarity, 5)
    with pytest.raises(ScanError, match=r"--units inch cannot be right.*likely unit is mm"):
        fit(scan, stub, units="inch")


def test_unknown_options_are_refused(stub, similarity):
    scan, *_ = _scan(stub, similarity, 6)
    with pytest.raises(ConfigError, match="expression"):
        fit(scan, stub, expression="smile")
    with pytest.raises(ConfigError, match="unknown fit option"):
        fit(scan, stub, colour="red")
    with pytest.raises(ConfigError, match="no scan"):
        fit([], stub)


def test_not_finite_points_are_dropped_and_counted(stub, similarity):
    scan, *_ = _scan(stub, similarity, 7)
    points = scan.points.copy()
    points[::50] = np.nan
    result = fit(Scan(points), stub, expression="neutral", refuse=False)  # a stub has little of a face
    assert any("not finite" in note for note in result.notes)
    points[::3], points[1::3] = np.nan, np.inf
    with pytest.raises(ScanError, match="not finite"):
        fit(Scan(points), stub)


def test_two_scans_of_one_person(stub, similarity):
    rng = np.random.default_rng(seeded(8))
    identity = torch.from_numpy(0.8 * rng.standard_normal((1, stub.config.identity))).float()
    scans = []
    for index, weights in enumerate(([[0.0, 0.0, 0.0]], [[0.8, 0.7, 0.0]])):
        points, _ = surface_of(stub, Codes(identity, torch.tensor(weights)), 4000, index)
        scans.append(Scan(similarity(rng, 250.0).apply(points), name=f"scan{index}"))
    result = fit(scans, stub)
    assert np.abs(result.identity - identity[0].numpy()).max() < 0.4
    assert [part.name for part in result.scans] == ["scan0", "scan1"]
    assert result.scans[1].expression[:2] == pytest.approx([0.8, 0.7], abs=0.25)
    assert result.scans[0].expression.max() < 0.2
    told = result.to_dict()["scans"]
    assert [scan["name"] for scan in told] == ["scan0", "scan1"]
    assert [scan["expression"] for scan in told] == [list(map(float, part.expression)) for part in result.scans]


def test_triangles_are_sampled_when_vertices_are_few():
    corners = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0], [10.01, 0, 0], [10, 0.01, 0], [10.01, 0.01, 0]])
    scan = Scan(corners, triangles=np.array([[0, 1, 2], [3, 4, 5]]))
    points = surface_points(scan, 2000)
    assert points.shape == (2000, 3)
    assert (points[:, 2] == 0).all() and points.min() >= 0
    assert abs(points[:, 0].mean() - 10 / 3) < 0.3


# ---- evidence --------------------------------------------------------------------------------------------------------


def test_the_refusal_carries_residual_and_inlier_share():
    rng = np.random.default_rng(seeded(0))
    noise = rng.uniform(-0.6, 0.6, (3000, 3))
    anchors = reference_anchors()
    evidence = evidence_of(noise, rng.uniform(-0.1, 0.1, 3000), anchors, neck_plane(anchors, 0.5), np.zeros(8), 250.0)
    with pytest.raises(NotAHeadError, match=r"noise.ply: not a head.*residual.*inlier share"):
        refuse_unless_head(evidence, "noise.ply")


def test_same_scan_and_seed_give_the_same_fit(stub, similarity):
    scan, *_ = _scan(stub, similarity, 40, count=3000)
    first, second = (fit(scan, stub, expression="neutral") for _ in range(2))
    assert (first.identity == second.identity).all()
    assert (first.placement.matrix() == second.placement.matrix()).all()


def test_similarity_given_by_landmarks_is_used(stub, tmp_path, fit_json):
    from headfield.frames import ANCHOR_NAMES

    points, _ = surface_of(stub, stub.mean_codes(), 3000)
    truth = Similarity(np.eye(3), np.array([5.0, 6.0, 7.0]), 25.0)
    anchors = dict(zip(ANCHOR_NAMES, reference_anchors()))
    names = ("nose_tip", "chin", "eye_outer_left", "ear_back_right")
    file = tmp_path / "landmarks.json"
    file.write_text(json.dumps({name: truth.apply(anchors[name]).tolist() for name in names}))
    result = fit(Scan(truth.apply(points)), stub, landmarks=file, expression="neutral", refuse=False)
    assert result.units == "cm"
    assert "evidence.search_landmark_residual_units" in fit_json.keys(result.to_dict()) <= fit_json.documented
    assert np.allclose(result.placement.after(truth).matrix(), np.eye(4), atol=0.02)


def test_files_of_one_name_are_told_apart(stub, similarity, tmp_path, monkeypatch):
    """Paths by their folders; a scan keeps the name that its maker gave it."""
    scan, *_ = _scan(stub, similarity, 6, count=300, name="x/mine")
    files = [tmp_path / folder / "scan.npy" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        np.save(file, scan.points)
    asked = []
    monkeypatch.setattr("headfield.fit.run.settled", lambda scans, options, prior: asked.extend(scans) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit([files[0], scan, files[1]], stub)
    assert [one.name for one in asked] == ["a/scan.npy", "x/mine", "b/scan.npy"]


class Told(Exception):
    """Enough was seen."""


def test_eyes_and_scalp_are_looked_for_where_the_model_has_them(stub, similarity, monkeypatch):
    scan, truth, _ = _scan(stub, similarity)
    own = reference_anchors() + [0.01, -0.03, 0.02]

    class Elsewhere(StubHead):
        def anchors(self, codes):
            return torch.from_numpy(own).float()[None].repeat(len(codes.identity), 1, 1)

    asked = []

    def eyes(placed, anchors, mm):
        asked.append(anchors)
        raise Told

    def places(points, where, anchors, fine=False):
        asked.append(anchors)
        return np.zeros((0, 3))

    monkeypatch.setattr("headfield.fit.run.eyes_seen", eyes)
    monkeypatch.setattr("headfield.fit.run.empty_places", places)
    with pytest.raises(Told):
        fit_placed([scan], [Placement(truth.inverse(), "mm", 0.0, 0.0)], Elsewhere())
    assert len(asked) == 2
    for anchors in asked:
        np.testing.assert_allclose(anchors, own, atol=1e-6)
