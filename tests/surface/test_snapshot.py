"""Pictures: geometry, sides, colours, files."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from headfield.errors import OutputError
from headfield.surface import snapshot
from headfield.surface.clay import smoothed
from headfield.surface.rays import RayScene
from headfield.surface.snapshot import (
    VIEWS,
    MeshPictures,
    PointPictures,
    contact_sheet,
    error_colours,
    error_legend,
    render,
    render_points,
    spacing,
    write_png,
)
from headfield.types import Mesh

SMALL = {"size": 96, "occlusion_rays": 2}


def ball(subdivisions=3):
    solid = trimesh.creation.icosphere(subdivisions)
    return Mesh(np.array(solid.vertices), np.array(solid.faces))


def clay(picture):
    """Pixels that are not the grey background."""
    picture = picture.astype(int)
    return picture[..., 0] - picture[..., 2] > 8


def luminance(colours):
    return np.asarray(colours)[..., :3] @ [0.2126, 0.7152, 0.0722]


def test_silhouette_of_a_ball_is_a_centred_disc():
    seen = clay(render(ball(), **SMALL))
    y, x = np.nonzero(seen)
    assert abs(x.mean() - 47.5) < 0.7 and abs(y.mean() - 47.5) < 0.7
    radius = 48 / 1.12  # the frame leaves 12 %
    assert seen.sum() == pytest.approx(np.pi * radius**2, rel=0.04)


def test_key_light_comes_from_the_upper_left():
    picture = luminance(render(ball(), **SMALL))
    assert picture[25, 30] > picture[70, 65] + 15


@pytest.mark.parametrize("view, place", [("front", (1, 1)), ("left", None), ("right", None), ("back", (-1, 1))])
def test_sides(view, place):
    """A bump on the subject's left (+x): right in the front picture, left in the back one, near or far in profile."""
    mesh = ball()
    colours = np.full((len(mesh.vertices), 3), 120, np.uint8)
    colours[mesh.vertices[:, 0] > 0.8] = (250, 20, 20)
    picture = render(mesh, view=view, colours=colours, **SMALL).astype(int)
    y, x = np.nonzero(picture[..., 0] - picture[..., 1] > 70)
    if place:
        assert np.sign(x.mean() - 47.5) == place[0]
    else:
        assert (len(x) > 100) == (view == "left")


def test_up_is_up_and_views_have_names():
    mesh = ball()
    colours = np.where(mesh.vertices[:, 1:2] > 0.7, np.uint8([250, 20, 20]), np.uint8([120, 120, 120]))
    picture = render(mesh, colours=colours, **SMALL).astype(int)
    assert np.nonzero(picture[..., 0] - picture[..., 1] > 70)[0].mean() < 35
    assert {"front", "left", "right", "three_quarter", "back"} <= set(VIEWS)
    with pytest.raises(ValueError, match="three_quarter"):
        render(mesh, view="sideways")
    assert np.array_equal(render(mesh, view=(90, 0), **SMALL), render(mesh, view="left", **SMALL))


def test_inside_out_shows_as_blue():
    mesh = ball()
    picture = render(Mesh(mesh.vertices, mesh.triangles[:, ::-1]), **SMALL).astype(int)
    assert picture[48, 48, 2] > picture[48, 48, 0] + 10


def test_same_camera_for_two_pictures():
    mesh = ball()
    small = Mesh(mesh.vertices * 0.5, mesh.triangles)
    # half the size is a quarter of the pixels; a camera that follows the mesh would show as many
    assert clay(render(small, **SMALL)).sum() > 3 * clay(render(small, frame_on=mesh.vertices, **SMALL)).sum()
    assert np.array_equal(render(mesh, **SMALL), render(mesh, **SMALL))
    far = Mesh(mesh.vertices * 250 + 1e4, mesh.triangles)
    assert np.abs(render(far, **SMALL).astype(int) - render(mesh, **SMALL)).mean() < 2


