"""The panels beside the head: widgets, and what they show of the session. What they do is in `app`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from headfield.edit.presets import PRESETS
from headfield.edit.regions import PAIRS
from headfield.frames import REGIONS
from headfield.types import ARKIT
from headfield.view.downloads import FORMATS
from headfield.view.shading import MODES, legend
from headfield.view.state import Session, spoken

if TYPE_CHECKING:
    from headfield.view.app import Viewer

RESOLUTIONS = ("64", "128", "256", "384")

LOOP = "Preset loop"
"""The take that is there without a file."""

_AREAS = (
    ("Brows", ("brow",)),
    ("Eyes", ("eyeBlink", "eyeSquint", "eyeWide")),
    ("Gaze", ("eyeLook",)),
    ("Cheeks and nose", ("cheek", "nose")),
    ("Jaw", ("jaw",)),
    ("Lips", ("mouth", "tongue")),
)

ALL = "whole head"


def areas() -> list[tuple[str, tuple[int, ...]]]:
    """Face areas with the indices of their channels in ARKIT order; each channel is in one."""
    return [
        (area, tuple(i for i, name in enumerate(ARKIT) if name.startswith(starts))) for area, starts in _AREAS
    ]


def channel_label(name: str) -> str:
    """``mouthSmileLeft`` as ``mouth smile left``."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


