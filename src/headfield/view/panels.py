"""The panels beside the head: widgets, and what they show of the session."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from headfield.edit.presets import PRESETS
from headfield.edit.regions import PAIRS
from headfield.frames import REGIONS
from headfield.types import ARKIT
from headfield.view.animation import LOOP
from headfield.view.downloads import FORMATS
from headfield.view.face_areas import channel_label, face_areas
from headfield.view.page import prepare
from headfield.view.rooms import Rooms
from headfield.view.shading import MODES, legend
from headfield.view.state import spoken

BRAND = (176, 92, 44)
QUIET = (122, 116, 110)
"""Colours of buttons: what a tab is for, and all others."""

RESOLUTIONS = ("64", "128", "256", "384")

ALL = "whole head"


class Panels:
    """All widgets. Values set from here never call back: only what a browser changed does."""

    def __init__(self, viewer: Rooms, server) -> None:
        """Build the panels of a viewer on its viser server."""
        self.viewer, self.gui = viewer, server.gui
        self._hand = threading.local()
        gui = server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=BRAND, control_width="large")
        gui.set_panel_label("headfield")
        gui.main_panel.dock_right()
        prepare(gui)
        edits = viewer.edits
        self.undo = self._button("Undo", lambda tab: edits.undo(), icon="arrow-back-up", disabled=True)
        self.redo = self._button("Redo", lambda tab: edits.redo(), icon="arrow-forward-up", disabled=True)
        self.before = gui.add_checkbox("Show before", False, hint="The head as it was opened, to compare. Key: B.")
        self._on(self.before, viewer.show_before)
        tabs = gui.add_tab_group()
        with tabs.add_tab("Head"):
            self._head_tab()
        with tabs.add_tab("Region"):
            self._region_tab()
        with tabs.add_tab("Face"):
            self._face_tab()
        with tabs.add_tab("View"):
            self._view_tab()
        with tabs.add_tab("Export"):
            self._export_tab()
        self._commands()

    # ---- tabs --------------------------------------------------------------------------------------------------------

    def _head_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.upload = self._upload_button(
            "Open a scan or head ...", viewer.files.head, main=True,
            hint="A scan (PLY, OBJ, STL, GLB, ...) is fitted; a fit.npz or a saved head is opened as it is. Files can "
            "be dropped anywhere on the page.",
        )  # fmt: skip
        self._button("Random head", lambda tab: viewer.open(viewer.edits.drawn()), icon="dice",
                     hint="A person drawn from the model.")  # fmt: skip
        self.facts = gui.add_markdown("")
        with gui.add_folder("Identity"):
            self.sliders = []
            for index, name in enumerate(viewer.session.directions.names):
                slider = gui.add_slider(name, -3.0, 3.0, 0.1, 0.0, hint="Standard deviations over all heads.")
                self._on(slider, lambda value, i=index: viewer.edits.slide(i, value))
                self.sliders.append(slider)
            self._button("Reset identity", lambda tab: viewer.edits.reset_sliders(), icon="restore")

    def _region_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        names = [*PAIRS, *REGIONS]
        self._region_of = {spoken(name): name for name in names} | {ALL: None}
        gui.add_markdown("<small>Click the head to pick a region, or choose one.</small>")
        self.region = gui.add_dropdown("Region", tuple(self._region_of), initial_value="nose")
        self._on(self.region, lambda value: self._region_chosen())
        self.tint = gui.add_checkbox("Show the region", False, hint="Tint the picked region on the head.")
        self._on(self.tint, lambda value: self._region_chosen())
        self.strength = gui.add_slider("Strength", 0.0, 2.0, 0.05, 1.0, hint="Of the last edit of this region: 0 none, "
                                       "1 whole, more is exaggerated.", disabled=True)  # fmt: skip
        self._on(self.strength, lambda value: viewer.edits.strength(self.picked, value))
        with gui.add_folder("New shape"):
            self.spread = gui.add_slider("Spread", 0.0, 3.0, 0.1, 1.5, hint="Standard deviations of the draw.")
            self.sample = self._button("Sample", lambda tab: viewer.edits.sample(self.picked, self.spread.value),
                                       icon="dice", main=True)  # fmt: skip
        with gui.add_folder("From another head"):
            self.second = self._upload_button("Load the other head ...", viewer.files.second)
            self._button("Random other head", lambda tab: viewer.take_second(viewer.edits.drawn()), icon="dice")
            self.swap = self._button("Swap", lambda tab: viewer.edits.swap(self.picked), icon="arrows-exchange",
                                     main=True, disabled=True)  # fmt: skip
        self.symmetrise = self._button(
            "Symmetrise", lambda tab: viewer.edits.symmetrise(self.picked), icon="flip-vertical"
        )
        self.reset = self._button("Reset region", lambda tab: viewer.edits.reset(self.picked), icon="restore")

    def _face_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.preset = gui.add_dropdown("Expression", tuple(PRESETS), initial_value="neutral")
        self._on(self.preset, viewer.edits.preset)
        with gui.add_folder("Animation"):
            self.take = gui.add_dropdown("Take", (LOOP,), initial_value=LOOP)
            self.track = self._upload_button("Load a track ...", viewer.files.track, hint="CSV of Live Link Face, CSV "
                                             "or JSON of MediaPipe blendshape scores.")  # fmt: skip
            self.play = self._button("Play", lambda tab: viewer.animation.toggle(self.take.value), main=True,
                                     icon="player-play", hint="The head is baked first, once.")  # fmt: skip
        self.channels: dict[int, Any] = {}
        for number, (area, channels) in enumerate(face_areas().items()):
            with gui.add_folder(area, expand_by_default=number < 2):
                for channel in channels:
                    index = ARKIT.index(channel)
                    slider = gui.add_slider(channel_label(channel, area), 0.0, 1.0, 0.01, 0.0, hint=channel)
                    self._on(slider, lambda value, i=index: viewer.edits.express(i, value))
                    self.channels[index] = slider

    def _view_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.mode = gui.add_dropdown("Shading", MODES, initial_value=MODES[0])
        self._on(self.mode, self._mode_chosen)
        self.legend = gui.add_markdown("", visible=False)
        known = sorted({*RESOLUTIONS, str(viewer.screen.resolution)}, key=int)
        self.resolution = gui.add_dropdown(
            "Resolution", known, initial_value=str(viewer.screen.resolution),
            hint="Samples along the head: 128 is 3 mm, 256 is 1.5 mm. Also of exported meshes.",
        )  # fmt: skip
        self._on(self.resolution, lambda value: viewer.set_resolution(int(value)))
        self.scan = gui.add_checkbox("Show the scan", False, visible=False)
        self._on(self.scan, lambda value: viewer.screen.canvas.scan_visible(value))
        self._button("Front view", viewer.front, icon="focus-centered", hint="Key: F.")
        self._button("Snapshot (PNG)", viewer.files.snapshot, icon="camera", hint="From where you look.")

    def _export_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.format = gui.add_dropdown("Format", FORMATS, initial_value=FORMATS[0])
        self._button("Export", lambda tab: viewer.files.export(tab, self.format.value), icon="download", main=True)
        gui.add_markdown(
            "<small>Meshes and OBJ shapes come in the scan's own frame and unit, GLB files in metres. Formats with "
            "shapes bake the 52 expressions first, about a minute.</small>"
        )

    def _commands(self) -> None:
        """Keys: the same acts as the buttons'."""
        edits = self.viewer.edits
        acts = (
            ("Undo", lambda tab: edits.undo(), "Z", "cmd/ctrl"),
            ("Redo", lambda tab: edits.redo(), "Z", "cmd/ctrl+shift"),
            ("Show before", lambda tab: self._toggle_before(), "B", None),
            ("Front view", self.viewer.front, "F", None),
        )
        for label, act, key, modifier in acts:
            command = self.gui.add_command(label, hotkey=key, modifier=modifier)
            command.on_trigger(self._acted(act))

    # ---- what they show ----------------------------------------------------------------------------------------------

    @property
    def picked(self) -> str | None:
        """The picked region, None for the whole head."""
        return self._region_of[self.region.value]

    def pick(self, region: str | None) -> None:
        """Pick a region and show it on the head."""
        self.region.value = next(shown for shown, name in self._region_of.items() if name == region)
        self.tint.value = True
        self._region_chosen()

    def opened(self, dead: set[int]) -> None:
        """Show a head that was opened.

        Args:
            dead: Channels that its model does not know; their sliders are hidden.
        """
        viewer = self.viewer
        self.facts.content = viewer.facts()
        self.scan.visible, self.scan.value = viewer.session.fit is not None, False
        self.mode.value = viewer.screen.mode
        self._show_legend()
        for slider, name in zip(self.sliders, viewer.session.directions.names):
            slider.label = name
        for index, slider in self.channels.items():
            slider.visible = index not in dead

    def refresh(self) -> None:
        """Show the session's present moment. A widget that a hand is on is left alone: it is ahead of the session."""
        session = self.viewer.session
        now = session.now
        for slider, value in zip(self.sliders, now.sliders):
            self._set(slider, round(value, 2))
        for index, slider in self.channels.items():
            self._set(slider, round(now.expression[index], 2))
        for button, verb, label in (
            (self.undo, "Undo", session.undo_label), (self.redo, "Redo", session.redo_label),
        ):  # fmt: skip
            button.disabled = label is None
            button.label = verb if label is None else f"{verb}: {label}"
        self._set(self.before, self.viewer.screen.before)
        picked = self.picked
        whole = picked is None
        strength = None if picked is None else session.strength_of(picked)
        self.strength.disabled = strength is None
        if strength is not None:
            self._set(self.strength, round(strength, 2))
        self.sample.disabled = whole
        self.swap.disabled = whole or session.other is None
        self.swap.label = "Swap" if session.other is None else f"Take it from {session.other.name}"
        self.reset.label = "Reset all regions" if whole else "Reset region"

    def playing(self, on: bool) -> None:
        """Show whether a take plays."""
        self.play.label, self.play.icon = ("Stop", "player-stop") if on else ("Play", "player-play")

    def show_takes(self, names: tuple[str, ...], chosen: str) -> None:
        """Show the takes that can be played."""
        self.take.options = names
        self.take.value = chosen

    # ---- what they do themselves -------------------------------------------------------------------------------------

    def _region_chosen(self) -> None:
        self.refresh()
        self.viewer.screen.tint(self.picked if self.tint.value else None)

    def _mode_chosen(self, mode: str) -> None:
        try:
            self.viewer.screen.shade(mode)
        finally:
            self.mode.value = self.viewer.screen.mode
            self._show_legend()

    def _show_legend(self) -> None:
        text = legend(self.viewer.screen.mode)
        self.legend.content, self.legend.visible = text, bool(text)

    def _toggle_before(self) -> None:
        self.before.value = not self.before.value
        self.viewer.show_before(self.before.value)

    # ---- widgets -----------------------------------------------------------------------------------------------------

    def _set(self, widget, value) -> None:
        if widget is not getattr(self._hand, "on", None):
            widget.value = value

    def _on(self, widget, act: Callable) -> None:
        """Call `act` with a widget's value when a browser changed it. What the program sets never calls back."""

        def changed(event) -> None:
            if event.client_id is None:
                return
            self._hand.on = widget
            try:  # the newest value: callbacks of one drag may overtake each other
                self.viewer.jobs.guarded(lambda: act(widget.value))
            finally:
                self._hand.on = None

        widget.on_update(changed)

    def _acted(self, act: Callable) -> Callable:
        """A viser callback that does `act`, given the tab that asked."""
        return lambda event: event.client is None or self.viewer.jobs.guarded(lambda: act(event.client))

    def _button(self, label: str, act: Callable, *, main: bool = False, **options):
        button = self.gui.add_button(label, color=None if main else QUIET, **options)
        button.on_click(self._acted(act))
        return button

    def _upload_button(self, label: str, take: Callable, *, main: bool = False, **options):
        button = self.gui.add_upload_button(label, icon="upload", color=None if main else QUIET, **options)
        button.on_upload(lambda event: event.client is None or self.viewer.jobs.guarded(lambda: take(button.value)))
        return button