def test_colours_by_face_and_by_vertex_stay_legible():
    mesh = ball()
    for count in (len(mesh.vertices), len(mesh.triangles)):
        picture = render(mesh, colours=np.full((count, 4), (40, 160, 60, 255), np.uint8), **SMALL)
        assert np.abs(picture[48, 48].astype(int) - [40, 160, 60]).max() < 50


def test_pictures_of_a_sight_are_those_of_render_and_cast_once(monkeypatch):
    mesh, rng = ball(), np.random.default_rng(0)
    colours = rng.integers(0, 256, (len(mesh.vertices), 3), dtype=np.uint8)
    wanted = {
        view: (render(mesh, view=view, **SMALL), render(mesh, view=view, size=96, colours=colours, occlusion_rays=0))
        for view in ("front", "left")
    }
    scenes, casts, cast = [], [], RayScene.first_hit
    monkeypatch.setattr(snapshot, "RayScene", lambda *mesh: scenes.append(1) or RayScene(*mesh))
    monkeypatch.setattr(RayScene, "first_hit", lambda *rays: casts.append(1) or cast(*rays))
    shown = MeshPictures(mesh)
    for view, pictures in wanted.items():
        sight = shown.seen_from(view, size=96)
        assert np.array_equal(sight.picture(occlusion_rays=2), pictures[0])
        assert np.array_equal(sight.picture(colours, occlusion_rays=0), pictures[1])
    assert len(scenes) == 1 and len(casts) == len(wanted)


@pytest.mark.parametrize(
    "options",
    [{}, {"zoom": 3.0}, {"zoom": 0.4}, {"size": (96, 40)}, {"frame_on": np.array([[2, 2, 2], [3.0, 3.5, 3]])},
     {"frame_on": np.array([[0, 0, 0], [0.1, 0.1, 0.1]])}],
)  # fmt: skip
def test_no_ray_that_is_spared_would_hit(options, monkeypatch):
    """Rays are cast where the mesh's box is: the picture is that of all rays, also with the camera inside of it."""
    mesh = ball()
    wide = Mesh(mesh.vertices * [1.0, 0.4, 0.7], mesh.triangles)
    given = {"view": (20, 10), **SMALL, **options}
    few = render(wide, **given)
    monkeypatch.setattr(snapshot, "_window", lambda scene, camera, x, y: (0, len(x), 0, len(y)))
    assert np.array_equal(few, render(wide, **given))


def test_smoothing_is_the_mean_of_known_similar_neighbours():
    rng = np.random.default_rng(0)
    depth, mask = rng.random((9, 12)), rng.random((9, 12)) < 0.7
    known = mask & (rng.random((9, 12)) < 0.3)
    values = rng.random((2, 9, 12))
    found, alone = smoothed(values, depth, mask, known, 0.2, 2), 0
    for y, x in np.ndindex(depth.shape):
        near = (slice(max(y - 2, 0), y + 3), slice(max(x - 2, 0), x + 3))
        similar = known[near] & (np.abs(depth[near] - depth[y, x]) < 0.2)
        alone += mask[y, x] and not similar.any()
        wanted = values[:, *near][:, similar].mean(1) if mask[y, x] and similar.any() else 1
        np.testing.assert_allclose(found[:, y, x], wanted, rtol=1e-5)
    assert alone and known.any()


def test_light_is_asked_for_by_every_other_sample():
    """Of four samples in a pixel two cast rays for light; pictures of one sample a pixel ask for all."""
    for samples, share in ((1, 1.0), (2, 0.5), (3, 0.5)):
        sight = MeshPictures(ball()).seen_from(size=48, samples=samples)
        asked = np.zeros(sight.canvas, dtype=bool)
        asked.ravel()[sight.hit[sight._asked()]] = True
        assert asked.sum() == pytest.approx(share * len(sight.hit), rel=0.02)
        beside = np.pad(asked, 1)
        beside = beside[1:-1, 2:] | beside[1:-1, :-2] | beside[2:, 1:-1] | beside[:-2, 1:-1] | asked
        assert beside.ravel()[sight.hit].mean() > 0.99


