"""The share page: one HTML file with the head inside, to orbit and to pose; opens anywhere, asks the network nothing.

The page's own parts are in ``view/web``: page.html, page.css and share.min.js, which is page.js with three.js
bundled by ``npm run build`` there.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from headfield.edit.presets import PRESETS
from headfield.errors import ConfigError
from headfield.frames import GAZE_RADIANS
from headfield.surface.baked import Baked, unwrapped
from headfield.view.face_areas import face_areas
from headfield.view.region_colours import REGION_COLOURS, region_index

if TYPE_CHECKING:
    from headfield.edit.record import SavedHead


def share_page(glb: bytes, *, title: str = "Head", regions: np.ndarray | None = None, file: str = "head") -> str:
    """The page as text.

    Args:
        glb: A GLB with one mesh that has morph targets named as ARKit names them; eyeballs as nodes with ``eye`` and
            ``left`` or ``right`` in their names.
        title: Heading of the page.
        regions: (V,) index into :data:`headfield.view.region_colours.REGION_COLOURS` for every vertex of that mesh in
            the GLB's order, or None for a page without region colours.
        file: Name, without suffix, that the page saves its GLB under.
    Raises:
        ConfigError: `glb` is no GLB.
    """
    if glb[:4] != b"glTF":
        raise ConfigError("The share page is made from a GLB; these bytes begin otherwise.")
    about = {
        "file": file,
        "gaze": GAZE_RADIANS,
        "groups": [{"name": area, "channels": channels} for area, channels in face_areas().items()],
        "presets": {name: {k: round(v, 3) for k, v in weights.items()} for name, weights in PRESETS.items()},
    }
    if regions is not None:
        about["regions"] = {
            "names": [name.replace("_", " ") for name in REGION_COLOURS],
            "colours": list(REGION_COLOURS.values()),
            "index": base64.b64encode(np.asarray(regions, dtype=np.uint8).tobytes()).decode(),
        }
    parts = {
        "TITLE": html.escape(title),
        "STYLE": _part("page.css"),
        "ABOUT": json.dumps(about, separators=(",", ":")).replace("<", "\\u003c"),  # no tag can end the element
        "GLB": base64.b64encode(gzip.compress(glb, 6, mtime=0)).decode(),
        "SCRIPT": _part("share.min.js"),
    }
    # one pass, so that nothing inside a part is taken for a place to fill
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda place: parts[place[1]], _part("page.html"))


def page_of(saved: SavedHead, baked: Baked, *, file: str = "head") -> bytes:
    """The share page of a baked head.

    Args:
        saved: The head, for its name and true size.
        baked: Its shapes.
        file: As in :func:`share_page`.
    Raises:
        HeadfieldError: The extra ``export`` is not installed.
    """
    baked = unwrapped(baked)  # the page's regions go by the vertices of the GLB
    regions = region_index(baked.neutral, saved.head.neutral().anchors())
    glb = baked.glb(saved.mm_per_unit / 1000.0, saved.paint)
    return share_page(glb, title=saved.name, regions=regions, file=file).encode()


def _part(name: str) -> str:
    return (files("headfield.view") / "web" / name).read_text(encoding="utf-8")
