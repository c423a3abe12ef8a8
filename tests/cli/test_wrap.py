"""``headfield wrap``: a template of quads with texture coordinates, two materials and an eye, round a scan."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from headfield.cli import main
from headfield.io.mesh import write_mesh
from headfield.io.obj import read_obj
from headfield.types import Mesh

HERE = Path(__file__).parent
RINGS, SLICES = 24, 36


def quad_sphere(radius: float = 100.0) -> str:
    """An OBJ of a sphere of quads (a seam in its texture only), and a small eye of triangles as a part of its own."""
    lines = ["# by hand", "o head"]
    heights = np.cos(np.linspace(0, np.pi, RINGS + 2)[1:-1])
    for height in heights:
        for turn in np.arange(SLICES) / SLICES * 2 * np.pi:
            ring = np.sqrt(1 - height**2)
            x, y, z = radius * ring * np.sin(turn), radius * height, radius * ring * np.cos(turn)
            lines.append(f"v {x:.6f} {y:.6f} {z:.6f}")
    lines += [f"v 0 {radius} 0", f"v 0 {-radius} 0"]
    lines += [f"vt {u / SLICES:.6f} {v / RINGS:.6f}" for v in range(RINGS) for u in range(SLICES + 1)]
    for half, material in enumerate(("upper", "lower")):
        lines += [f"g {material}", f"usemtl {material}", "s 1"]
        for v in range(half * (RINGS // 2), min((half + 1) * (RINGS // 2), RINGS - 1)):
            for u in range(SLICES):
                corners = ((v, u), (v + 1, u), (v + 1, u + 1), (v, u + 1))
                words = [f"{r * SLICES + c % SLICES + 1}/{r * (SLICES + 1) + c + 1}" for r, c in corners]
                lines.append("f " + " ".join(words))
    top, bottom, last = RINGS * SLICES + 1, RINGS * SLICES + 2, (RINGS - 1) * SLICES
    for u in range(SLICES):
        lines.append(f"f {top}/1 {u + 1}/1 {(u + 1) % SLICES + 1}/1")
        lines.append(f"f {bottom}/1 {last + (u + 1) % SLICES + 1}/1 {last + u + 1}/1")
    eye = trimesh.creation.icosphere(1, radius=0.12 * radius)
    lines += ["g eye", "usemtl eye"]
    lines += [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in eye.vertices + [0, 0, 0.93 * radius]]
    lines += [f"f {a + bottom + 1} {b + bottom + 1} {c + bottom + 1}" for a, b, c in eye.faces]
    return "\n".join(lines) + "\n"


def make(folder: Path) -> tuple[Path, Path, np.ndarray]:
    """A scan (an egg of 100 mm, open below), the template, and the egg's shape."""
    egg = trimesh.creation.icosphere(4, radius=100)
    shape = np.array([0.85, 1.15, 1.0])
    triangles = egg.faces[egg.vertices[egg.faces].mean(1)[:, 1] > -60]
    write_mesh(Mesh(egg.vertices * shape, triangles), folder / "egg.ply", unit="mm")
    (folder / "template.obj").write_text(quad_sphere())
    return folder / "egg.ply", folder / "template.obj", shape


@pytest.fixture
def files(tmp_path):
    """Scan and template in the empty folder that the command runs in."""
    return make(tmp_path)


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory):
    """A folder where the template was wrapped round the egg, once for all tests that only look; and the egg's shape."""
    folder = tmp_path_factory.mktemp("wrapped")
    scan, template, shape = make(folder)
    words = ["wrap", scan, "--template", template, "-o", folder / "wrapped.obj", "--aligned"]
    said = io.StringIO()
    with redirect_stdout(said):
        assert main([str(word) for word in words]) == 0
    return SimpleNamespace(folder=folder, shape=shape, said=said.getvalue())


def test_everything_but_the_vertices_stays(wrapped):
    before, after = ((wrapped.folder / name).read_text().splitlines() for name in ("template.obj", "wrapped.obj"))
    changed = [old[:2] for old, new in zip(before, after, strict=True) if old != new]
    assert set(changed) == {"v "}
    template, result = (read_obj(wrapped.folder / name) for name in ("template.obj", "wrapped.obj"))
    inside = np.linalg.norm(result.vertices[:-42] / (100 * wrapped.shape), axis=1)
    seen = template.vertices[:-42, 1] > -40
    assert np.abs(inside[seen] - 1).mean() < 2e-3
    eye = result.vertices[-42:] - result.vertices[-42:].mean(0)
    assert np.ptp(np.linalg.norm(eye, axis=1)) < 1e-3, "the eye stays round"
    assert "0 triangles" in wrapped.said and "908 vertices" in wrapped.said and "texture coordinates" in wrapped.said


