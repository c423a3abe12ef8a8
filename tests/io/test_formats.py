"""Every format that is read, by files that other programs wrote; the documents' table and the code's agree."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import re
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from headfield.errors import MissingExtra, ScanError
from headfield.io import formats
from headfield.io.formats import SCAN_SUFFIXES, in_folders
from headfield.io.scan import read_scan

FOREIGN = Path(__file__).parent / "foreign"
DOCUMENT = Path(__file__).parents[2] / "docs" / "formats.md"

usd = pytest.mark.skipif(importlib.util.find_spec("pxr") is None, reason="usd-core")
vtk = pytest.mark.skipif(importlib.util.find_spec("vtkmodules") is None, reason="vtk")
collada = pytest.mark.skipif(importlib.util.find_spec("collada") is None, reason="pycollada")
blender = pytest.mark.skipif(shutil.which("blender") is None, reason="Blender is not on the PATH")


@pytest.fixture(scope="module")
def egg():
    """The shape in all files of `foreign`."""
    ball = trimesh.creation.icosphere(subdivisions=2, radius=100.0)
    return trimesh.Trimesh(ball.vertices * [1, 1.2, 0.9], ball.faces, process=False)


def same_shape(scan, egg, scale=1.0, shift=(0, 0, 0), turned=None):
    """The egg's points, and triangles that look outwards, whatever the order of the vertices."""
    points = (scan.points - shift) / scale
    points = points if turned is None else points @ turned
    assert len(points) == len(egg.vertices)
    order = lambda x: x[np.lexsort(np.round(x, 1).T)]  # noqa: E731
    np.testing.assert_allclose(order(points), order(np.array(egg.vertices)), atol=2e-3)
    if scan.triangles is not None:
        assert len(scan.triangles) == len(egg.faces)
        assert trimesh.Trimesh(points, scan.triangles, process=False).volume == pytest.approx(egg.volume, rel=1e-4)
    return points


def vertex_colours(points):
    """The colours of vertices of `foreign`, in [0, 1]."""
    return np.clip((points + 120) / 240, 0, 1)


def picture_colours(points, turned=None):
    """The colours of `foreign/skin.png` by nearest texel, in [0, 1]."""
    picture = np.asarray(Image.open(FOREIGN / "skin.png").convert("RGB")) / 255
    height, width = picture.shape[:2]
    u, v = points[:, 0] / 200 + 0.5, points[:, 1] / 240 + 0.5
    column = np.clip((u * width).astype(int), 0, width - 1)
    return picture[np.clip(((1 - v) * height).astype(int), 0, height - 1), column]


def like_the_picture(scan, points):
    """Within a texel's step of the picture, away from its edge, where the texels wrap."""
    inner = (np.abs(points[:, 0]) < 90) & (np.abs(points[:, 1]) < 105)
    assert scan.colours is not None and inner.sum() > 100
    difference = np.abs(scan.colours[inner, :3] / 255 - picture_colours(points[inner]))
    assert difference.max() < 0.08, difference.max()


# ---- the table -----------------------------------------------------------------------------------------------------


