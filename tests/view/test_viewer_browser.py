"""The viewer in a real browser: load, fit, edit, animate, undo, export, and what goes wrong."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

pytest.importorskip("viser", reason="the extra `view` is not installed: pip install 'headfield[view]'")

from headfield.cli import main
from headfield.edit.record import SavedHead
from headfield.frames import REGIONS, anchor_indices
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.models.release import write
from headfield.surface.head import Head
from headfield.surface.mouth_parts import MATERIALS
from headfield.types import ARKIT
from headfield.view.app import Viewer
from headfield.view.opening import mean_head
from headfield.view.shading import MODES, NEEDED

SCAN = Path(__file__).parents[2] / "examples" / "data" / "scan.ply"
NAME = "imhead-open-small"

PARTS = ["{:02x}{:02x}{:02x}".format(*material.colour) for material in MATERIALS.values()]
"""Colours of the mouth parts, which are no head."""

FIND = f"""(() => {{
  let found = null;
  __viserMutable.scene.traverseVisible(x => {{
    if (x.isMesh && x.material.type == 'MeshStandardMaterial' && x.geometry.attributes.position.count > 300
        && !{PARTS}.includes(x.material.color.getHexString())) found = x;
  }});
  return found;
}})()"""

SHOWN = f"""() => {{
  const head = {FIND};
  return head && [Array.from(head.geometry.attributes.position.array), !!head.geometry.attributes.color];
}}"""

ON_SCREEN = f"""place => {{
  const camera = __viserMutable.camera, canvas = __viserMutable.canvas.getBoundingClientRect();
  const v = camera.position.clone().set(...place).applyMatrix4({FIND}.matrixWorld).project(camera);
  return [canvas.x + (v.x + 1) / 2 * canvas.width, canvas.y + (1 - v.y) / 2 * canvas.height];
}}"""


SPARINGLY = """
  const frame = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = f => setTimeout(() => frame(f), 60);
  for (const name of ["drawElements", "drawArrays", "drawElementsInstanced", "drawArraysInstanced"]) {
    const draw = WebGL2RenderingContext.prototype[name];
    WebGL2RenderingContext.prototype[name] = function (...all) { if (window.drawing) draw.apply(this, all); };
  }