def test_pictures_of_a_cloud_are_those_of_render_points():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((500, 3))
    points[3] = np.inf
    shown = PointPictures(points, radius=0.1)
    for view in ("front", "back", "top"):
        assert np.array_equal(shown.picture(view, size=64), render_points(points, view=view, size=64, radius=0.1))


def test_points_are_shaded_framed_and_sided():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((3000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[:5] = np.nan
    picture = render_points(points, size=96)
    assert clay(picture).sum() > 2000
    colours = np.where(points[:, :1] > 0.6, np.uint8([250, 20, 20]), np.uint8([120, 120, 120]))
    red = render_points(points, size=96, colours=colours, normals=points).astype(int)
    assert np.nonzero(red[..., 0] - red[..., 1] > 60)[1].mean() > 65
    assert render_points(np.zeros((1, 3)), size=32).shape == (32, 32, 3)
    assert not clay(render_points(np.empty((0, 3)), size=32)).any()


def test_spacing_is_the_gap_to_the_nearest():
    grid = np.stack(np.meshgrid(*3 * [np.arange(6) * 0.25]), axis=-1).reshape(-1, 3)
    assert spacing(grid) == pytest.approx(0.25) and spacing(grid[:1]) == 0


def test_error_colours_darken_steadily():
    shades = luminance(error_colours(np.linspace(0, 3, 50), 3.0))
    assert (np.diff(shades) < 0).all() and shades[0] - shades[-1] > 150
    assert np.array_equal(error_colours(np.array([-2.0])), error_colours(np.array([2.0])))
    assert np.array_equal(error_colours(np.array([99.0])), error_colours(np.array([3.0])))
    grey = error_colours(np.array([np.nan]))[0]
    assert grey[0] == grey[1] == grey[2] and grey[3] == 255
    sides = luminance(error_colours(np.linspace(-1, 1, 51), 1.0, signed=True))
    assert (np.diff(sides[:26]) > 0).all() and (np.diff(sides[25:]) < 0).all()
    blue, red = error_colours(np.array([-1.0, 1.0]), 1.0, signed=True)[:, [0, 2]].astype(int)
    assert blue[1] > blue[0] + 50 and red[0] > red[1] + 50
    legend = error_legend(400, 3.0)
    assert legend.shape[1] == 400 and luminance(legend).min() < 60


def test_contact_sheet_holds_every_picture():
    pictures = [np.full((40, 60, 3), 10 * i, np.uint8) for i in range(5)]
    sheet = contact_sheet(pictures, 3, [f"picture {i}" for i in range(5)], title="five", legend=error_legend(120))
    assert sheet.shape[1] > 180 and sheet.shape[0] > 80
    for i in range(5):
        assert (sheet == 10 * i).all(-1).sum() >= 0.9 * 2400
    one, two = (contact_sheet(pictures, 3, [label] * 5) for label in ("a", "a\nb"))
    assert two.shape[0] > one.shape[0] and two.shape[1] == one.shape[1]
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])


def test_png_is_whole_or_absent(tmp_path):
    picture = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
    write_png(picture, tmp_path / "deep" / "a.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "a.png")), picture)
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["a.png"]
    write_png(picture, tmp_path / "deep" / "a.png", colours=16)
    few = np.asarray(Image.open(tmp_path / "deep" / "a.png").convert("RGB")).astype(int)
    assert 8 <= len(np.unique(few.reshape(-1, 3), axis=0)) <= 16 and np.abs(few - picture).mean() < 12
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="taken"):
        write_png(picture, tmp_path / "taken")
    assert list((tmp_path / "taken").iterdir()) == [] and len(list(tmp_path.iterdir())) == 2
