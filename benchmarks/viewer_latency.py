"""How long a browser waits for the viewer: from a key on a slider to the new vertices on its graphics card.

    python benchmarks/viewer_latency.py
    python benchmarks/viewer_latency.py --screenshot docs/images/viewer.png

A real browser (playwright's or the system's Chromium, without a window) shows the viewer; keys move its sliders. The
page's own clock runs from the key to the call that hands the vertices to WebGL. Printed are medians, and the largest,
for the first preview and for the real surfaces at 128 and 256 samples that follow once the slider rests (a quarter of
a second, included). Where there is no graphics card the browser draws in software, on the processor that it shares with
the viewer, a second and more for each frame: so what a card would draw is left out, unless --draw asks for it.
"""

from __future__ import annotations

import io
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from headfield.models.release import load
from headfield.surface.sheet import write_png
from headfield.view.app import Viewer
from headfield.view.opening import mean_head, open_path
from headfield.view.pictures import MIDDLE

NAME = "imhead-open-small"
FLAGS = (
    "--no-sandbox --disable-gpu --use-gl=swiftshader --enable-unsafe-swiftshader --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()

CLOCK = """
window.uploads = []; window.pressed = 0;
addEventListener('keydown', () => { uploads.length = 0; pressed = performance.now(); }, true);
for (const name of ['bufferData', 'bufferSubData']) {
  const real = WebGL2RenderingContext.prototype[name];
  WebGL2RenderingContext.prototype[name] = function (...given) {
    const result = real.apply(this, given);
    const data = given[name == 'bufferData' ? 1 : 2];
    if (data instanceof Float32Array) uploads.push([performance.now() - pressed, data.length / 3]);
    return result;
  };
}
"""

UNDRAWN = """
for (const name of ['drawElements', 'drawArrays', 'drawElementsInstanced', 'drawArraysInstanced'])
  WebGL2RenderingContext.prototype[name] = () => {};
"""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    repeats: int = 7
    """Moves of each slider."""
    resolution: int = 256
    """Of the finest picture."""
    bake_vertices: int = 20_000
    """Of the baked head; 0 leaves it out."""
    draw: bool = False
    """Let the browser draw, too: as a user without a graphics card waits."""
    screenshot: Path | None = None
    """Only take a picture of the viewer, with the example scan, and write it here."""
    scan: Path = Path(__file__).parents[1] / "examples" / "data" / "scan.ply"
    """Scan for the picture."""


@dataclass(frozen=True)
class Waited:
    """Seconds from a key to vertices in the browser."""

    preview: float
    middle: float
    fine: float


class Page:
    """A browser's page of a viewer."""

    def __init__(self, browser, viewer: Viewer, width: int = 1280, height: int = 800, draw: bool = True) -> None:
        self.viewer = viewer
        self.page = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
        self.page.add_init_script(CLOCK if draw else CLOCK + UNDRAWN)
        self.page.goto(viewer.url)
        self.page.get_by_role("tab", name="Head").wait_for(timeout=60_000)
        self.calm()

    def calm(self) -> None:
        """Wait until everything is made and drawn."""
        if not self.viewer.wait(300):
            raise SystemExit("the viewer does not come to rest")
        self.page.wait_for_timeout(1000)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab).click()
        self.page.wait_for_timeout(300)

    def press(self, label: str, key: str) -> Waited:
        """Press a key on a slider, and wait for all that it brings."""
        found = self.page.get_by_text(label, exact=True).and_(self.page.locator("label")).first
        thumb = self.page.locator(f"[id='{found.get_attribute('for')}'] [role=slider]")
        thumb.focus()
        self.page.keyboard.press(key)
        self.page.wait_for_timeout(100)
        self.calm()
        uploads = self.page.evaluate("uploads")
        fine = len(self.viewer.screen.canvas.mesh.vertices)
        middle = len(self.viewer.screen.pictures._carried.mesh.vertices)
        first = min(when for when, count in uploads if count > 1000)
        return Waited(
            first / 1e3,
            min((when for when, count in uploads if count == middle and when > first + 100), default=np.nan) / 1e3,
            min((when for when, count in uploads if count == fine and when > first + 100), default=np.nan) / 1e3,
        )


def main(options: Options) -> None:
    """Print the table, or take the picture."""
    from playwright.sync_api import sync_playwright

    model = load(NAME)
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        if options.screenshot is not None:
            picture(browser, model, options)
        else:
            measure(browser, model, options)
        browser.close()


def measure(browser, model, options: Options) -> None:
    """Move sliders and print how long the browser waited."""
    viewer = Viewer(mean_head(model, NAME), port=0, resolution=options.resolution, bake_vertices=options.bake_vertices)
    page = Page(browser, viewer, draw=options.draw)
    print(f"seconds from a key to vertices in the browser, median (largest) of {options.repeats}")
    print(f"{'slider':<34}{'preview':>14}{f'real {MIDDLE}':>16}{f'real {options.resolution}':>16}")

    def row(what: str, label: str) -> None:
        page.press(label, "ArrowRight")  # the first one warms up
        found = [page.press(label, "ArrowRight") for _ in range(options.repeats)]
        cells = []
        for name in ("preview", "middle", "fine"):
            values = np.array([getattr(one, name) for one in found])
            cells.append(f"{np.median(values):.2f} ({values.max():.2f})")
        print(f"{what:<34}{cells[0]:>14}{cells[1]:>16}{cells[2]:>16}", flush=True)

    row("identity (nose length)", "Nose length")
    viewer.edits.reset_sliders()
    page.open("Face")
    row("expression (jaw open), carried", "open")
    if options.bake_vertices:
        begin = time.perf_counter()
        viewer.animation.baked(viewer.session.now)
        print(f"(baked {options.bake_vertices:,} vertices in {time.perf_counter() - begin:.0f} s)", flush=True)
        row("expression (jaw open), baked", "open")
    viewer.edits.preset("neutral")
    page.open("Region")
    begin = time.perf_counter()
    viewer.edits.sample("nose", 1.5)
    page.calm()
    print(f"(a nose drawn, worked out and shown in {time.perf_counter() - begin - 1:.1f} s)", flush=True)
    viewer.edits.strength("nose", 0.5)
    page.calm()
    row("region (strength of a drawn nose)", "Strength")
    page.page.close()
    viewer.close()


def picture(browser, model, options: Options) -> None:
    """The viewer with a fitted scan and a region picked."""
    from PIL import Image

    opened, fit = open_path(options.scan, model, NAME)
    viewer = Viewer(opened, fit, port=0, resolution=options.resolution)
    page = Page(browser, viewer, 1360, 820)
    for note in page.page.locator("[role=alert] button").all():  # the browser's remark about drawing in software
        note.click()
    page.open("Region")
    viewer.panels.pick("nose")
    page.calm()
    shot = np.asarray(Image.open(io.BytesIO(page.page.screenshot())).convert("RGB"))
    write_png(shot, options.screenshot, 160)
    print(f"{options.screenshot}: {options.screenshot.stat().st_size / 1e3:.0f} kB")
    page.page.close()
    viewer.close()


if __name__ == "__main__":
    main(tyro.cli(Options))