def test_numbers_and_picture_lie_beside_it(wrapped):
    facts = json.loads((wrapped.folder / "wrapped.json").read_text())
    assert facts["units"] == "mm" and facts["flipped_triangles"] == 0
    assert facts["vertex_to_scan_mm"]["mean"] < 0.2 and 0.5 < facts["matched"] < 0.95
    assert (wrapped.folder / "wrapped.png").read_bytes().startswith(b"\x89PNG")
    names = {"template.obj", "egg.ply", "wrapped.obj", "wrapped.json", "wrapped.png"}
    assert {path.name for path in wrapped.folder.iterdir()} == names


def test_a_ply_keeps_the_order(headfield, files, wrapped, tmp_path):
    assert headfield("wrap", files[0], "--template", files[1], "-o", "w.ply", "--aligned")[0] == 0
    ply = trimesh.load(tmp_path / "w.ply", process=False)
    assert np.allclose(ply.vertices, read_obj(wrapped.folder / "wrapped.obj").vertices, atol=1e-3)


def test_blender_sees_the_same_faces_and_texture(blender, wrapped):
    sources = [wrapped.folder / name for name in ("template.obj", "wrapped.obj")]
    before, after = blender(HERE / "check_obj_in_blender.py", *sources)
    for same in ("polygons", "slots", "materials", "uv"):
        assert before[same] and before[same] == after[same], same
    assert len(before["materials"]) == 3 and max(map(len, before["polygons"])) == 4
    for facts, source in zip((before, after), sources):
        assert np.allclose(facts["vertices"], read_obj(source).vertices, atol=1e-3)


def test_a_head_is_found_and_wrapped(headfield, save_fit, baked, tmp_path):
    """No help at all: a saved fit of a head in centimetres, and a template in inches that lies on its side."""
    turned = baked.neutral[:, [1, 2, 0]] * 250 / 25.4 + [40.0, -3.0, 7.0]
    uv = [f"vt {u:.4f} {1 - u:.4f}" for u in np.linspace(0, 1, len(turned))]
    places = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in turned]
    faces = ["f " + " ".join(f"{i + 1}/{i + 1}" for i in triangle) for triangle in baked.triangles]
    (tmp_path / "mine.obj").write_text("\n".join([*places, *uv, *faces]) + "\n")
    path = save_fit(7, "for_wrap.npz")
    status, out, err = headfield("wrap", path, "--template", "mine.obj", "-o", "new.obj")
    assert status == 0, err
    from headfield.fit.result import Fit
    from headfield.surface.nearest import Target

    head = Fit.load(path).mesh(128)
    distance = Target(head).closest(read_obj(tmp_path / "new.obj").vertices)[0] * 10
    assert np.median(distance) < 0.3, "millimetres, in the frame and unit of the fit's scan"
    assert "0 triangles" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("egg.ply", "--template", "missing.obj"), "cannot be opened"),
        (("egg.ply", "--template", "egg.ply"), "a template is an OBJ file"),
        (("egg.ply", "--template", "points.obj"), "no faces"),
        (("egg.ply", "--template", "far.obj", "--aligned"), "do not overlap"),
        (("missing.ply", "--template", "template.obj"), "cannot be opened"),
        (("egg.ply", "--template", "template.obj", "-o", "template.obj", "--force"), "files that are read"),
        (("egg.ply", "--template", "template.obj", "--landmarks", "a.json", "-o", "a.obj", "--force"), "that are read"),
        (("egg.ply", "--template", "template.obj", "-o", "new.fbx"), "meshes are written as"),
        (("egg.ply", "--template", "template.obj", "--aligned", "--landmarks", "a.json"), "Give one of them"),
        (("egg.ply", "--template", "template.obj", "--landmarks", "a.json"), "does not exist"),
        (("egg.ply", "--template", "tiny.obj", "--aligned", "--units", "km"), "invalid choice"),
    ],
)
def test_refused(headfield, files, tmp_path, words, said):
    (tmp_path / "points.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n")
    template = read_obj(files[1])
    (tmp_path / "far.obj").write_bytes(template.moved(template.vertices + 5000))
    before = sorted(tmp_path.iterdir())
    status, _, err = headfield("wrap", *words)
    assert status == 2 and said in " ".join(err.split()) and "Traceback" not in err, err
    assert sorted(tmp_path.iterdir()) == before


def test_files_that_exist_are_kept(headfield, files, tmp_path):
    (tmp_path / "wrapped.json").write_text("mine")
    status, _, err = headfield("wrap", files[0], "--template", files[1], "-o", "wrapped.obj", "--aligned")
    assert status == 2 and "--force" in err and (tmp_path / "wrapped.json").read_text() == "mine"
    assert not (tmp_path / "wrapped.obj").exists()
