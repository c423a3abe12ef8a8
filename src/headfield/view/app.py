"""The viewer: one head in a browser, shared by all its tabs. Wiring only; what it does is in the modules beside it.

Every tab of one viewer shows and edits the same session, and a tab that is closed ends nothing: a fit goes on, and the
page finds everything as it was when it is opened again. Callbacks only change the session and ask for a picture; one
thread makes the newest picture, another does long jobs one after the other. Errors become notifications.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from headfield.edit.presets import PRESETS, preset, preset_loop
from headfield.edit.record import SavedHead
from headfield.edit.tracks import read_track, resample
from headfield.errors import ConfigError, HeadfieldError, ScanError, need
from headfield.frames import REGIONS, UNITS_IN_METRES, anchor_indices, length_text
from headfield.models.head import Head
from headfield.surface.bake import Baked, bake
from headfield.types import ARKIT, Codes, Mesh
from headfield.view import shading
from headfield.view.canvas import Canvas, yaw_and_pitch
from headfield.view.downloads import file_of
from headfield.view.opening import MOST_BYTES, open_path
from headfield.view.panels import LOOP, Panels
from headfield.view.pictures import Pictures, shape_of
from headfield.view.player import Player
from headfield.view.state import Session
from headfield.view.uploads import limit_uploads
from headfield.view.worker import Newest, Stale, Tasks

_STAGES = {"read": "Reading the scan", "align": "Finding the head", "solve": "Fitting"}


class Viewer:
    """A running viewer."""

    def __init__(
        self, opened: SavedHead, fit=None, *, host: str = "127.0.0.1", port: int = 8080, resolution: int = 256,
        bake_vertices: int = 20_000, coarse: int = 64,
    ) -> None:  # fmt: skip
        """Start serving.

        Args:
            opened: The head to begin with.
            fit: The fit it came from, if any.
            host: Address to listen on; 127.0.0.1 is this machine only.
            port: The next free one from here on is taken; 0 takes any.
            resolution: Of the finest picture, and of exported meshes.
            bake_vertices: Vertices of the head when it is played.
            coarse: Resolution of the very first picture.
        Raises:
            MissingExtra: viser is not installed.
        """
        viser = need("viser", "view", "The viewer")
        self.session = Session(opened, fit)
        self.resolution, self.bake_vertices = resolution, bake_vertices
        self._lock = threading.RLock()
        self._stop_asked = threading.Event()
        self.server = viser.ViserServer(host=host, port=port, label="headfield", verbose=False)
        self.canvas = Canvas(self.server, self._clicked)
        self.pictures = Pictures(self.session, self._show, coarse)
        self._painter = Newest(self._failed, "headfield-pictures")
        self._tasks = Tasks(self._failed, "headfield-tasks")
        self.player = Player(self.canvas)
        self._takes: dict[str, object] = {LOOP: None}
        self._head: Head | None = None
        self._before = False
        self.panels = Panels(self, self.server, dead_channels(opened.head.model))
        limit_uploads(self.server, MOST_BYTES, lambda name, size: self.say(
            f"{name} is too large", f"{size / 1e6:,.0f} MB; the browser sends up to {MOST_BYTES / 1e6:.0f} MB. Open it "
            "from the command line instead: headfield view FILE."))  # fmt: skip
        self._opened()

    @property
    def url(self) -> str:
        """Where to point a browser."""
        host = self.server.get_host()
        return f"http://{'127.0.0.1' if host in ('0.0.0.0', '') else host}:{self.server.get_port()}"

    def close(self) -> None:
        """Stop everything; a second call does nothing."""
        self._stop_asked.set()
        self.player.stop()
        self._tasks.close()
        self._painter.close()
        self.server.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is being computed; returns whether that is so."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            if self._tasks.waiting() == 0 and self._painter.wait(0.05) and self._tasks.waiting() == 0:
                return True
            time.sleep(0.02)
        return False

    # ---- pictures ----------------------------------------------------------------------------------------------------

    def _picture(self, rest: bool = True) -> None:
        asked = time.perf_counter()
        with self._lock:
            moment = self.session.before if self._before else self.session.now
            resolution = self.resolution
        self._painter.put(lambda stop: self.pictures.picture(moment, resolution, stop, asked, rest))

    def _show(self, mesh: Mesh, head: Head, kind: str) -> None:
        self._head = head
        if not self.player.playing:
            self.canvas.show(mesh, self._colours(mesh, head, kind))

    def _colours(self, mesh: Mesh, head: Head, kind: str = "fine") -> np.ndarray | None:
        mode = self.panels.mode.value
        vertices = np.asarray(mesh.vertices)
        if mode == "Normals":
            from headfield.surface.topology import vertex_normals

            stale = kind == "preview" or mesh.normals is None
            return shading.of_normals(vertex_normals(vertices, mesh.triangles) if stale else mesh.normals)
        if mode == "Regions":
            return shading.of_regions(vertices, head.anchors())
        if mode == "Fit error" and self.session.fit is not None:
            return shading.of_fit(vertices, self.session.fit)
        if mode == "Change":
            return shading.of_change(vertices, self.session.head(self.session.before), self.session.opened.mm_per_unit)
        if self.panels.tint.value and self.panels.picked is not None:
            return shading.picked(vertices, head.anchors(), self.panels.picked, head.model.config.sigma)
        return None

    def recolour(self) -> None:
        """Show the mesh on screen with other colours."""
        mode = self.panels.mode.value
        self.panels.show_legend(mode)
        if mode == "Fit error" and self.session.fit is None:
            raise ConfigError("There is no scan: the error map needs a fitted scan. Open one in the Head tab.")
        mesh, head = self.canvas.mesh, self._head
        if mesh is not None and head is not None:
            self.canvas.show(mesh, self._colours(mesh, head))

    def _changed(self, rest: bool = True) -> None:
        """The session changed: show it, and what can be undone."""
        self.player.stop()
        if self._before:
            self._before = False
            self.panels.before.value = False
        self.panels.refresh(self.session)
        self._picture(rest)

    def _opened(self) -> None:
        fit = self.session.fit
        self.pictures.forget()
        self.panels.facts.content = self._facts()
        self.panels.scan.visible = fit is not None
        self.panels.scan.value = False
        points = None if fit is None else fit.placement.apply(fit.scans[0].all_points)
        self.canvas.show_scan(points, visible=False)
        if fit is None and self.panels.mode.value == "Fit error":
            self.panels.mode.value = shading.MODES[0]
            self.panels.show_legend(shading.MODES[0])
        self._changed(rest=False)

    def _facts(self) -> str:
        opened, fit = self.session.opened, self.session.fit
        if fit is None:
            return f"<small>**{opened.name}**, model {opened.model_name}</small>"
        error = fit.errors
        size = float(np.ptp(fit.scans[0].all_points, axis=0).max()) * UNITS_IN_METRES.get(fit.units, 0.0)
        unit = f"{fit.units}, {length_text(size)} of scan" if size else "unknown unit"
        return (
            f"<small>**{opened.name}**: {unit}. Scan to head: median {error['scan_to_head_mm']['median']:.2f} mm, "
            f"p90 {error['scan_to_head_mm']['p90']:.2f} mm; {error['inliers']:.0%} within 5 mm.</small>"
        )

    # ---- what the panels call ----------------------------------------------------------------------------------------

    def guarded(self, act: Callable[[], object]) -> None:
        """Do something for the user; errors become notifications."""
        try:
            act()
        except Exception as error:
            self._failed(error)

    def slide(self, index: int, value: float) -> None:
        """Move an identity slider."""
        with self._lock:
            self.session.slide(index, value)
        self._changed()

    def reset_sliders(self) -> None:
        """All identity sliders to zero."""
        with self._lock:
            self.session.change("reset identity", sliders=(0.0,) * len(self.session.now.sliders))
        self._changed()

    def express(self, index: int, value: float) -> None:
        """Move an expression slider."""
        with self._lock:
            self.session.express({ARKIT[index]: value}, ARKIT[index], f"expression {index}")
        self._changed()

    def preset(self, name: str) -> None:
        """Take a named expression."""
        weights = preset(name) if name in PRESETS else np.zeros(len(ARKIT))
        with self._lock:
            self.session.express(weights, name)
        self._changed()

    def random_head(self) -> None:
        """Open a head drawn from the model."""
        self._open(self._drawn(), None)

    def random_other(self) -> None:
        """Draw the second head."""
        with self._lock:
            self.session.other = self._drawn()
        self.panels.refresh(self.session)
        self.say("Another head is ready", "Pick a region and press the button to take it from there.", "green")

    def _drawn(self) -> SavedHead:
        seed = random.randrange(10_000)
        opened = self.session.opened
        model = opened.head.model
        code = model.prior.draw(1, np.random.default_rng(seed), 0.9)
        return SavedHead(Head(model, Codes(torch.as_tensor(code))), opened.model_name, name=f"random head {seed}")

    def pick(self, region: str | None) -> None:
        """A region was picked."""
        self.panels.refresh(self.session)
        if self.panels.tint.value:
            self.recolour()

    def _clicked(self, place: np.ndarray) -> None:
        """The head was clicked: the region whose parts weigh most there is picked; the smaller one of equals."""
        head = self._head
        if head is None:
            return
        square = ((head.anchors() - place) ** 2).sum(1)
        weight = np.exp(-(square - square.min()) / head.model.config.sigma**2)
        score = {name: weight[anchor_indices(REGIONS[name])].sum() - 1e-3 * len(REGIONS[name]) for name in REGIONS}
        self.panels.pick(max(score, key=score.get))
        if not self.panels.tint.value and self.panels.mode.value == shading.MODES[0]:
            self.panels.tint.value = True
        self.guarded(lambda: (self.panels.refresh(self.session), self.recolour()))

    def sample(self) -> None:
        """Draw a new shape for the picked region."""
        self._edit(lambda: self.session.sample(self.panels.picked, self.panels.spread.value, random.randrange(10_000)))

    def swap(self) -> None:
        """Take the picked region from the second head."""
        self._edit(lambda: self.session.swap(self.panels.picked))

    def symmetrise(self) -> None:
        """Make the picked region, or the whole head, alike on both sides."""
        self._edit(lambda: self.session.symmetrise(self.panels.picked))

    def reset_region(self) -> None:
        """Take the picked region's edits back, or all."""
        self._edit(lambda: self.session.reset(self.panels.picked))

    def strength(self, value: float) -> None:
        """Set the strength of the picked region's last edit."""
        if self.panels.picked is not None:
            self._edit(lambda: self.session.strength(self.panels.picked, value))

    def _edit(self, act: Callable[[], object]) -> None:
        with self._lock:
            act()
        self._changed()

    def undo(self) -> None:
        """One step back."""
        with self._lock:
            self.session.undo()
        self._changed()

    def redo(self) -> None:
        """One step forward."""
        with self._lock:
            self.session.redo()
        self._changed()

    def show_before(self, before: bool) -> None:
        """Show the head as it was opened, or as it is."""
        self.player.stop()
        self._before = before
        self._picture()

    def set_resolution(self, resolution: int) -> None:
        """Another finest resolution."""
        self.resolution = resolution
        self._picture(rest=False)

    def front(self, event) -> None:
        """Turn the camera of the tab that asked back to the front."""
        if event.client is not None:
            Canvas.home(event.client.camera)

    def cancel(self) -> None:
        """Give up the long job that runs."""
        self._stop_asked.set()

    # ---- files -------------------------------------------------------------------------------------------------------

    def uploaded(self, event, file) -> None:
        """A scan or head came from the browser."""
        if event.client_id is not None:
            self._tasks.put(lambda: self._open_upload(file, self._open))

    def uploaded_second(self, event, file) -> None:
        """The head to swap with came from the browser."""

        def take(opened: SavedHead, fit) -> None:
            if opened.head.model is not self.session.opened.head.model:
                raise ConfigError(
                    f"heads of different models cannot be mixed: {self.session.opened.model_name!r} and "
                    f"{opened.model_name!r}. Fit both scans with the same --model."
                )
            with self._lock:
                self.session.other = opened
            self.panels.refresh(self.session)

        if event.client_id is not None:
            self._tasks.put(lambda: self._open_upload(file, take))

    def uploaded_track(self, event, file) -> None:
        """An expression track came from the browser."""
        if event.client_id is None:
            return

        def read() -> None:
            with _as_a_file(file) as path:
                track = read_track(path)
            self._takes[Path(file.name).name] = track
            self.panels.take.options = tuple(self._takes)
            self.panels.take.value = Path(file.name).name
            self.say(Path(file.name).name, f"{len(track)} frames, {track.seconds:.1f} s.", "green")

        self._tasks.put(read)

    def _open_upload(self, file, take: Callable) -> None:
        name = Path(file.name).name
        opened = self.session.opened

        def progress(stage: str, share: float) -> None:
            self._give_up_if_asked()
            self.panels.working(f"{_STAGES.get(stage, stage)}: {name}", share, stoppable=True)

        with self._long_job(f"Opening {name}"), _as_a_file(file) as path:
            take(*open_path(path, opened.head.model, opened.model_name, progress))

    def _open(self, opened: SavedHead, fit) -> None:
        with self._lock:
            other = self.session.other
            self.session.open(opened, fit)
            if other is not None and other.head.model is not opened.head.model:
                self.session.other = None
        self._opened()

    def export(self, event, what: str) -> None:
        """Make a file and hand it to the browser."""
        client = event.client
        if client is None:
            return

        def make() -> None:
            with self._long_job(f"Making {what}"):
                with self._lock:
                    moment = self.session.now
                saved = self.session.saved(moment)
                stem = Path(saved.name).stem.replace(" ", "_").replace("#", "_") or "head"
                name, content = file_of(what, saved, self.resolution, lambda: self._baked(moment), stem)
                client.send_file_download(name, content, save_immediately=True)
            self.say(name, f"{len(content) / 1e6:.1f} MB were handed to the browser.", "green")

        self._tasks.put(make)

    def snapshot(self, event) -> None:
        """A picture from where the browser looks, without its panels."""
        client, mesh, colours = event.client, self.canvas.mesh, self.canvas.colours
        if client is None or mesh is None:
            return

        def make() -> None:
            from io import BytesIO

            from PIL import Image

            from headfield.view.snapshot import render

            with self._long_job("Making a snapshot"):
                plain = Mesh(np.asarray(mesh.vertices), mesh.triangles)
                image = render(plain, view=yaw_and_pitch(client.camera), size=1024, colours=colours)
                buffer = BytesIO()
                Image.fromarray(image).save(buffer, "PNG")
                client.send_file_download("head.png", buffer.getvalue(), save_immediately=True)

        self._tasks.put(make)

    # ---- animation ---------------------------------------------------------------------------------------------------

    def play(self) -> None:
        """Play the chosen take, or stop; the head is baked first."""
        if self.player.playing:
            self.player.stop()
            self._picture(rest=False)
            return
        track = self._takes.get(self.panels.take.value)
        if track is None:
            loop = ("smile", "surprise", "anger", "blink", "open", "kiss")
            track = preset_loop(np.array([preset(name) for name in loop]), fps=20.0)

        def start() -> None:
            with self._long_job("Preparing the animation"):
                with self._lock:
                    moment = self.session.now
                baked = self._baked(moment)
            self.panels.play.label = "Stop"
            pivot = self.session.head(moment).neutral().pivot()
            self.player.play(baked, resample(track, 20.0), pivot, self._played)

        self._tasks.put(start)

    def _played(self) -> None:
        self.panels.play.label = "Play"

    def _baked(self, moment) -> Baked:
        known = self.pictures.baked
        if known is not None and known[0] == shape_of(moment):
            return known[1]

        def progress(share: float, what: str) -> None:
            self._give_up_if_asked()
            self.panels.working(f"Baking 52 shapes: {what}", share, stoppable=True)

        head = self.session.head(moment).neutral()
        detail = 256 if self.bake_vertices > 8000 else 128
        baked = bake(head.model, head.codes, vertices=self.bake_vertices, progress=progress, resolution=detail)
        self.pictures.baked = (shape_of(moment), baked)
        return baked

    # ---- jobs and messages -------------------------------------------------------------------------------------------

    def _long_job(self, text: str) -> _LongJob:
        return _LongJob(self, text)

    def _give_up_if_asked(self) -> None:
        if self._stop_asked.is_set() or self._tasks.closed():
            raise Stale

    def say(self, title: str, body: str, colour: str | None = None) -> None:
        """Tell every tab something."""
        for client in list(self.server.get_clients().values()):
            client.add_notification(title, body, auto_close_seconds=12.0, color=colour)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, Stale):
            return
        if isinstance(error, HeadfieldError):
            title = "Not a usable file" if isinstance(error, ScanError) else "That did not work"
            self.say(title, str(error), "red")
            return
        if isinstance(error, MemoryError):
            self.say("Out of memory", "Choose a lower resolution, or a smaller scan.", "red")
            return
        traceback.print_exception(error)
        self.say("Something went wrong", f"{type(error).__name__}: {error}. The terminal says more.", "red")


