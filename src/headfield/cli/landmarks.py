"""``headfield landmarks``: the landmarks of a scan's face as a file that --landmarks reads, and a picture of them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from headfield.cli.output import output_file
from headfield.cli.report import working


@dataclass(frozen=True)
class LandmarksCommand:
    """Find the face in a scan, in any orientation and unit: 68 landmarks and the face's anchors, as JSON.

    The file is what `headfield fit --landmarks` reads: correct it by hand where it is wrong.
    """

    scan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")]
    """The scan (PLY, OBJ, GLB and many more: docs/formats.md), with or without colours."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="JSON")] = Path("landmarks.json")
    """The file to write: {anchor name or index 0 to 67: [x, y, z]} in the scan's own frame and unit."""
    picture: Annotated[Path | None, tyro.conf.arg(metavar="PNG")] = None
    """A picture of the scan with its landmarks; when no face is found, of what was tried."""
    least_confidence: float = 0.1
    """Points that the views agree on less than this (0 to 1) are left out."""
    force: bool = False
    """Replace files that exist."""

    def run(self) -> int:
        """Find and write; returns the exit status."""
        from headfield.fit.pictures.landmarks import NoFaceError, find_landmarks, landmark_picture
        from headfield.io.scan import read_scan
        from headfield.surface.sheet import write_png

        with ExitStack() as stack:
            place = stack.enter_context(output_file(self.out, force=self.force))
            if self.picture is not None and self.picture.exists() and not self.force:
                stack.enter_context(output_file(self.picture))  # raises: says that it exists
            with working(f"Looking for a face in {self.scan.name}"):
                scan = read_scan(self.scan)
                try:
                    found = find_landmarks(scan)
                except NoFaceError as error:
                    if self.picture is not None:
                        write_png(error.tried, self.picture)
                    raise
                content = as_json(found, self.least_confidence)
                if self.picture is not None:
                    write_png(landmark_picture(scan, found), self.picture)
            place.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"{self.out}: {len(content)} landmarks, views agree to {found.residual:.3g} (scan units)")
        return 0


def as_json(found, least_confidence: float = 0.0) -> dict[str, list[float]]:
    """Landmarks by key, {anchor name or index: [x, y, z]}, as `headfield.fit.landmarks.read_landmarks` reads them.

    Args:
        found: `headfield.fit.pictures.landmarks.FaceLandmarks`.
        least_confidence: Points below it are left out.
    """
    import numpy as np

    from headfield.frames import ANCHOR_NAMES

    named = [(str(index), point, sure) for index, (point, sure) in enumerate(zip(found.points, found.confidence))]
    named += list(zip(ANCHOR_NAMES, found.anchors, found.anchor_confidence))
    return {
        key: [float(value) for value in point]
        for key, point, sure in named
        if np.isfinite(point).all() and sure >= least_confidence
    }