def test_the_documents_table_names_the_suffixes_of_the_code():
    rows = [line for line in DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| `.")]
    named = [suffix for row in rows for suffix in re.findall(r"`(\.[a-z0-9]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(SCAN_SUFFIXES) and len(set(named)) == len(named)


def test_tables_and_notes_in_a_folder_are_no_scans(tmp_path, egg):
    egg.export(tmp_path / "egg.off")
    one, two = tmp_path / "one.zip", tmp_path / "two.zip"
    for path, names in ((one, ["egg.off"]), (two, ["a.off", "b.off"])):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(tmp_path / "egg.off", name)
    taken = ["a.ply", "a.OBJ", "a.usdz", "a.pts", "a.ply.gz"]
    passed = ["people.csv", "read me.txt", "key.asc", "a.tar.gz", "a.csv.gz", "a.jpg", "a.zip"]
    assert [name for name in (*taken, *passed) if in_folders(tmp_path / name)] == taken
    assert in_folders(one) and not in_folders(two)


# ---- meshes --------------------------------------------------------------------------------------------------------


def test_off_of_trimesh_and_coloured_off_of_meshlab(tmp_path, egg):
    egg.export(tmp_path / "egg.off")
    same_shape(read_scan(tmp_path / "egg.off"), egg)
    scan = read_scan(FOREIGN / "meshlab.off")
    points = same_shape(scan, egg)
    assert np.abs(scan.colours[:, :3] / 255 - vertex_colours(points)).max() < 0.01


def test_off_with_polygons_and_comments(tmp_path, egg):
    """A concave polygon is cut where a fan would fold over it."""
    square = [(0, 0, 0), (4, 0, 0), (4, 4, 0), (2, 1, 0), (0, 4, 0)]
    rest = [tuple(point + [0, 0, 50]) for point in np.array(egg.vertices)]
    faces = ["5 0 1 2 3 4 255 0 0"] + [f"3 {a + 5} {b + 5} {c + 5}" for a, b, c in egg.faces]
    lines = ["OFF # a comment", f"{5 + len(rest)} {len(faces)} 0", *("{} {} {}".format(*p) for p in (*square, *rest))]
    (tmp_path / "a.off").write_text("\n".join([*lines, *faces]))
    scan = read_scan(tmp_path / "a.off")
    first = scan.points[scan.triangles[:3]]
    areas = np.cross(first[:, 1] - first[:, 0], first[:, 2] - first[:, 0])[:, 2] / 2
    assert (areas > 0).all() and areas.sum() == pytest.approx(10)


@pytest.mark.parametrize(
    "name, scale, shift, unit", [("colours", 1, (10, 0, 0), "cm"), ("picture", 1, (0, 0, 0), "inch")]
)
def test_3mf_of_lib3mf(egg, name, scale, shift, unit):
    path = FOREIGN / f"lib3mf_{name}.3mf"
    scan = read_scan(path)
    points = same_shape(scan, egg, scale, shift)
    assert formats.read_raw(path).units == unit
    if name == "picture":
        like_the_picture(scan, points)
    else:
        assert np.abs(scan.colours[:, :3] / 255 - vertex_colours(points)).max() < 0.01


def test_3mf_of_trimesh_with_two_instances(tmp_path, egg):
    scene = trimesh.Scene()
    scene.add_geometry(egg, node_name="a")
    scene.add_geometry(egg, node_name="b", transform=trimesh.transformations.translation_matrix([500, 0, 0]))
    scene.export(tmp_path / "two.3mf")
    scan = read_scan(tmp_path / "two.3mf")
    assert len(scan.points) == 2 * len(egg.vertices) and scan.units == "mm"
    assert scan.points[:, 0].max() == pytest.approx(500 + egg.vertices[:, 0].max(), abs=1e-3)


@collada
def test_collada_of_blender(egg):
    """Blender is z up: the file states it, and the frame stays the file's own, as in every format."""
    scan = read_scan(FOREIGN / "blender.dae")
    turned = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])  # rows: where x, y, z of the file lie in ours
    points = same_shape(scan, egg, 0.001, turned=turned)
    assert scan.units == "m"
    like_the_picture(scan, points)


@collada
def test_collada_strips_and_units(tmp_path, egg):
    """Text by the specification (1.4.1): a strip, polygons, a unit of its own, an instance that is moved."""
    points = " ".join(f"{c:.4f}" for c in np.array(egg.vertices).ravel())
    faces = "".join(f"<p>{a} {b} {c}</p>" for a, b, c in egg.faces[2:])
    written = f"""<?xml version="1.0"?>
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
 <asset><created>2020-01-01T00:00:00</created><modified>2020-01-01T00:00:00</modified>
  <unit meter="0.001" name="millimeter"/><up_axis>Y_UP</up_axis></asset>
 <library_geometries><geometry id="g"><mesh>
  <source id="p"><float_array id="pa" count="{egg.vertices.size}">{points}</float_array><technique_common>
   <accessor source="#pa" count="{len(egg.vertices)}" stride="3"><param name="X" type="float"/>
   <param name="Y" type="float"/><param name="Z" type="float"/></accessor></technique_common></source>
  <vertices id="v"><input semantic="POSITION" source="#p"/></vertices>
  <tristrips count="2"><input semantic="VERTEX" source="#v" offset="0"/>
   <p>{" ".join(map(str, egg.faces[0]))}</p><p>{" ".join(map(str, egg.faces[1]))}</p></tristrips>
  <polygons count="{len(egg.faces) - 2}">
   <input semantic="VERTEX" source="#v" offset="0"/>{faces}</polygons>
 </mesh></geometry></library_geometries>
 <library_visual_scenes><visual_scene id="s"><node id="n">
  <translate>0 7 0</translate><instance_geometry url="#g"/></node>
 </visual_scene></library_visual_scenes><scene><instance_visual_scene url="#s"/></scene>
</COLLADA>"""
    (tmp_path / "a.dae").write_text(written)
    scan = read_scan(tmp_path / "a.dae")
    assert scan.units == "mm" and len(scan.triangles) == len(egg.faces)
    assert scan.points[:, 1].max() == pytest.approx(egg.vertices[:, 1].max() + 7, abs=1e-3)


