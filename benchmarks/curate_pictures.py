"""Pictures of docs/curation.md: what every stage made of one scan of a benchmark's store, and its report in a browser.

    python benchmarks/curate_pictures.py evaluation/curate --person ict-dev-00001 --scan smirk_0 --out docs/images

The folder is one that `benchmarks/curate.py` filled. The report is photographed where chromium and playwright are.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree

from headfield.curate.outcomes import WORK
from headfield.curate.records import read_record
from headfield.curate.report import REPORT
from headfield.curate.stages import placement_of
from headfield.io.quantise import dequantise
from headfield.io.scan import read_scan
from headfield.io.store import Store
from headfield.surface.sheet import contact_sheet, error_colours, write_png
from headfield.surface.snapshot import camera_for, render, render_points, spacing
from headfield.types import Mesh

SIZE = 300
COLOURS = 160
SEEN, INVENTED = (224, 178, 146, 255), (110, 140, 200, 255)
ERROR_MM = 2.0


def stage_pictures(folder: Path, person: str, name: str) -> dict[str, np.ndarray]:
    """What the stages made of a scan, by label."""
    place = folder / "store" / WORK / person
    raw = read_scan(next((folder / "scans" / person).glob(f"{name}.*")))
    stage = {key: read_record(place / name, key).arrays() for key in ("landmarks", "align", "complete", "register")}
    fitted = read_record(place, "parametric").arrays()
    names = sorted(path.parent.name for path in place.glob("*/align.json"))
    which = ["neutral", *(other for other in names if other != "neutral")].index(name)
    to_model, posed, triangles = placement_of(fitted, which), fitted["posed"][which], fitted["triangles"]
    view = {"view": "three_quarter", "size": SIZE, "frame_on": posed}
    points = to_model.apply(raw.points)
    bounds = np.percentile(raw.points, [1, 99], axis=0)
    done = stage["complete"]
    mesh = Mesh(done["vertices"].astype(float), done["triangles"].astype(np.int64))
    colours = np.where(done["seen"][:, None], SEEN, INVENTED).astype(np.uint8)
    vertices = stage["register"]["vertices"]
    gap = cKDTree(points).query(vertices)[0] * 250
    errors = error_colours(np.where(gap < 7, gap, np.nan), ERROR_MM)
    return {
        "as read: any pose and unit": render_points(
            raw.points, size=SIZE, radius=1.7 * spacing(raw.points), frame_on=bounds
        ),
        "landmarks": _marked(points, to_model.apply(stage["landmarks"]["points"]), posed),
        "aligned": render_points(placement_of(stage["align"]).apply(raw.points), radius=1.7 * spacing(points), **view),
        "parametric fit": render(Mesh(posed, triangles), occlusion_rays=4, **view),
        "completed (blue: not seen)": render(mesh, colours=colours, occlusion_rays=4, **(view | {"view": (125, 8)})),
        f"registered (0 to {ERROR_MM:g} mm from the scan)": render(
            Mesh(vertices, triangles), colours=errors, occlusion_rays=0, **view
        ),
        "the template's triangles": _wire(Mesh(vertices, triangles), view),
        "samples: inside red, outside blue": _samples(folder / "store", person, view),
    }


def _marked(points: np.ndarray, marks: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The scan from the front with its landmarks."""
    picture = Image.fromarray(render_points(points, size=SIZE, radius=1.7 * spacing(points), frame_on=frame))
    camera, draw = camera_for(frame, "front"), ImageDraw.Draw(picture)
    seen = (marks - camera.origin) @ camera.axes.T
    flat = (seen[:, :2] / -seen[:, 2:] - camera.shift) / camera.slope * [SIZE / 2, -SIZE / 2] + SIZE / 2
    for x, y in flat[np.isfinite(flat).all(1)]:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(20, 90, 200))
    return np.asarray(picture)


def _wire(mesh: Mesh, view: dict) -> np.ndarray:
    """Neighbouring triangles in different shades, so that the layout of the template shows."""
    shade = np.random.default_rng(0).integers(140, 235, len(mesh.triangles))
    colours = np.stack([shade, shade, shade, np.full(len(shade), 255)], axis=1).astype(np.uint8)
    return render(mesh, colours=colours, occlusion_rays=4, **view)


def _samples(store: Path, person: str, view: dict) -> np.ndarray:
    """A slice of the signed samples about the mid-plane, from the side."""
    opened = Store(store)
    arrays = opened.open(next(record for record in opened.records if record.id == person))
    points, sdf = dequantise(arrays["samples"][-1], opened.box), arrays["sdf"][-1].astype(float)
    surface = dequantise(arrays["points"][-1], opened.box)
    near, flat = np.abs(points[:, 0]) < 0.12, np.abs(surface[:, 0]) < 0.02
    strength = np.clip(np.abs(sdf[near]) / 0.1, 0.25, 1)[:, None]
    hue = np.where(sdf[near][:, None] < 0, [200, 60, 50], [60, 110, 200])
    colours = np.concatenate([255 - strength * (255 - hue), np.tile([[60.0, 55, 50]], (flat.sum(), 1))])
    places = np.concatenate([points[near], surface[flat]])
    return render_points(
        places, colours=colours.astype(np.uint8), normals=np.tile([[1.0, 0, 0]], (len(places), 1)), radius=0.006,
        **(view | {"view": "left"}),
    )  # fmt: skip


def photograph(page: Path, picture: Path) -> None:
    """The top of a page as a browser shows it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page(viewport={"width": 1180, "height": 1500})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=str(picture), full_page=False)
        browser.close()
    write_png(np.asarray(Image.open(picture).convert("RGB")), picture, COLOURS)


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--person", default="ict-dev-00001")
    parser.add_argument("--scan", default="smirk_0")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    pictures = stage_pictures(args.folder, args.person, args.scan)
    write_png(contact_sheet(list(pictures.values()), 4, list(pictures)), args.out / "curation_stages.png", COLOURS)
    photograph(args.folder / "store" / REPORT, args.out / "curation_report.png")


if __name__ == "__main__":
    main()
