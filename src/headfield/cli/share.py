"""What verbs share about baked heads: the bake with its progress, the GLB of it, and the share page."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from headfield.errors import ConfigError


def can_bake() -> bool:
    """Whether this installation has blendshape baking."""
    return all(importlib.util.find_spec(f"headfield.{name}") for name in ("surface.bake", "io.gltf"))


def bake_head(head, vertices: int, say):
    """The head with its 52 shapes on one topology; see :func:`headfield.surface.bake.bake`.

    Args:
        head: An :class:`headfield.cli.heads.OpenedHead`.
        vertices: About how many.
        say: Takes a line of progress.
    Raises:
        ConfigError: This installation has no baking.
    """
    if not can_bake():
        raise ConfigError("This installation of headfield has no blendshape baking, which GLB and HTML are made by.")
    from headfield.surface.bake import bake

    say("Baking 52 expressions")

    def progress(*news) -> None:  # a share, or a stage and a share
        share = next((item for item in news if isinstance(item, float)), None)
        stage = next((item for item in news if isinstance(item, str)), "Baking 52 expressions")
        say(stage if share is None else f"{stage} ({share:.0%})")

    return bake(head.model, head.codes, vertices=vertices, progress=progress)


def baked_glb(head, vertices: int, say) -> tuple[bytes, object]:
    """A GLB with 52 morph targets in metres, y up, and the baked head it was made from."""
    from dataclasses import replace

    from headfield.types import ARKIT

    baked = bake_head(head, vertices, say)
    from headfield.io.gltf import glb_of_morphs

    scale = head.metres_per_unit
    eyes = tuple(replace(eye, centre=eye.centre * scale, radius=eye.radius * scale) for eye in baked.eyes)
    say("Packing the GLB")
    glb = glb_of_morphs(
        baked.neutral * scale, baked.triangles, baked.normals, baked.shapes * scale, ARKIT, uv=baked.uv, eyes=eyes
    )
    return glb, baked


def write_share_page(path: Path, out: Path, vertices: int, say) -> tuple[int, int]:
    """Write the share page of a saved head; returns its vertices and the bytes of the page."""
    from headfield.cli.heads import open_head
    from headfield.io.mesh import write_bytes
    from headfield.view.region_colours import region_index
    from headfield.view.share_page import share_page

    head = open_head(path)
    glb, baked = baked_glb(head, vertices, say)
    regions = region_index(baked.neutral, head.anchors())
    page = share_page(glb, title=head.name, regions=regions, file=out.stem).encode()
    write_bytes(out, page)
    return len(baked.neutral), len(page)