def test_vrml_of_meshlab(egg):
    scan = read_scan(FOREIGN / "meshlab.wrl")
    points = same_shape(scan, egg)
    assert np.abs(scan.colours[:, :3] / 255 - vertex_colours(points)).max() < 0.01


def test_vrml_by_its_specification(tmp_path, egg):
    """A transform, a picture, a name that is used again, polygons of four corners (VRML97)."""
    shutil.copy(FOREIGN / "skin.png", tmp_path)
    points = ",\n".join("{:.4f} {:.4f} {:.4f}".format(*p) for p in egg.vertices)
    uv = ", ".join(f"{x / 200 + 0.5:.5f} {y / 240 + 0.5:.5f}" for x, y, _ in egg.vertices)
    index = " -1 ".join("{} {} {}".format(*face) for face in egg.faces)
    (tmp_path / "a.wrl").write_text(
        f"""#VRML V2.0 utf8
DEF TURNED Transform {{ rotation 0 1 0 1.5707963 translation 0 5 0 children [
  Shape {{ appearance Appearance {{ texture ImageTexture {{ url "skin.png" }} }} # a comment, "quoted"
    geometry DEF E IndexedFaceSet {{ coord Coordinate {{ point [ {points} ] }} coordIndex [ {index} ]
      texCoord TextureCoordinate {{ point [ {uv} ] }} }} }} ] }}
Transform {{ translation 900 0 0 children Shape {{ geometry USE E }} }}
"""
    )
    scan = read_scan(tmp_path / "a.wrl")
    count = len(egg.vertices)
    assert len(scan.points) == 2 * count and len(scan.triangles) == 2 * len(egg.faces)
    turned = np.array(egg.vertices)[:, [2, 1, 0]] * [1, 1, -1] + [0, 5, 0]
    np.testing.assert_allclose(scan.points[:count], turned, atol=1e-3)
    np.testing.assert_allclose(scan.points[count:], np.array(egg.vertices) + [900, 0, 0], atol=1e-3)
    inner = (np.abs(egg.vertices[:, 0]) < 90) & (np.abs(egg.vertices[:, 1]) < 105)
    difference = np.abs(scan.colours[:count, :3] / 255 - picture_colours(np.array(egg.vertices)))[inner]
    assert difference.max() < 0.08 and (scan.colours[count:, :3] == 255).all()


@vtk
def test_vtk_of_meshio(egg):
    same_shape(read_scan(FOREIGN / "meshio.vtk"), egg)


@vtk
def test_vtk_polydata_by_its_specification(tmp_path, egg):
    """Legacy text with a strip, and XML with colours."""
    points = "\n".join("{:.5f} {:.5f} {:.5f}".format(*p) for p in egg.vertices)
    faces = "\n".join("3 {} {} {}".format(*face) for face in egg.faces[1:])
    count, rest = len(egg.vertices), len(egg.faces) - 1
    (tmp_path / "a.vtk").write_text(
        f"# vtk DataFile Version 3.0\negg\nASCII\nDATASET POLYDATA\nPOINTS {count} float\n{points}\n"
        f"POLYGONS {rest} {4 * rest}\n{faces}\nTRIANGLE_STRIPS 1 4\n3 {' '.join(map(str, egg.faces[0]))}\n"
    )
    same_shape(read_scan(tmp_path / "a.vtk"), egg)
    colours = np.rint(255 * vertex_colours(np.array(egg.vertices))).astype(int)
    (tmp_path / "a.vtp").write_text(
        f"""<VTKFile type="PolyData" version="0.1" byte_order="LittleEndian"><PolyData>
<Piece NumberOfPoints="{count}" NumberOfVerts="0" NumberOfLines="0" NumberOfStrips="0" NumberOfPolys="{len(egg.faces)}">
<PointData><DataArray type="UInt8" Name="RGB" NumberOfComponents="3" format="ascii">
{" ".join(map(str, colours.ravel()))}</DataArray></PointData>
<Points><DataArray type="Float32" NumberOfComponents="3" format="ascii">{points}</DataArray></Points>
<Polys><DataArray type="Int32" Name="connectivity" format="ascii">{" ".join(map(str, egg.faces.ravel()))}</DataArray>
<DataArray type="Int32" Name="offsets" format="ascii">
{" ".join(str(3 * i + 3) for i in range(len(egg.faces)))}</DataArray>
</Polys></Piece></PolyData></VTKFile>"""
    )
    scan = read_scan(tmp_path / "a.vtp")
    same_shape(scan, egg)
    np.testing.assert_array_equal(scan.colours[:, :3], colours)


