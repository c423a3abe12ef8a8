"""Files that come from the browser and go to it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

from headfield.edit.record import SavedHead, recorded
from headfield.edit.track_files import read_track
from headfield.errors import HeadfieldError
from headfield.view.downloads import file_of
from headfield.view.opening import MOST_BYTES, open_path
from headfield.view.rooms import Rooms
from headfield.view.uploads import limit_uploads

PATIENCE = 180
"""Seconds in which a browser must have drawn a picture; drawing without a graphics card is slow."""

_STAGES = {"read": "Reading the scan", "align": "Finding the head", "solve": "Fitting"}


class Files:
    """Opens uploads and makes downloads, as long jobs of a viewer."""

    def __init__(self, viewer: Rooms) -> None:
        """Read and write for a viewer."""
        self.viewer, self.jobs = viewer, viewer.jobs
        limit_uploads(viewer.server, MOST_BYTES, self._too_large)

    # ---- in ----------------------------------------------------------------------------------------------------------

    def head(self, file) -> None:
        """Open a scan or head that the browser sent."""
        self._read(file, self.viewer.open)

    def second(self, file) -> None:
        """Take the head to swap with."""

        def take(opened: SavedHead, fit) -> None:
            recorded({"do": "swap", "donor": opened}, self.viewer.session.opened)  # which refuses one of other weights
            self.viewer.take_second(opened)

        self._read(file, take)

    def track(self, file) -> None:
        """Take an expression track."""

        def read() -> None:
            name = Path(file.name).name
            with _on_disk(file) as path:
                track = read_track(path)
            self.viewer.animation.add(name, track)
            self.viewer.panels.show_takes(self.viewer.animation.takes, name)
            self.jobs.say(name, f"{len(track)} frames, {track.seconds:.1f} s.")

        self.jobs.put(read)

    def _read(self, file, take: Callable) -> None:
        def read() -> None:
            mine, name = self.viewer.session.opened, Path(file.name).name
            with self.jobs.sign(f"Opening {name}") as progress, _on_disk(file) as path:
                tell = lambda stage, share: progress(f"{_STAGES.get(stage, stage)}: {name}", share)  # noqa: E731
                opened, fit = open_path(path, mine.head.model, mine.model_name, tell)
            take(opened, fit)

        self.jobs.put(read)

    def _too_large(self, name: str, size: int) -> None:
        self.jobs.say(
            f"{name} is too large",
            f"{size / 1e6:,.0f} MB; the browser may send up to {MOST_BYTES / 1e6:.0f} MB. Open it from the command "
            "line instead: headfield view FILE.",
            "red",
        )

    # ---- out ---------------------------------------------------------------------------------------------------------

    def export(self, client, what: str) -> None:
        """Make a file, one of :data:`headfield.view.downloads.FORMATS`, and hand it to a tab."""

        def make() -> None:
            viewer, moment = self.viewer, self.viewer.session.now
            with self.jobs.sign(f"Making {what}"):
                saved = viewer.session.saved(moment)
            stem = Path(saved.name).stem.replace(" ", "_").replace("#", "_") or "head"
            baked = lambda: viewer.animation.baked(moment)  # noqa: E731
            with self.jobs.sign(f"Making {what}"):
                name, content = file_of(what, saved, viewer.screen.resolution, baked, stem)
            client.send_file_download(name, content, save_immediately=True)
            self.jobs.say(name, f"{len(content) / 1e6:.1f} MB were handed to the browser.")

        self.jobs.put(make)

    def snapshot(self, client) -> None:
        """Hand a tab a picture of what it shows, without the panels."""

        def make() -> None:
            from PIL import Image

            with self.jobs.sign("Making a snapshot"):
                camera = client.camera
                size = camera.image_height, camera.image_width
                try:
                    picture = client.get_render(*size, transport_format="png", timeout=PATIENCE)
                except TimeoutError as error:
                    raise HeadfieldError(
                        f"The browser drew no picture within {PATIENCE} s: a tab in the background draws nothing. "
                        "Bring it to the front and press Snapshot again."
                    ) from error
                buffer = BytesIO()
                Image.fromarray(picture).save(buffer, "PNG")
            client.send_file_download("head.png", buffer.getvalue(), save_immediately=True)

        self.jobs.put(make)


@contextlib.contextmanager
def _on_disk(file) -> Iterator[Path]:
    """An uploaded file on disk for as long as it is read; its name is taken apart so that it names no other place.

    Raises:
        HeadfieldError: What reading it raised, with the name that the user knows.
    """
    with tempfile.TemporaryDirectory(prefix="headfield-") as folder:
        path = Path(folder) / (Path(file.name.replace("\\", "/")).name or "file")
        path.write_bytes(file.content)
        try:
            yield path
        except HeadfieldError as error:
            raise type(error)(str(error).replace(f"{folder}{os.sep}", "")) from error