"""
"""The page draws all the time, which without a graphics card takes the cores from the viewer. The tests look at its
scene, so nothing is drawn unless a test asks for a picture with ``drawing``."""


class Tab:
    """A tab of the viewer: what it shows, and hands on its widgets."""

    def __init__(self, browser, viewer: Viewer) -> None:
        self.viewer, self.page = viewer, browser.new_page(viewport={"width": 860, "height": 480})
        self.requests, self.messages, self.heard = [], [], {}
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket_: self.requests.append(socket_.url))
        self.page.on("console", lambda m: m.type == "error" and self.messages.append(m.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.set_default_timeout(180_000)
        self.page.add_init_script(SPARINGLY)
        self.page.goto(viewer.url)
        self.page.get_by_role("tab", name="Head").wait_for(timeout=180_000)

    def vertices(self) -> np.ndarray | None:
        found = self.page.evaluate(SHOWN)
        return None if found is None else np.array(found[0], dtype=np.float32).reshape(-1, 3)

    def coloured(self) -> bool:
        found = self.page.evaluate(SHOWN)
        return found is not None and found[1]

    def settled(self, seconds: float = 240) -> np.ndarray:
        """Wait until everything is made, and the tab has it; returns the vertices that it shows."""
        assert self.viewer.wait(seconds)
        wanted = np.asarray(self.viewer.screen.canvas.mesh.vertices, dtype=np.float32)

        def same() -> bool:
            found = self.vertices()
            return found is not None and found.shape == wanted.shape and np.array_equal(found, wanted)

        eventually(same)
        return wanted

    def comes_to_show(self, wanted: np.ndarray) -> None:
        """Wait until the tab shows just these vertices."""
        eventually(lambda: (found := self.vertices()) is not None and np.array_equal(found, wanted), 60)

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click(force=True)  # else it waits for a machine at rest
        self.page.get_by_role("tab", name=name, exact=True, selected=True).wait_for()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).first.click(force=True)

    def slide(self, name: str, key: str, times: int = 1) -> None:
        self.widget(name).locator("[role=slider]").focus()
        for _ in range(times):
            self.page.keyboard.press(key)

    def widget(self, name: str):
        label = self.page.get_by_text(name, exact=True).and_(self.page.locator("label")).first
        return self.page.locator(f"[id='{label.get_attribute('for')}']")

    def choose(self, name: str, option: str) -> None:
        """Choose from a list; again, as a person would, where the list was drawn anew under the click."""
        widget = next(item for item in vars(self.viewer.panels).values() if getattr(item, "label", None) == name)
        if widget.value == option:
            return
        if name not in self.heard:
            self.heard[name] = 0
            widget.on_update(lambda event: self.hear(name))
        before, wanted = self.heard[name], self.page.get_by_role("option", name=option, exact=True)
        for _ in range(8):
            if not wanted.is_visible():
                self.widget(name).click(force=True)
            # not at a place on the screen, which a list that still opens may have left
            wanted.dispatch_event("click")
            for _ in range(50):
                if self.heard[name] > before:
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError(f"the viewer never heard that {option} was chosen")

    def hear(self, name: str) -> None:
        """The viewer was told by the page that something else was chosen from a list."""
        self.heard[name] += 1

    def check(self, name: str) -> None:
        self.widget(name).click(force=True)

    def upload(self, path: Path | dict) -> None:
        """Give a file to the first upload button of the open tab."""
        for place in self.page.locator("input[type=file]").all():
            if place.locator("xpath=..").is_visible():
                return place.set_input_files(path)
        raise AssertionError("this tab takes no files")

    def told(self, *texts: str) -> str:
        """Wait for a notification with these texts in it; returns all of it."""
        note = self.page.locator("[role=alert]")
        for text in texts:
            note = note.filter(has_text=text)
        note.first.wait_for(timeout=180_000)
        return note.first.inner_text()


def eventually(true, seconds: float = 240) -> None:
    until = time.perf_counter() + seconds
    while not true():
        assert time.perf_counter() < until, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def viewer(model):
    viewer = Viewer(mean_head(model, NAME), port=0, resolution=64, coarse=32, bake_vertices=700)
    viewer.session.clock = lambda: 0.0  # a slow machine's key presses are still one drag
    yield viewer
    viewer.close()


@pytest.fixture(scope="module")
def tab(browser, viewer):
    tab = Tab(browser, viewer)
    tab.settled()
    for note in tab.page.locator("[role=alert] button").all():  # the page's remark that it draws in software
        note.click(force=True)
    yield tab
    tab.page.close()
    origin, path = viewer.url.split("/")[2:4]
    own = (viewer.url, f"ws://{origin}/{path}", f"blob:http://{origin}/", "data:")
    assert all(url.startswith(own) for url in tab.requests), tab.requests
    assert tab.messages == []


@pytest.fixture(autouse=True)
def _fresh(request):
    """Every test begins with the mean head and the Head tab."""
    if "tab" in request.fixturenames:
        viewer, tab = request.getfixturevalue("viewer"), request.getfixturevalue("tab")
        viewer.open(mean_head(viewer.session.opened.head.model, NAME))
        viewer.panels.tint.value = False
        viewer.screen.tint(None)
        tab.tab("Head")
        tab.settled()


# ---- editing -------------------------------------------------------------------------------------------------------


def test_a_slider_previews_refines_and_is_undone(tab, viewer):
    begin = tab.settled()
    viewer.screen.pictures.seconds.clear()
    tab.slide("Nose length", "ArrowRight", 8)
    eventually(lambda: viewer.session.now.sliders[6] == pytest.approx(0.8))
    longer = tab.settled()
    assert {"preview", "fine"} <= set(viewer.screen.pictures.seconds)
    assert longer.shape != begin.shape or np.abs(longer - begin).max() > 0.002
    tab.press("Undo: Nose length")
    tab.comes_to_show(begin)
    assert viewer.panels.sliders[6].value == 0
    tab.press("Redo: Nose length")
    tab.comes_to_show(longer)
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("Control+z")
    tab.comes_to_show(begin)


def test_a_click_on_the_head_picks_a_region_and_edits_stay_inside_it(tab, viewer):
    begin = tab.settled()
    anchors = viewer.session.head().anchors()
    tip = anchors[anchor_indices(["nose_tip"])[0]]
    for _ in range(10):  # on a busy machine the page may miss a click, as a person would notice
        x, y = tab.page.evaluate(ON_SCREEN, tip.tolist())
        tab.page.mouse.move(x - 40, y)
        tab.page.mouse.move(x, y, steps=4)
        tab.page.wait_for_timeout(200)
        tab.page.mouse.click(x, y, delay=150)
        tab.page.wait_for_timeout(1500)
        if viewer.panels.tint.value:
            break
    assert viewer.panels.picked == "nose" and viewer.panels.tint.value
    eventually(tab.coloured)
    tab.tab("Region")
    tab.press("Sample")
    eventually(lambda: len(viewer.session.now.edits) == 1)
    viewer.screen.tint(None)
    sampled = tab.settled()
    assert viewer.session.now.edits[0].regions == ("nose",)
    near = np.linalg.norm(begin[:, None] - anchors[anchor_indices(REGIONS["nose"])], axis=2).min(1)
    untouched = begin[near > 0.4]  # the weights of the nose's parts are zero long before 100 mm
    assert len(untouched) > 1000 and set(map(tuple, untouched)) <= set(map(tuple, sampled))
    assert len(set(map(tuple, begin[near < 0.1])) - set(map(tuple, sampled))) > 20
    tab.slide("Strength", "ArrowLeft", 20)
    eventually(lambda: viewer.session.strength_of("nose") == pytest.approx(0))
    tab.comes_to_show(begin)
    tab.press("Undo")
    tab.comes_to_show(sampled)


def test_a_region_comes_from_a_second_head(tab, viewer):
    begin = tab.settled()
    tab.tab("Region")
    tab.choose("Region", "mouth")
    tab.press("Random other head")
    told = tab.told("is ready")
    assert "random head" in told
    tab.press("Take it from random head")
    eventually(lambda: len(viewer.session.now.edits) == 1)
    assert viewer.session.now.edits[0].operation["do"] == "swap"
    assert not np.array_equal(tab.settled(), begin)
    tab.press("Reset region")
    tab.comes_to_show(begin)


def test_before_and_after(tab, viewer):
    begin = tab.settled()
    tab.slide("Head width", "ArrowRight", 5)
    eventually(lambda: viewer.session.now.sliders[0] == pytest.approx(0.5))
    after = tab.settled()
    tab.check("Show before")
    eventually(lambda: viewer.screen.before)
    tab.comes_to_show(begin)
    tab.page.evaluate("document.activeElement.blur()")  # keys that are typed into a widget are the widget's
    tab.page.keyboard.press("b")
    eventually(lambda: not viewer.screen.before)
    tab.comes_to_show(after)


def test_every_shading_mode_shows(tab, viewer):
    tab.tab("View")
    for mode in MODES[1:]:
        if mode in NEEDED:
            continue
        tab.choose("Shading", mode)
        eventually(lambda wanted=mode: viewer.screen.mode == wanted)
        eventually(tab.coloured)
        tab.settled()
    tab.choose("Shading", "Scan colours")
    assert "come from a fitted one" in tab.told("no scan with colours")
    tab.choose("Shading", "Fit error")
    assert "needs a fitted scan" in tab.told("no scan:")
    eventually(lambda: viewer.panels.mode.value == viewer.screen.mode == "Change")
    tab.choose("Shading", "Surface")
    eventually(lambda: not tab.coloured())


# ---- expressions ---------------------------------------------------------------------------------------------------


def test_expressions_move_the_face_and_takes_play_on_the_baked_head(tab, viewer):
    begin = tab.settled()
    tab.tab("Face")
    tab.choose("Expression", "smile")
    eventually(lambda: viewer.session.now.label == "smile")
    smile = tab.settled()
    assert viewer.session.now.expression[ARKIT.index("mouthSmileLeft")] == pytest.approx(0.85)
    assert not np.array_equal(smile, begin)
    tab.slide("smile left", "Home")
    eventually(lambda: viewer.session.now.expression[ARKIT.index("mouthSmileLeft")] == 0)
    tab.settled()

    tab.press("Play")
    eventually(lambda: viewer.animation.player.playing, 90)
    frames = []
    eventually(lambda: (found := tab.vertices()) is not None and 300 < len(found) < 1500)
    for _ in range(4):
        frames.append(tab.vertices())
        time.sleep(0.4)
    assert len({frame.tobytes() for frame in frames}) >= 2
    tab.press("Stop")
    eventually(lambda: not viewer.animation.player.playing)
    tab.settled()
    viewer.screen.pictures.seconds.clear()
    tab.slide("smile right", "End")  # now the preview is the baked mesh
    eventually(lambda: viewer.session.now.expression[ARKIT.index("mouthSmileRight")] == 1)
    tab.settled()
    assert {"preview", "fine"} <= set(viewer.screen.pictures.seconds)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_exports_are_opened_by_the_command_line(tab, viewer, tmp_path, monkeypatch):
    tab.tab("Region")
    tab.choose("Region", "chin")
    tab.press("Symmetrise")
    eventually(lambda: len(viewer.session.now.edits) == 1)
    tab.settled()
    tab.tab("Export")
    files = {}
    for what in ("Head with history (NPZ)", "PLY mesh"):
        tab.choose("Format", what)
        with tab.page.expect_download() as waiting:
            tab.press("Export")
        files[what] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(files[what])
    saved = SavedHead.load(files["Head with history (NPZ)"])
    assert [operation["do"] for operation in saved.history] == ["symmetrise"]
    assert torch.equal(saved.replay().head.codes.parts, saved.head.codes.parts)
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(files["Head with history (NPZ)"]), "-o", "again.ply", "--resolution", "64"]) == 0
    again, mesh = trimesh.load("again.ply"), trimesh.load(files["PLY mesh"])
    assert np.abs(again.vertices - mesh.vertices).max() < 1e-6
    assert np.allclose(mesh.vertices, 0.25 * np.asarray(viewer.screen.canvas.mesh.vertices), atol=1e-6)  # metres

    tab.tab("View")
    tab.page.evaluate("window.drawing = true")
    with tab.page.expect_download() as waiting:
        tab.press("Snapshot")
    tab.page.evaluate("window.drawing = false")
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(Path(waiting.value.path()).read_bytes())))
    assert min(picture.shape[:2]) > 100 and picture[..., :3].std() > 10


def test_a_scan_is_fitted_with_a_progress_bar_and_goes_on_when_its_tab_is_closed(browser, viewer, tab, light_fits):
    second = Tab(browser, viewer)
    first_head = second.settled()
    assert np.array_equal(first_head, tab.vertices())
    second.upload(SCAN)
    tab.page.get_by_role("progressbar").wait_for(timeout=180_000)
    second.page.close()
    eventually(lambda: viewer.session.fit is not None, 120)
    assert viewer.session.opened.name == "scan.ply" and viewer.session.fit.errors["inliers"] > 0.9
    tab.settled()
    assert "scan.ply" in tab.page.locator("body").inner_text()
    tab.tab("View")
    tab.choose("Shading", "Fit error")
    eventually(lambda: viewer.screen.mode == "Fit error")
    eventually(tab.coloured)
    tab.check("Show the scan")
    tab.choose("Shading", "Surface")
    eventually(lambda: viewer.screen.mode == "Surface")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scan.ply", b"ply\nthis is none", "Not a usable file"),
        ("holiday.jpg", b"\xff\xd8\xff", "not a scan that can be read"),
        ("head.npz", b"PK\x03\x04 broken", "head.npz"),
        ("empty.obj", b"", "empty.obj"),
    ],
)
def test_what_is_no_scan_is_refused_with_its_name(tab, viewer, name, content, said):
    before = viewer.session.opened
    tab.upload({"name": name, "mimeType": "application/octet-stream", "buffer": content})
    told = tab.told(name, "Not a usable file")
    assert said in told and "/" not in told.split("Give ")[0]
    assert viewer.session.opened is before and viewer.wait(10)


def test_a_dropped_file_is_opened_as_well(tab, viewer):
    tab.page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File(['nothing'], 'dropped.txt'));
      dispatchEvent(new DragEvent('drop', { dataTransfer: data, cancelable: true }));
    }""")
    assert "dropped.txt: not a scan that can be read" in tab.told("dropped.txt", "Not a usable file")


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(tab, viewer):
    from viser import _messages

    gui = viewer.server.gui
    start = _messages.FileTransferStartUpload(
        source_component_uuid=viewer.panels.upload._impl.uuid, transfer_uuid="big", filename="huge.ply",
        mime_type="", part_count=1000, size_bytes=500_000_000,
    )  # fmt: skip
    part = _messages.FileTransferPart(
        source_component_uuid=start.source_component_uuid, transfer_uuid="big", part_index=0, content=b"x" * 500_000
    )
    for message in (start, part):
        for handler in gui._websock_interface._incoming_handlers[type(message)]:
            handler(0, message)
    assert "500 MB" in tab.told("huge.ply")
    assert not gui._current_file_upload_states