@blender
def test_fbx_of_blender(tmp_path, egg):
    """Read by Blender, with the picture that it holds; one that is cut short is refused in a sentence."""
    scan = read_scan(FOREIGN / "blender.fbx")
    points = same_shape(scan, egg, 0.001)
    assert scan.units == "m"
    like_the_picture(scan, points)


def test_fbx_without_a_program_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ScanError, match="Blender or Assimp, and neither is found on the PATH"):
        read_scan(FOREIGN / "blender.fbx")


def test_fbx_by_assimp(tmp_path, egg, monkeypatch):
    """The program is asked as `assimp export IN OUT` (here one that stands in for it)."""
    egg.export(tmp_path / "egg.glb")
    program = tmp_path / "assimp"
    copy = (
        f"import shutil, sys; assert sys.argv[1] == 'export'; shutil.copy({str(tmp_path / 'egg.glb')!r}, sys.argv[3])"
    )
    program.write_text(f"#!{sys.executable}\n{copy}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    same_shape(read_scan(FOREIGN / "blender.fbx"), egg)


# ---- USD -----------------------------------------------------------------------------------------------------------


def usda(egg, picture="./skin.png", head="", inside=""):
    """A USD text by hand, as phones export it: texture coordinates by corner, a picture, two materials."""
    corners = np.array(egg.vertices)[egg.faces.ravel()]
    points = ", ".join("({:.4f}, {:.4f}, {:.4f})".format(*p) for p in egg.vertices)
    uv = ", ".join(f"({x / 200 + 0.5:.5f}, {y / 240 + 0.5:.5f})" for x, y, _ in corners)
    return f"""#usda 1.0
( defaultPrim = "Root"
  metersPerUnit = 0.001
  upAxis = "Y"
  {head}
)
def Xform "Root" {{ {inside}
  def Mesh "Egg" (prepend apiSchemas = ["MaterialBindingAPI"])
  {{
    int[] faceVertexCounts = [{", ".join(["3"] * len(egg.faces))}]
    int[] faceVertexIndices = [{", ".join(map(str, egg.faces.ravel()))}]
    point3f[] points = [{points}]
    texCoord2f[] primvars:st = [{uv}] ( interpolation = "faceVarying" )
    rel material:binding = </Root/Skin>
    double3 xformOp:translate = (0, 3, 0)
    uniform token[] xformOpOrder = ["xformOp:translate"]
  }}
  def Material "Skin" {{
    token outputs:surface.connect = </Root/Skin/Surface.outputs:surface>
    def Shader "Surface" {{
      uniform token info:id = "UsdPreviewSurface"
      color3f inputs:diffuseColor.connect = </Root/Skin/Picture.outputs:rgb>
      token outputs:surface
    }}
    def Shader "Picture" {{
      uniform token info:id = "UsdUVTexture"
      asset inputs:file = @{picture}@
      float2 inputs:st.connect = </Root/Skin/Places.outputs:result>
      float3 outputs:rgb
    }}
    def Shader "Places" {{
      uniform token info:id = "UsdPrimvarReader_float2"
      string inputs:varname = "st"
      float2 outputs:result
    }}
  }}
}}
"""


@usd
@pytest.mark.parametrize("suffix", ["usda", "usd", "usdc", "usdz"])
def test_usd(tmp_path, egg, suffix):
    """Its text; the same as crate, and packed, by usd-core."""
    from pxr import Usd, UsdUtils

    shutil.copy(FOREIGN / "skin.png", tmp_path)
    path = tmp_path / f"egg.{suffix}"
    (tmp_path / "egg.usda").write_text(usda(egg))
    if suffix == "usd":
        shutil.copy(tmp_path / "egg.usda", path)
    elif suffix != "usda":
        Usd.Stage.Open(str(tmp_path / "egg.usda")).Export(str(tmp_path / "egg.usdc"))
    if suffix == "usdz":
        assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "egg.usdc"), str(path))
        (tmp_path / "skin.png").unlink()
    scan = read_scan(path)
    points = same_shape(scan, egg, shift=(0, 3, 0))
    assert scan.units == "mm" and not scan.notes
    like_the_picture(scan, points)


