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
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from headfield.edit.presets import PRESETS
from headfield.errors import ConfigError
from headfield.frames import GAZE_RADIANS
from headfield.surface.baked import Baked, unwrapped
from headfield.types import ARKIT
from headfield.view.face_areas import face_areas
from headfield.view.region_colours import REGION_COLOURS, region_index

if TYPE_CHECKING:
    from headfield.edit.record import SavedHead


@dataclass(frozen=True)
class Turn:
    """A slider that turns a joint of a GLB on joints.

    Attributes:
        channel: Its name; one of a group of channels, or of the group of head poses that is shown below them.
        joint: Name of the joint's node.
        by: Rotation vector at 1, radians, about the joint's own axes. Sliders of one joint add up.
        low: The slider's least value, 0 or -1.
        drives: Name of a morph target that takes the slider's value, or none.
    """

    channel: str
    joint: str
    by: tuple[float, float, float]
    low: float = 0.0
    drives: str = ""


def turns_of(joints: Sequence[str], jaw_wide: float) -> list[Turn]:
    """Sliders for a rig with some of the joints ``neck`` and ``jaw``.

    Args:
        joints: Their names.
        jaw_wide: Turn of the jaw at ``jawOpen`` 1, radians, where ``jawCorrective`` is 1.
    """
    turns = [Turn("jawOpen", "jaw", (jaw_wide, 0.0, 0.0), drives="jawCorrective")]
    for channel, by in (("headTurn", (0.0, 0.6, 0.0)), ("headNod", (0.45, 0.0, 0.0)), ("headTilt", (0.0, 0.0, -0.4))):
        turns.append(Turn(channel, "neck", by, low=-1.0))
    return [turn for turn in turns if turn.joint in joints]


def share_page(
    glb: bytes,
    *,
    title: str = "Head",
    regions: np.ndarray | None = None,
    file: str = "head",
    turns: Sequence[Turn] = (),
) -> str:
    """The page as text.

    Args:
        glb: A GLB with one mesh that has morph targets named as ARKit names them; eyeballs as nodes with ``eye`` and
            ``left`` or ``right`` in their names.
        title: Heading of the page.
        regions: (V,) index into :data:`headfield.view.region_colours.REGION_COLOURS` for every vertex of that mesh in
            the GLB's order, or None for a page without region colours.
        file: Name, without suffix, that the page saves its GLB under.
        turns: Sliders of the joints, where the mesh is on joints.
    Raises:
        ConfigError: `glb` is no GLB.
    """
    if glb[:4] != b"glTF":
        raise ConfigError("The share page is made from a GLB; these bytes begin otherwise.")
    about: dict[str, Any] = {
        "file": file,
        "gaze": GAZE_RADIANS,
        "groups": [{"name": area, "channels": channels} for area, channels in face_areas().items()],
        "presets": {name: {k: round(v, 3) for k, v in weights.items()} for name, weights in PRESETS.items()},
    }
    if turns:
        about["turns"] = {turn.channel: {"joint": turn.joint, "by": turn.by, "drives": turn.drives, "low": turn.low}
                          for turn in turns}  # fmt: skip
        about["groups"].append({"name": "Head", "channels": [t.channel for t in turns if t.channel not in ARKIT]})
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