def test_a_head_of_another_model_is_refused_with_both_names(tab, viewer, tmp_path):
    torch.manual_seed(0)
    other = ImHead(imhead_tiny()).eval()
    write(tmp_path / "tiny", other, "a card")
    path = SavedHead(Head(other, other.mean_codes()), str(tmp_path / "tiny")).save(tmp_path / "stranger.npz")
    tab.tab("Region")
    tab.upload(path)
    told = tab.told("different models")
    assert NAME in told and "tiny" in told and "stranger.npz" in told
    assert viewer.session.other is None or viewer.session.other.head.model is viewer.session.opened.head.model


# ---- the session ---------------------------------------------------------------------------------------------------


def test_a_second_tab_shows_and_edits_the_same_head(browser, viewer, tab):
    second = Tab(browser, viewer)
    second.settled()
    second.slide("Jaw width", "ArrowRight", 3)
    eventually(lambda: viewer.session.now.sliders[3] == pytest.approx(0.3))
    assert np.array_equal(second.settled(), tab.settled())
    second.page.close()
    eventually(lambda: tab.page.get_by_role("button", name="Undo: Jaw width").count() == 1)
    tab.press("Undo: Jaw width")
    eventually(lambda: viewer.session.now.sliders[3] == 0)


def test_the_command_takes_the_next_port_and_ends_with_control_c(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "headfield.cli", "view", "--no-browser", "--resolution", "64"]
        process = subprocess.Popen(
            [*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, env=os.environ, start_new_session=True,
            # runners that work side by side ignore Ctrl-C, and what they start would inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        try:
            line = process.stdout.readline()
            assert "Viewer at http://127.0.0.1:" in line and f"port {port} is in use" in line
            assert f":{port}/" not in line and len(line.split("/")[3]) >= 32  # the token
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=180)
        finally:
            process.kill()
    assert process.returncode == 0 and "Traceback" not in err and "viser" not in out + err, (out, err)
    with pytest.raises(ProcessLookupError):  # nothing of its process group is left
        os.killpg(process.pid, 0)
    assert list(tmp_path.iterdir()) == []


def test_without_viser_the_command_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "viser", None)
    assert main(["view", "--no-browser"]) == 2
    assert "pip install 'headfield[view]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "203.0.113.7"], "cannot listen there"), (["--port", "70000"], "--port"),
        (["nothing.ply"], "no such file"), (["--resolution", "3"], "esolution"),
    ],
)  # fmt: skip
def test_bad_words_on_the_command_line(words, said, capsys):
    assert main(["view", "--no-browser", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error
