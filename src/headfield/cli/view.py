"""``headfield view``: a head in the browser, to edit, animate and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class ViewCommand:
    """Open a fit, a saved head or a scan in the browser; without a file, the model's mean head.

    The page is served from this machine to this machine and asks nothing of any other. The address that is printed lets
    in whoever has it, so treat it as a password. Ctrl-C ends it.
    """

    file: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = None
    """fit.npz or the folder that holds it, a head that `headfield edit` wrote, or a scan, which is fitted first."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets everybody on the network who has the printed address, with its token and this
    machine's name in place of 127.0.0.1, see and change the head."""
    port: int = 8080
    """Port; when it is in use, the next free one is taken and printed."""
    no_browser: bool = False
    """Do not open a browser."""
    resolution: int = 256
    """Samples along the longest side of the model's box, for the finest picture and for exported meshes."""
    model: str | None = None
    """Model: a released name, a folder, or a hub id. Not given, a head gets the model that its file names, a scan
    imhead-open-small."""

    def run(self) -> int:
        """Serve until interrupted."""
        from headfield.cli.output import check_resolution
        from headfield.cli.report import working
        from headfield.cli.stopping import Terminated
        from headfield.errors import ConfigError, need

        need("viser", "view", "The viewer")
        check_resolution(self.resolution)
        if not 0 <= self.port <= 65535:
            raise ConfigError(f"--port {self.port}: choose between 1 and 65535, or 0 for any that is free.")
        with working("Loading the model") as say:
            from headfield.models import DEFAULT
            from headfield.models.release import lasting_name, load
            from headfield.view.app import Viewer
            from headfield.view.opening import check_expression, mean_head, open_path

            name = lasting_name(self.model or DEFAULT)
            model = load(name)
            check_expression(model, name)
            opened, fit = mean_head(model, name), None
            if (file := self.file) is not None:
                progress = lambda stage, share: say(f"{stage} {file.name} ({share:.0%})")  # noqa: E731
                opened, fit = open_path(file, model, name, progress, self.model)
        viewer = Viewer(opened, fit, host=self.host, port=self.port, resolution=self.resolution)
        try:
            taken = "" if self.port in (0, viewer.server.get_port()) else f" (port {self.port} is in use)"
            print(f"Viewer at {viewer.url}{taken}; Ctrl-C ends it.", flush=True)
            if not self.no_browser:
                import webbrowser

                webbrowser.open(viewer.url)
            viewer.server.sleep_forever()
        except KeyboardInterrupt as stop:
            print("Viewer closed.")
            if isinstance(stop, Terminated):
                raise
            # Ctrl-C is what was asked for, so no failure
        finally:
            viewer.close()
        return 0