@usd
def test_usd_stays_in_its_folder_and_names_what_is_missing(tmp_path, egg):
    secret = tmp_path / "other.usda"
    secret.write_text(usda(egg))
    folder = tmp_path / "scans"
    folder.mkdir()
    path = folder / "egg.usda"
    for name in ("../other.usda", str(secret)):
        path.write_text(usda(egg, head=f"subLayers = [@{name}@]"))
        with pytest.raises(ScanError, match="leads out of its folder"):
            read_scan(path)
        path.write_text(usda(egg, inside=f'def "Other" (references = @{name}@) {{ }}'))
        with pytest.raises(ScanError, match="leads out of its folder"):
            read_scan(path)
    path.write_text(usda(egg, head="subLayers = [@./gone.usda@]"))
    scan = read_scan(path)
    assert scan.colours is None
    assert any("gone.usda" in note for note in scan.notes) and any("skin.png" in note for note in scan.notes)


@pytest.mark.parametrize("name, module", [("a.usda", "pxr"), ("a.vtk", "vtkmodules"), ("a.dae", "collada")])
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, name, module):
    (tmp_path / name).write_text("#usda 1.0\n" if module == "pxr" else "# vtk DataFile Version 3.0\n" * 3)
    if module == "collada":
        (tmp_path / name).write_text("<COLLADA/>")
    monkeypatch.setitem(sys.modules, module, None)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted, *rest: None if wanted == module else find(wanted, *rest)
    )
    with pytest.raises(MissingExtra, match=r"headfield\[formats\]"):
        read_scan(tmp_path / name)


# ---- clouds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pypcd4", "pypcd4_ascii", "pypcd4_lzf"])
def test_pcd_of_pypcd4(egg, name):
    scan = read_scan(FOREIGN / f"{name}.pcd")
    points = same_shape(scan, egg)
    if name == "pypcd4_ascii":
        assert scan.colours is None
    else:
        assert np.abs(scan.colours[:, :3] / 255 - vertex_colours(points)).max() < 0.01


