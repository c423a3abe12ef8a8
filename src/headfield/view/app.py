"""The viewer: one head in a browser, shared by all its tabs. This module puts its rooms together.

Every tab of one viewer shows and edits the same session, and a tab that is closed ends nothing: a fit goes on, and the
page finds everything as it was when it is opened again.

    panels   widgets              jobs       long work, messages      screen     the picture
    edits    what widgets change  files      up and down              animation  takes
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import numpy as np
import torch

from headfield.edit.record import SavedHead
from headfield.errors import ConfigError, need
from headfield.frames import UNITS_IN_METRES, length_text
from headfield.types import Codes
from headfield.view.animation import Animation
from headfield.view.canvas import Canvas
from headfield.view.edits import Edits
from headfield.view.files import Files
from headfield.view.guard import EVERYWHERE, Guard, check_guarded, guarding
from headfield.view.jobs import Jobs
from headfield.view.markup import plain
from headfield.view.panels import Panels
from headfield.view.screen import Screen
from headfield.view.state import Session

MOST_PORTS = 100
"""So many ports are tried, one after the other."""


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
            ConfigError: There is no such address here, no port is free, or the installed viser cannot be kept from
                foreign pages.
        """
        viser = need("viser", "view", "The viewer")
        port = free_port(host, port)
        self._guard = Guard.of(host)
        with _quietly(), guarding(self._guard):
            self.server = viser.ViserServer(host=host, port=port, label="headfield", verbose=False)
        self._check()
        _keep_to_itself(self.server)
        self.session = Session(opened, fit)
        self.jobs = Jobs(self.server)
        self.screen = Screen(
            self.server, self.session, self.jobs, resolution=resolution, coarse=coarse, picked=self._picked
        )
        self.animation = Animation(self, bake_vertices)
        self.edits = Edits(self.session, self._changed)
        self.files = Files(self)
        self.panels = Panels(self, self.server)
        self._opened()

    @property
    def url(self) -> str:
        """Where to point a browser, with the token that lets it in: a secret."""
        host = self.server.get_host()
        host = "127.0.0.1" if host in EVERYWHERE else host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.get_port()}/{self._guard.token}/"

    def close(self) -> None:
        """Stop everything; a second call does nothing."""
        self.jobs.close()
        self.animation.player.stop()
        self.screen.close()
        with _quietly():
            self.server.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is being computed; returns whether that is so."""
        until, calm = time.perf_counter() + seconds, 0
        while time.perf_counter() < until and calm < 3:  # one thread may be about to hand over to another
            calm = calm + 1 if self.jobs.waiting() == 0 and self.screen.idle() else 0
            time.sleep(0.02)
        return calm >= 3

    # ---- what the rooms call -----------------------------------------------------------------------------------------

    def open(self, opened: SavedHead, fit=None) -> None:
        """Open another head in place of this one."""
        with self.jobs.lock:
            self.animation.stop()
            self.session.open(opened, fit)
            other = self.session.other
            if other is not None and other.head.model.fingerprint.identity != opened.head.model.fingerprint.identity:
                self.session.other = None
            self._opened()

    def take_second(self, other: SavedHead) -> None:
        """Take the head to swap regions with."""
        with self.jobs.lock:
            self.session.other = other
            self.panels.refresh()
        self.jobs.say(f"{other.name} is ready", "Pick a region and press the button that takes it from there.")

    def show_before(self, before: bool) -> None:
        """Show the head as it was opened, or as it is."""
        self.animation.stop()
        self.screen.before = before
        self.screen.refresh(rest=False)

    def set_resolution(self, resolution: int) -> None:
        """Another finest resolution."""
        self.screen.resolution = resolution
        self.screen.refresh(rest=False)

    def front(self, client) -> None:
        """Turn the camera of a tab back to the front."""
        Canvas.home(client.camera)

    def facts(self) -> str:
        """What is open, as Markdown."""
        opened, fit = self.session.opened, self.session.fit
        told = "".join(f"<br>{plain(note)}" for note in opened.notes)
        name = f"**{plain(opened.name)}**"
        if fit is None:
            return f"<small>{name}, model {plain(opened.model_name)}{told}</small>"
        error = fit.errors
        size = float(np.ptp(fit.scans[0].all_points, axis=0).max()) * UNITS_IN_METRES.get(fit.units, 0.0)
        unit = f"{plain(fit.units)}, {length_text(size)} of scan" if size else "unknown unit"
        return (
            f"<small>{name}: {unit}. Scan to head: median {error['scan_to_head_mm']['median']:.2f} mm, "
            f"p90 {error['scan_to_head_mm']['p90']:.2f} mm; {error['inliers']:.0%} within 5 mm.{told}</small>"
        )

    # ---- what happens ------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        """Nothing was given to the server yet: one that lets strangers in is stopped before it knows a head."""
        try:
            check_guarded(self._guard, self.server.get_host(), self.server.get_port())
        except BaseException:
            with _quietly():
                self.server.stop()
            raise

    def _changed(self) -> None:
        self.animation.stop()
        self.screen.before = False
        self.panels.refresh()
        self.screen.refresh()

    def _opened(self) -> None:
        fit = self.session.fit
        self.screen.forget()
        self.screen.before = False
        points = None if fit is None else fit.placement.apply(fit.scans[0].all_points)
        self.screen.canvas.show_scan(points, visible=False)
        self.panels.opened(dead_channels(self.session.opened.head.model))
        self.panels.refresh()
        self.screen.refresh(rest=False)

    def _picked(self, region: str) -> None:
        self.jobs.guarded(lambda: self.panels.pick(region))


def free_port(host: str, port: int) -> int:
    """The first free port from one on; 0 stays 0, for any.

    Raises:
        ConfigError: There is no such address on this machine, or no port is free.
    """
    if port == 0:
        span = range(1)
    else:
        span = range(port, min(port + MOST_PORTS, 65_536))
    last: OSError | None = None
    for candidate in span:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, kind, protocol) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
            return candidate
        except socket.gaierror as error:
            raise ConfigError(f"--host {host}: no such address ({error.strerror}).") from error
        except OSError as error:
            last = error
            if error.errno not in (98, 48, 13, 10013, 10048):  # in use or reserved: try the next
                break
    raise ConfigError(
        f"--host {host} --port {port}: cannot listen there ({last.strerror if last else 'no port'}). Choose an address "
        "of this machine (127.0.0.1, or 0.0.0.0 for all of its networks) and another port."
    )


def dead_channels(model) -> set[int]:
    """Expression channels (ARKIT order) that move nothing, because no training head played them."""
    identity = model.mean_codes().identity
    points = model.anchors(Codes(identity))
    dead = set()
    with torch.no_grad():
        for index, weights in enumerate(torch.eye(len(model.expression_space))):
            moved, ambient = model.to_canonical(points, Codes(identity, weights[None]))
            if float((moved - points).norm(dim=-1).max()) < 1e-6 and float(ambient.abs().max()) < 1e-6:
                dead.add(index)
    return dead


def _keep_to_itself(server) -> None:
    """Take away the server's offer to be reachable from everywhere through a foreign relay."""
    from viser import _messages

    for message in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        server._websock_server.unregister_handler(message)


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """viser prints a box with addresses and a good-bye; the command prints its own line."""
    import rich

    console = rich.get_console()
    was, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = was
