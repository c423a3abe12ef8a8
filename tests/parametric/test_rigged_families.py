"""FLAME and GNM from small files of their keys: skinning against a plain loop, closed heads, derivatives, bad files."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack
from scipy.spatial.transform import Rotation
from toy_template import (
    flame_arrays,
    gnm_arrays,
    smooth_basis,
    toy_landmarks,
    toy_template,
    write_flame,
    write_landmarks,
)

from headfield.errors import ConfigError, DataError
from headfield.parametric import ParametricHead, load_family
from headfield.parametric.derivatives import coordinates, on_triangles
from headfield.parametric.flame import load_flame
from headfield.parametric.gnm import fetch_gnm, load_gnm
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.places import KnownLandmarks, find_places
from headfield.parametric.topology import components, is_closed, signed_volume, vertex_normals
from headfield.types import Similarity


@pytest.fixture(scope="module")
def toy():
    return toy_template()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, toy):
    """A folder with a file of each family."""
    folder = tmp_path_factory.mktemp("families")
    write_flame(folder / "flame2023.pkl", toy)
    np.savez(folder / "gnm_head.npz", **gnm_arrays(toy))
    write_landmarks(folder / "gnm_head_sparse_68.txt", toy)
    return folder


@pytest.fixture(scope="module")
def flame(folder):
    return load_flame(folder / "flame2023.pkl")


@pytest.fixture(scope="module")
def gnm(folder):
    return load_gnm(folder / "gnm_head.npz")


@pytest.fixture(params=["flame", "gnm"])
def head(request):
    return request.getfixturevalue(request.param)


def state_of(head, seed=0):
    rng = np.random.default_rng(seed)
    return head.draw_identity(rng), rng.standard_normal(head.n_expression), 0.2 * rng.standard_normal(head.n_pose)


def test_flame_is_skinned_as_its_equations_say(flame, toy):
    """The same vertices by a plain loop over joints and vertices, from the file's arrays."""
    arrays = flame_arrays(toy)
    identity, expression, pose = state_of(flame)
    shape = toy.vertices + arrays["shapedirs"] @ np.concatenate([identity, expression])
    joints = arrays["J_regressor"] @ shape
    turns = [np.eye(3), *Rotation.from_rotvec(pose.reshape(4, 3)).as_matrix()]
    feature = np.concatenate([(turn - np.eye(3)).ravel() for turn in turns[1:]])
    shape = shape + arrays["posedirs"] @ feature
    world = []
    for j, parent in enumerate([-1, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = turns[j], joints[j] - (joints[parent] if parent >= 0 else 0)
        world.append(local if parent < 0 else world[parent] @ local)
    expected = np.zeros_like(shape)
    for j in range(5):
        moved = (shape - joints[j]) @ world[j][:3, :3].T + world[j][:3, 3]
        expected += arrays["weights"][:, j : j + 1] * moved
    np.testing.assert_allclose(flame.model.posed(identity, expression, pose), expected, atol=2e-6)
    rest = flame.model.posed(identity, expression, np.zeros(12))
    np.testing.assert_allclose(rest, toy.vertices + arrays["shapedirs"] @ np.r_[identity, expression], atol=2e-6)


def test_gnm_turns_head_and_eyes_and_is_in_metres(gnm, toy, folder, tmp_path):
    identity, expression, pose = state_of(gnm)
    arrays = gnm_arrays(toy)
    shape = toy.vertices + np.tensordot(identity, arrays["vertex_identity_basis"], 1)
    shape = shape + np.tensordot(expression, arrays["expression_basis"], 1)
    np.testing.assert_allclose(gnm.model.posed(identity, expression, None), shape, atol=1e-6)
    turned = gnm.model.posed(identity, expression, np.r_[pose[:3], np.zeros(6)])
    joint = arrays["template_joint_positions"] + np.tensordot(identity, arrays["joint_identity_basis"], 1)
    whole = arrays["skinning_weights"][1] == 1
    expected = Rotation.from_rotvec(pose[:3]).apply(shape[whole] - joint[1]) + joint[1]
    np.testing.assert_allclose(turned[whole], expected, atol=1e-6)
    np.savez(tmp_path / "gnm_head.npz", **gnm_arrays(toy, unit=100.0))  # centimetres
    write_landmarks(tmp_path / "head_sparse_68.txt", toy)
    other = load_gnm(tmp_path / "gnm_head.npz")
    np.testing.assert_allclose(other.raw_vertices(identity), gnm.raw_vertices(identity), atol=1e-6)


def test_closed_heads_of_the_protocol(head):
    assert isinstance(head, ParametricHead)
    identity, expression, pose = state_of(head)
    vertices = head.raw_vertices(identity, expression, pose)
    assert vertices.shape == (head.n_vertices, 3) and is_closed(head.triangles)
    label = components(head.triangles)
    assert label.max() == 2  # head and two eyeballs
    assert all(signed_volume(vertices, head.triangles[label == k]) > 0 for k in range(3))
    assert not head.expression_mask.any() and len(head.expression_mask) == 52
    assert head.n_pose == {"flame": 12, "gnm": 9}[head.name]
    neutral = head.raw_vertices(identity)
    cut = np.unique(head.triangles[head.cap])
    np.testing.assert_array_equal(vertices[cut], neutral[cut])  # the cut rests
    assert np.abs(vertices - neutral).max() > 0.005
    np.testing.assert_array_equal(head.raw_vertices(identity, np.zeros(head.n_expression)), neutral)
    placed = normalising_similarity(head.anchors(neutral))
    assert abs(placed.scale * 0.25 - 1) < 0.2 and placed.rotation[1, 1] > 0.95
    with pytest.raises(ValueError, match="expression of shape"):
        head.raw_vertices(identity, np.zeros(52))


def test_landmarks_are_linear_and_lie_where_the_file_says(gnm, toy):
    corners, weights = toy_landmarks(toy)
    expected = np.einsum("nk,nkc->nc", weights, toy.vertices[corners])
    neutral = gnm.raw_vertices(gnm.mean_identity())
    # the file's jaw line is shuffled: it comes back in order
    np.testing.assert_allclose(gnm.landmarks68(neutral), expected, atol=1e-6)
    moved = Similarity(Rotation.from_rotvec([0.3, 1, 0]).as_matrix(), np.ones(3), 2.0)
    np.testing.assert_allclose(gnm.landmarks68(moved.apply(neutral)), moved.apply(expected), atol=2e-6)


@pytest.mark.parametrize("which", ["identity", "expression", "pose"])
def test_derivatives_are_those_of_finite_differences(head, which):
    state = dict(zip(("identity", "expression", "pose"), state_of(head, 3)))
    rng = np.random.default_rng(1)
    vertices = head.raw_vertices(**state)
    # on the relaid neck of a head as coarse as this one, sliding along the skin is felt
    above = (head.triangles < head.plan.n_linear).all(1)
    corners = head.triangles[rng.choice(np.flatnonzero(above), 150)]
    weights = rng.dirichlet(np.ones(3), 150)
    directions = np.einsum("nk,nkd->nd", weights, vertex_normals(vertices, head.triangles)[corners])
    on_skin = np.arange(head.plan.n_linear)[::40]
    functionals = csr_matrix(
        vstack([on_triangles(corners, weights, directions, len(vertices)), coordinates(on_skin, len(vertices))])
    )
    found = getattr(head.derivatives(functionals, **state), which)
    for k in range(0, min(len(state[which]), 12)):
        step = 1e-3 * np.eye(len(state[which]))[k]
        ends = [head.raw_vertices(**(state | {which: state[which] + sign * step})) for sign in (-1, 1)]
        expected = functionals @ (ends[1] - ends[0]).ravel() / 2e-3
        assert np.abs(found[:, k] - expected).max() < 2e-3 * np.abs(expected).max() + 1e-6, k


def test_places_on_a_warped_template_move_with_it(toy):
    """Known landmarks carry the others and the anchors along."""
    corners, weights = toy_landmarks(toy)
    plain = find_places(toy.vertices, toy.skin, KnownLandmarks(corners, weights))
    moved = toy.vertices + smooth_basis(toy.vertices, 1, 0.002, 9)[:, :, 0]
    moved = Similarity(Rotation.from_rotvec([0.1, 0.2, 0]).as_matrix(), np.array([0.3, 0, 0]), 1.2).apply(moved)
    partly = corners.copy()
    partly[:17] = -1
    found = find_places(moved, toy.skin, KnownLandmarks(partly, weights))
    apart = np.linalg.norm(moved[found.anchors] - moved[plain.anchors], axis=1) / 1.2
    assert np.median(apart) < 0.004
    back = np.einsum("nk,nkc->nc", found.landmark_weights[:17], moved[found.landmark_corners[:17]])
    expected = np.einsum("nk,nkc->nc", weights[:17], moved[corners[:17]])
    assert np.linalg.norm(back - expected, axis=1).max() / 1.2 < 0.012
    with pytest.raises(ValueError, match="0 landmarks are known"):
        find_places(toy.vertices, toy.skin)


def test_flame_landmarks_from_an_embedding_beside_it(toy, tmp_path):
    corners, weights = toy_landmarks(toy)
    index = {tuple(sorted(t)): k for k, t in enumerate(toy.triangles.tolist())}
    faces = np.array([index[tuple(sorted(c))] for c in corners[17:].tolist()])
    shares = np.array(
        [[w[list(c).index(v)] for v in toy.triangles[f]] for c, w, f in zip(corners[17:].tolist(), weights[17:], faces)]
    )
    write_flame(tmp_path / "generic_model.pkl", toy)
    np.savez(tmp_path / "landmark_embedding.npz", lmk_face_idx=faces, lmk_b_coords=shares)
    head = load_flame(tmp_path / "generic_model.pkl")
    found = head.landmarks68(head.raw_vertices(head.mean_identity()))
    np.testing.assert_allclose(found[17:], np.einsum("nk,nkc->nc", weights, toy.vertices[corners])[17:], atol=1e-6)
    np.savez(tmp_path / "landmark_embedding.npz", lmk_face_idx=faces + 10**6, lmk_b_coords=shares)
    with pytest.raises(DataError, match="it is for another model"):
        load_flame(tmp_path / "generic_model.pkl")


def test_wrong_flame_files_say_what_is_wrong(toy, tmp_path):
    path = tmp_path / "flame.pkl"
    with pytest.raises(DataError, match=r"does not exist.*flame\.is\.tue\.mpg\.de"):
        load_flame(path)
    arrays = flame_arrays(toy)
    for changes, said in (
        ({"weights": None}, "has no weights"),
        ({"posedirs": arrays["posedirs"][:, :, :9]}, r"posedirs .* expected \(2437, 3, 36\)"),
        ({"shapedirs": arrays["shapedirs"][:, :, :100]}, "100 shapes, expected 300"),
        ({"f": arrays["f"] + 5000}, "triangles name vertex"),
        ({"v_template": np.full_like(toy.vertices, np.nan)}, "not all its numbers are finite"),
        ({"kintree_table": np.array([[2**32 - 1, 3, 1, 1, 1]] * 2)}, "joints hang on"),
        ({"f": toy.triangles[:3000].astype(np.uint32)}, "no eyeball was found"),
    ):
        with pytest.raises(DataError, match=said):
            load_flame(write_flame(path, toy, **changes))
    with pytest.raises(ConfigError, match="FLAME needs the path of your own file"):
        load_family("flame")


def test_wrong_gnm_files_say_what_is_wrong(toy, tmp_path, monkeypatch):
    path = tmp_path / "gnm_head.npz"
    arrays = gnm_arrays(toy)
    for changes, said in (
        ({"skinning_weights": arrays["skinning_weights"].T}, "skinning_weights"),
        ({"joint_names": np.array(["neck", "jaw", "left_eye", "right_eye"])}, "joints neck, jaw"),
        ({"pose_correctives_regressor": arrays["pose_correctives_regressor"] + 1}, "pose correctives"),
        ({"template_joint_positions": 7 * arrays["template_joint_positions"]}, "no unit of length explains"),
        ({"triangles": arrays["triangles"] + 5000}, "triangles name vertex"),
    ):
        np.savez(path, **(arrays | changes))
        with pytest.raises(DataError, match=said):
            load_gnm(path)
    np.savez(path, **arrays)
    (tmp_path / "head_sparse_68.txt").write_text("1 0.5 2 0.5\n")
    with pytest.raises(DataError, match="expected 68 lines"):
        load_gnm(path)
    with pytest.raises(DataError, match="does not exist.*huggingface"):
        load_gnm(tmp_path / "none.npz")
    import huggingface_hub

    def fail(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(DataError, match="could not be fetched.*no route to host.*give its path"):
        fetch_gnm()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repo, file, revision: str(tmp_path / file))
    assert fetch_gnm() == tmp_path / "v3_0" / "gnm_head.npz"
    # what was fetched before stays in use, unless a revision is asked for
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: str(tmp_path / "kept.npz"))
    assert fetch_gnm() == tmp_path / "kept.npz"
    assert fetch_gnm("main") == tmp_path / "v3_0" / "gnm_head.npz"


def test_a_template_with_more_holes_that_is_not_quite_symmetric_closes_as_well(toy, tmp_path):
    arrays = flame_arrays(toy)
    crooked = toy.vertices + smooth_basis(toy.vertices, 1, 0.0005, 7)[:, :, 0]
    centres = toy.vertices[toy.triangles].mean(1)
    mouth = (np.abs(centres[:, :2] - [0.0, -0.05]) < [0.012, 0.007]).all(1) & (centres[:, 2] > 0)
    back = np.zeros(len(toy.triangles), dtype=bool)  # eyeballs open behind
    for ball in toy.balls:
        mine = np.isin(toy.triangles[:, 0], ball)
        back |= mine & (centres[:, 2] < toy.vertices[ball, 2].mean() - 0.011)
    assert mouth.any() and back.any()
    kept = toy.triangles[~mouth & ~back].astype(np.uint32)
    path = write_flame(tmp_path / "flame.pkl", toy, v_template=crooked, f=kept, J=arrays["J"])
    head = load_flame(path)
    assert is_closed(head.triangles) and components(head.triangles).max() == 2
    vertices = head.raw_vertices(head.mean_identity())
    assert all(signed_volume(vertices, head.triangles[components(head.triangles) == k]) > 0 for k in range(3))


def test_a_rigged_head_is_fitted_to_a_scan(gnm):
    pytest.importorskip("igl", reason="needs libigl")
    from headfield.curate.parametric_fit import fit_parametric
    from headfield.curate.parametric_options import ParametricOptions
    from headfield.curate.parametric_target import ScanTarget
    from headfield.fit.placement import Placement
    from headfield.surface.nearest import sample_surface
    from headfield.types import Mesh, Scan

    identity, expression, _ = state_of(gnm, 5)
    raw = gnm.raw_vertices(identity, expression, np.r_[0.0, 0.1, 0.0, np.zeros(6)])
    places = sample_surface(Mesh(raw, gnm.triangles), 4000, np.random.default_rng(0), ~gnm.interior & ~gnm.cap)
    scan = Scan(1000 * places.points, places.normals, name="egg", units="mm")
    mean = normalising_similarity(gnm.anchors(gnm.raw_vertices(gnm.mean_identity())))
    placement = Placement(mean.after(Similarity(scale=0.001)), "mm", 0.0, 0.0)
    landmarks = 1000 * gnm.landmarks68(raw)
    fit = fit_parametric(gnm, [ScanTarget(scan, placement, landmarks)], ParametricOptions(points=2000))
    found = fit.scans[0]
    assert np.median(np.abs(found.distances)) < 0.1 and np.nanmedian(found.landmark_mm) < 1.0
    assert found.expression.shape == (5,) and found.pose.shape == (9,)
    assert np.corrcoef(found.expression, expression)[0, 1] > 0.9