def test_text_of_numpy_and_csv_with_and_without_names(tmp_path, egg):
    points, normals = np.array(egg.vertices), np.array(egg.vertex_normals)
    colours = np.rint(255 * vertex_colours(points)).astype(int)
    rows = np.column_stack([points, colours])
    np.savetxt(tmp_path / "a.asc", points)
    np.savetxt(tmp_path / "a.txt", np.column_stack([rows, normals]), delimiter=" ")
    np.savetxt(
        tmp_path / "b.txt", np.column_stack([points, normals, colours]), header="//X Y Z Nx Ny Nz R G B", comments=""
    )
    marked = np.column_stack([points, np.arange(len(points)) - 50, colours])
    np.savetxt(tmp_path / "a.pts", marked, fmt="%.4f %.4f %.4f %d %d %d %d", header=str(len(points)), comments="")
    with open(tmp_path / "a.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerows([["name", "x", "y", "z", "red", "green", "blue"], *(["p, one", *row] for row in rows)])
    text = "\n".join(";".join(f"{value:.4f}".replace(".", ",") for value in row) for row in rows)
    (tmp_path / "b.csv").write_text("x;y;z;r;g;b\n" + text)
    read = {name: read_scan(tmp_path / name) for name in ("a.asc", "a.txt", "b.txt", "a.pts", "b.csv")}
    for name, scan in read.items():
        np.testing.assert_allclose(scan.points, points, atol=1e-3)
        assert name == "a.asc" or (scan.colours[:, :3] == colours).all()
    for name in ("a.txt", "b.txt"):
        np.testing.assert_allclose(read[name].normals, normals, atol=1e-6)
    assert read["a.asc"].colours is None and read["a.pts"].normals is None


def test_a_table_of_something_else_is_refused_by_its_columns(tmp_path):
    (tmp_path / "people.csv").write_text("id,age,consent\n" + "a,40,yes\n" * 200)
    with pytest.raises(ScanError, match="columns id, age, consent, expected x, y and z"):
        read_scan(tmp_path / "people.csv")


def test_splats_are_read_by_their_opaque_centres(tmp_path, egg):
    scan = read_scan(FOREIGN / "splats.ply")
    points = same_shape(scan, egg)
    assert scan.triangles is None and scan.normals is None
    assert np.abs(scan.colours[:, :3] / 255 - vertex_colours(points)).max() < 0.01
    assert "162 of 202" in scan.notes[0] and "Gaussian splats" in scan.notes[0]
    content = (FOREIGN / "splats.ply").read_bytes()
    (tmp_path / "packed.ply").write_bytes(
        content.replace(b"float f_dc_0", b"float packed_position").replace(b"float f_dc_1", b"float packed_color")
    )
    with pytest.raises(ScanError, match="packed form"):
        read_scan(tmp_path / "packed.ply")


# ---- archives ------------------------------------------------------------------------------------------------------


def test_zip_with_its_pictures_and_gz(tmp_path, egg):
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("blender.obj", "blender.mtl", "skin.png", "README.md"):
            archive.write(FOREIGN / name, f"scan/{name}")
        archive.writestr("__MACOSX/scan/._blender.obj", b"\0" * 99)
        archive.writestr("scan/notes.txt", "some words")
    scan = read_scan(tmp_path / "scan.zip")
    like_the_picture(scan, same_shape(scan, egg, 0.001))
    with gzip.open(tmp_path / "egg.off.gz", "wb") as file:
        file.write((FOREIGN / "meshlab.off").read_bytes())
    assert read_scan(tmp_path / "egg.off.gz").colours is not None


def test_archives_that_are_refused(tmp_path, egg):
    """Several scans, none, archives in archives, names that lead out, passwords, bombs: a sentence each."""
    off = (FOREIGN / "meshlab.off").read_bytes()

    def packed(files, **changes):
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path

    with pytest.raises(ScanError, match=r"2 scans \(a.off, b.off\).*give the one you mean"):
        read_scan(packed({"a.off": off, "b.off": off}))
    with pytest.raises(ScanError, match="no scan; expected one file of .ply"):
        read_scan(packed({"a.jpg": b"x"}))
    for name in ("inner.zip", "inner.tar.gz"):
        with pytest.raises(ScanError, match="holds"):
            read_scan(packed({name: packed({"a.off": off}).read_bytes()}))
    for name in ("../a.off", "/a.off", "b/../../a.off", "C:\\a.off"):
        path = packed({"a.off": off})
        raw = path.read_bytes().replace(b"a.off", b"X" * 5)
        assert raw
        with pytest.raises(ScanError, match="leads out of the archive"):
            read_scan(packed({name: off}))
    with pytest.raises(ScanError, match="MB when they are unpacked.*--read-limit"):
        read_scan(packed({"a.off": b"OFF\n" + bytes(200_000_000)}))
    with gzip.open(tmp_path / "b.off.gz", "wb", compresslevel=1) as file:
        file.write(bytes(200_000_000))
    with pytest.raises(ScanError, match="MB when it is unpacked.*--read-limit"):
        read_scan(tmp_path / "b.off.gz")
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(off))
    with pytest.raises(ScanError, match="archive inside of an archive"):
        read_scan(tmp_path / "a.tar.gz")
    (tmp_path / "cut.off.gz").write_bytes(gzip.compress(off)[:-400])
    with pytest.raises(ScanError, match="cut short"):
        read_scan(tmp_path / "cut.off.gz")


def test_a_zip_that_states_less_than_it_holds_is_refused(tmp_path):
    content = b"OFF\n" + b"0 0 0\n" * 100_000
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.off", content)
    stated = len(content).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(stated, (100).to_bytes(4, "little")))
    with pytest.raises(ScanError):
        read_scan(path)


# ---- XML -----------------------------------------------------------------------------------------------------------

_LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", ["dae", "3mf", "vtp"])
def test_entities_are_refused(tmp_path, kind, encoding):
    if kind == "dae" and importlib.util.find_spec("collada") is None:
        pytest.skip("pycollada")
    if kind == "vtp" and importlib.util.find_spec("vtkmodules") is None:
        pytest.skip("vtk")
    written = f"{_LAUGHS}<model>&c;&b;</model>".encode(encoding)
    path = tmp_path / f"a.{kind}"
    if kind == "3mf":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("3D/3dmodel.model", written)
    else:
        path.write_bytes(written)
    with pytest.raises(ScanError, match="never expanded"):
        read_scan(path)
