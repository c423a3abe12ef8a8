"""What the viewer's rooms may ask of each other: a narrow way from one to the next, without importing the whole."""

from __future__ import annotations

from typing import Any, Protocol

from headfield.edit.record import SavedHead
from headfield.view.edits import Edits
from headfield.view.jobs import Jobs
from headfield.view.screen import Screen
from headfield.view.state import Session


class Rooms(Protocol):
    """The viewer as its panels, files and animation see it; :class:`headfield.view.app.Viewer` puts it together.

    Attributes:
        server: viser's.
        session: What is open, and how it was changed.
        jobs: Long work, and messages.
        screen: The picture.
        edits: What widgets change.
        panels, files, animation: The rooms that know this protocol themselves.
    """

    server: Any
    session: Session
    jobs: Jobs
    screen: Screen
    edits: Edits
    panels: Any
    files: Any
    animation: Any

    def open(self, opened: SavedHead, fit=None) -> None:
        """Open another head in place of this one."""
        ...

    def take_second(self, other: SavedHead) -> None:
        """Take the head to swap regions with."""
        ...

    def show_before(self, before: bool) -> None:
        """Show the head as it was opened, or as it is."""
        ...

    def set_resolution(self, resolution: int) -> None:
        """Another finest resolution."""
        ...

    def front(self, client) -> None:
        """Turn the camera of a tab back to the front."""
        ...

    def facts(self) -> str:
        """What is open, as Markdown."""
        ...
