"""Long jobs of the viewer, and what the user is told: a line and a bar at the top of the panel, and notifications.

Whatever a browser asks for goes through :meth:`Jobs.guarded`: one thing at a time, and an error becomes a notification.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable, Iterator

from headfield.errors import HeadfieldError, ScanError
from headfield.view.markup import plain
from headfield.view.worker import Stale, Tasks


class Jobs:
    """One long job after the other, with a sign while it runs and a button to stop it."""

    def __init__(self, server) -> None:
        """Put the sign at the top of a viser server's panel."""
        self.server = server
        self.lock = threading.RLock()
        self._stop_asked = threading.Event()
        self._signs: list[str] = []
        self._tasks = Tasks(self.failed, "headfield-tasks")
        self._line = server.gui.add_markdown("", visible=False)
        self._bar = server.gui.add_progress_bar(0.0, visible=False, animated=True)
        self._stop = server.gui.add_button("Stop", icon="player-stop", color="gray", visible=False)
        self._stop.on_click(lambda event: self.stop())

    # ---- work --------------------------------------------------------------------------------------------------------

    def guarded(self, act: Callable[[], object]) -> None:
        """Do something short for the user; nothing else of this kind happens at the same time."""
        try:
            with self.lock:
                act()
        except Exception as error:
            self.failed(error)

    def put(self, job: Callable[[], None]) -> None:
        """Do something long, after what was asked for before."""

        def begin() -> None:
            self._stop_asked.clear()
            job()

        self._tasks.put(begin)

    def waiting(self) -> int:
        """Long jobs that run or wait."""
        return self._tasks.waiting()

    def stop(self) -> None:
        """Ask the long job that runs to give up."""
        self._stop_asked.set()

    def close(self) -> None:
        """End everything."""
        self.stop()
        self._tasks.close()

    # ---- signs -------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def sign(self, text: str) -> Iterator[Callable[[str, float], None]]:
        """A sign that something takes long, taken down again whatever happens; one within another covers it.

        Yields:
            A function that takes what is being done and the share of it done (0 to 1); where it is called, a button to
            stop is there, and it raises :class:`Stale` once that was pressed.
        """
        self._signs.append(text)
        self._show(text, None, stoppable=False)

        def progress(what: str, share: float) -> None:
            if self._stop_asked.is_set() or self._tasks.closed():
                raise Stale
            self._show(what, share, stoppable=True)

        try:
            yield progress
        finally:
            self._signs.remove(text)
            self._show(self._signs[-1] if self._signs else None, None, stoppable=False)

    def _show(self, text: str | None, share: float | None, *, stoppable: bool) -> None:
        with self.server.atomic():
            self._line.content, self._line.visible = plain(text or ""), text is not None
            self._bar.value = 100.0 if share is None else 100.0 * min(max(share, 0.0), 1.0)
            self._bar.visible, self._stop.visible = text is not None, stoppable

    def say(self, title: str, body: str, colour: str = "green") -> None:
        """Tell every tab something."""
        for client in list(self.server.get_clients().values()):
            client.add_notification(title, body, auto_close_seconds=12.0, color=colour)

    def failed(self, error: BaseException) -> None:
        """Tell what went wrong. Errors of ours say what to do; others are printed as well."""
        if isinstance(error, Stale):
            return
        if isinstance(error, HeadfieldError):
            self.say("Not a usable file" if isinstance(error, ScanError) else "That did not work", str(error), "red")
        elif isinstance(error, MemoryError):
            self.say("Out of memory", "Choose a lower resolution, or a smaller scan.", "red")
        else:
            traceback.print_exception(error)
            self.say("Something went wrong", f"{type(error).__name__}: {error}. The terminal says more.", "red")