class Panels:
    """All widgets. Values set from here never call back: only what a browser changed does."""

    def __init__(self, viewer: Viewer, server, dead: set[int]) -> None:
        """Build the panels.

        Args:
            viewer: Answers to what the user does.
            server: A viser server.
            dead: Channels that the model does not know; their sliders are left out.
        """
        self.viewer, self.gui = viewer, server.gui
        gui = server.gui
        gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(188, 110, 52), control_width="large")
        gui.set_panel_label("headfield")
        gui.main_panel.dock_right()
        self.status = gui.add_markdown("")
        self.bar = gui.add_progress_bar(0.0, visible=False, animated=True)
        self.cancel = self._button("Stop", viewer.cancel, visible=False)
        self.undo = self._button("Undo", viewer.undo, icon="ARROW_BACK_UP", disabled=True)
        self.redo = self._button("Redo", viewer.redo, icon="ARROW_FORWARD_UP", disabled=True)
        self.before = gui.add_checkbox("Show before", False, hint="The head as it was opened, to compare.")
        self._on(self.before, lambda value: viewer.show_before(value))
        tabs = gui.add_tab_group()
        with tabs.add_tab("Head"):
            self._head_tab(viewer.session)
        with tabs.add_tab("Regions"):
            self._region_tab()
        with tabs.add_tab("Expression"):
            self._expression_tab(dead)
        with tabs.add_tab("View"):
            self._view_tab()
        with tabs.add_tab("Export"):
            self._export_tab()

    # ---- tabs --------------------------------------------------------------------------------------------------------

    def _head_tab(self, session: Session) -> None:
        gui, viewer = self.gui, self.viewer
        self.upload = gui.add_upload_button(
            "Open a scan or head ...", icon="UPLOAD", hint="A scan (PLY, OBJ, STL, GLB, ...) is fitted; a fit.npz or a "
            "saved head is opened as it is.",
        )  # fmt: skip
        self.upload.on_upload(lambda event: viewer.uploaded(event, self.upload.value))
        self._button("Random head", viewer.random_head, icon="DICE", hint="A person drawn from the model.")
        self.facts = gui.add_markdown("")
        with gui.add_folder("Identity"):
            self.sliders = []
            for index, name in enumerate(session.directions.names):
                slider = gui.add_slider(name, -3.0, 3.0, 0.1, 0.0, hint="Standard deviations over all heads.")
                self._on(slider, lambda value, i=index: viewer.slide(i, value))
                self.sliders.append(slider)
            self._button("Reset identity", viewer.reset_sliders)

    def _region_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        names = [*PAIRS, *REGIONS]
        self._region_of = {spoken(name): name for name in names} | {ALL: None}
        gui.add_markdown("Click the head to pick a region, or choose one.")
        self.region = gui.add_dropdown("Region", tuple(self._region_of), "nose")
        self._on(self.region, lambda value: viewer.pick(self._region_of[value]))
        self.tint = gui.add_checkbox("Show the region", False, hint="Tint the picked region on the head.")
        self._on(self.tint, lambda value: viewer.recolour())
        self.strength = gui.add_slider("Strength", 0.0, 2.0, 0.05, 1.0, hint="Of the last edit of this region: 0 none, "
                                       "1 whole, more is exaggerated.", disabled=True)  # fmt: skip
        self._on(self.strength, viewer.strength)
        with gui.add_folder("New shape"):
            self.spread = gui.add_slider("Spread", 0.0, 3.0, 0.1, 1.5, hint="Standard deviations of the draw.")
            self.sample = self._button("Sample", viewer.sample, icon="DICE")
        with gui.add_folder("From another head"):
            self.second = gui.add_upload_button("Load the other head ...", icon="UPLOAD")
            self.second.on_upload(lambda event: viewer.uploaded_second(event, self.second.value))
            self._button("Random other head", viewer.random_other, icon="DICE")
            self.swap = self._button("Swap", viewer.swap, icon="ARROWS_EXCHANGE", disabled=True)
        self.symmetrise = self._button("Symmetrise", viewer.symmetrise, icon="FLIP_VERTICAL")
        self._button("Reset region", viewer.reset_region)

    def _expression_tab(self, dead: set[int]) -> None:
        gui, viewer = self.gui, self.viewer
        self.preset = gui.add_dropdown("Preset", tuple(PRESETS), "neutral")
        self._on(self.preset, viewer.preset)
        with gui.add_folder("Animation"):
            self.take = gui.add_dropdown("Take", (LOOP,), LOOP)
            self.track = gui.add_upload_button("Load a track ...", icon="UPLOAD", hint="CSV of Live Link Face, CSV or "
                                               "JSON of MediaPipe blendshape scores.")  # fmt: skip
            self.track.on_upload(lambda event: viewer.uploaded_track(event, self.track.value))
            self.play = self._button("Play", viewer.play, icon="PLAYER_PLAY", hint="The head is baked first, once.")
        self.channels: dict[int, Any] = {}
        for number, (area, indices) in enumerate(areas()):
            with gui.add_folder(area, expand_by_default=number in (1, 4)):
                for index in indices:
                    if index in dead:
                        continue
                    slider = gui.add_slider(channel_label(ARKIT[index]), 0.0, 1.0, 0.01, 0.0)
                    self._on(slider, lambda value, i=index: viewer.express(i, value))
                    self.channels[index] = slider

    def _view_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.mode = gui.add_dropdown("Shading", MODES, MODES[0])
        self._on(self.mode, lambda value: viewer.recolour())
        self.legend = gui.add_markdown("", visible=False)
        self.resolution = gui.add_dropdown(
            "Resolution", RESOLUTIONS, str(viewer.resolution),
            hint="Samples along the head: 128 is 3 mm, 256 is 1.5 mm. Also of exported meshes.",
        )  # fmt: skip
        self._on(self.resolution, lambda value: viewer.set_resolution(int(value)))
        self.scan = gui.add_checkbox("Show the scan", False, visible=False)
        self._on(self.scan, lambda value: viewer.canvas.scan_visible(value))
        gui.add_button("Front view", icon="FOCUS_CENTERED").on_click(viewer.front)

    def _export_tab(self) -> None:
        gui, viewer = self.gui, self.viewer
        self.format = gui.add_dropdown("Format", FORMATS, FORMATS[0])
        gui.add_button("Export", icon="DOWNLOAD").on_click(lambda event: viewer.export(event, self.format.value))
        gui.add_button("Snapshot (PNG)", icon="CAMERA").on_click(viewer.snapshot)
        gui.add_markdown(
            "<small>Meshes and OBJ shapes come in the scan's own frame and unit. The GLB with shapes and the share "
            "page are in metres; they bake 52 shapes first, about a minute.</small>"
        )

    # ---- what they show ----------------------------------------------------------------------------------------------

    @property
    def picked(self) -> str | None:
        """The picked region, None for the whole head."""
        return self._region_of[self.region.value]

    def pick(self, region: str | None) -> None:
        """Show another region as picked."""
        self.region.value = next(shown for shown, name in self._region_of.items() if name == region)

    def refresh(self, session: Session) -> None:
        """Show the session's present moment."""
        now = session.now
        for slider, value in zip(self.sliders, now.sliders):
            slider.value = round(value, 2)
        for index, slider in self.channels.items():
            slider.value = round(now.expression[index], 2)
        for button, verb, label in (
            (self.undo, "Undo", session.undo_label), (self.redo, "Redo", session.redo_label),
        ):  # fmt: skip
            button.disabled = label is None
            button.label = verb if label is None else f"{verb}: {label}"
        whole = self.picked is None
        strength = None if whole else session.strength_of(self.picked)
        self.strength.disabled = strength is None
        if strength is not None:
            self.strength.value = round(strength, 2)
        self.sample.disabled = whole
        self.swap.disabled = whole or session.other is None
        self.swap.label = "Swap" if session.other is None else f"Take it from {session.other.name}"

    def show_legend(self, mode: str) -> None:
        """Show how to read a shading mode."""
        text = legend(mode)
        self.legend.content, self.legend.visible = text, bool(text)

    def working(self, text: str | None, share: float | None = None, stoppable: bool = False) -> None:
        """Show progress of a long job, or (None) none."""
        self.bar.visible = text is not None
        self.cancel.visible = text is not None and stoppable
        if text is not None:
            self.bar.value = 100.0 if share is None else 100.0 * min(max(share, 0.0), 1.0)
        self.status.content = text or ""

    # ---- widgets -----------------------------------------------------------------------------------------------------

    def _on(self, widget, act: Callable) -> None:
        def changed(event) -> None:
            if event.client_id is not None:  # not what the program itself set
                self.viewer.guarded(lambda: act(widget.value))

        widget.on_update(changed)

    def _button(self, label: str, act: Callable[[], object], **options):
        button = self.gui.add_button(label, **options)
        button.on_click(lambda event: self.viewer.guarded(act))
        return button