class _LongJob:
    """Shows that something takes long, and takes the sign down again whatever happens."""

    def __init__(self, viewer: Viewer, text: str) -> None:
        self.viewer, self.text = viewer, text

    def __enter__(self) -> None:
        self.viewer._stop_asked.clear()
        self.viewer.panels.working(self.text)

    def __exit__(self, *_: object) -> None:
        self.viewer.panels.working(None)


class _as_a_file:
    """An uploaded file on disk for as long as it is read; its name is taken apart so that it names no other place."""

    def __init__(self, file) -> None:
        self.file = file

    def __enter__(self) -> Path:
        self.folder = tempfile.TemporaryDirectory(prefix="headfield-")
        path = Path(self.folder.name) / (Path(self.file.name.replace("\\", "/")).name or "file")
        path.write_bytes(self.file.content)
        return path

    def __exit__(self, *_: object) -> None:
        self.folder.cleanup()


def dead_channels(model) -> set[int]:
    """Expression channels (ARKIT order) that move nothing, because no training head played them."""
    zero = torch.zeros(1, model.config.expression)
    identity = model.mean_codes().identity
    points = model.anchors(Codes(identity))
    dead = set()
    with torch.no_grad():
        for index in range(model.config.expression):
            weights = zero.clone()
            weights[0, index] = 1.0
            moved, ambient = model.to_canonical(points, Codes(identity, weights))
            if float((moved - points).norm(dim=-1).max()) < 1e-6 and float(ambient.abs().max()) < 1e-6:
                dead.add(index)
    return dead
