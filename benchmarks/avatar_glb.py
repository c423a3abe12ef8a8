"""How near an exported avatar comes to the ray-marched one, and what it weighs, by its number of vertices.

    python benchmarks/avatar_glb.py runs/subject video/test --frames 4 --vertices 10000 20000 80000

The run is only read. Both are seen by the frames' own cameras: gaps in depth and angles between normals are taken over
the pixels in which both have a surface, normals over skin, mouth and eyes apart. The mesh is posed as a GLB can be: by
joints, morph targets and `jawCorrective`, without the other pose correctives.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from headfield.avatar.export import JAW_WIDE, as_morphs, bake_avatar, glb_of
from headfield.avatar.measure import REGIONS
from headfield.avatar.render import Rendering, render
from headfield.avatar.trainer import load
from headfield.avatar.video import HeadVideo, read_video
from headfield.frames import MM_PER_UNIT
from headfield.io.video_camera import VideoCamera
from headfield.parametric.rig import HeadRig
from headfield.parametric.topology import vertex_normals
from headfield.surface.rays import RayScene


def played(rig: HeadRig, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) of a rig of morph targets in a frame of the video, whose track knows no `jawCorrective`."""
    weights = np.array(expression)
    if "jawCorrective" in rig.channels:
        weights[rig.channels.index("jawCorrective")] = pose[rig.joints.index("jaw"), 0] / JAW_WIDE
    return rig.posed(weights, pose)


def differences(
    rig: HeadRig, vertices: np.ndarray, camera: VideoCamera, shown: Rendering
) -> tuple[np.ndarray, np.ndarray]:
    """Gaps in depth (H W,) in mm and angles between normals (H W,) in degrees, NaN where either has no surface."""
    seen = RayScene(vertices, rig.triangles).first_hit(camera.origin, camera.rays())
    hit = seen.triangle >= 0
    gap, angle = np.full((2, len(hit)), np.nan)
    gap[hit] = MM_PER_UNIT * np.abs(seen.distance[hit] - shown.depth.ravel()[hit])
    corners = rig.triangles[seen.triangle[hit]]
    normals = np.einsum("nk,nkc->nc", seen.barycentric[hit], vertex_normals(vertices, rig.triangles)[corners])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cosine = (normals * shown.normals.reshape(-1, 3)[hit]).sum(1)
    angle[hit] = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return gap, angle


def line(rig: HeadRig, video: HeadVideo, frames: np.ndarray, shown: list[Rendering]) -> str:
    """What is printed of one mesh."""
    expressions, poses = video.tracks(rig)
    gaps: list[np.ndarray] = []
    angles: dict[str, list[np.ndarray]] = {name: [] for name in REGIONS}
    for frame, rendering in zip(frames, shown):
        posed = played(rig, expressions[frame], poses[frame])
        gap, angle = differences(rig, posed, video.cameras[frame], rendering)
        semantic = video.semantic(frame)
        gaps.append(gap[np.isfinite(gap)])
        for name, labels in REGIONS.items():
            here = np.isfinite(angle) if semantic is None else np.isfinite(angle) & np.isin(semantic, labels).ravel()
            angles[name].append(angle[here])
    gap = np.concatenate(gaps)
    means = {name: np.concatenate(each) for name, each in angles.items()}
    told = ", ".join(f"{name} {each.mean():.1f}" for name, each in means.items() if len(each))
    return f"median {np.median(gap):.3f} mm, {np.mean(gap <= 1.0):.1%} within 1 mm; normals in degrees: {told}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("video", type=Path, help="frames that it has not seen")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--vertices", type=int, nargs="+", default=[10_000, 20_000, 40_000, 1_000_000])
    args = parser.parse_args()
    torch.set_num_threads(1)
    avatar, template = load(args.run)
    video = read_video(args.video)
    frames = np.unique(np.linspace(0, len(video) - 1, args.frames).round().astype(int))
    expressions, poses = video.tracks(template.rig)
    shown = [render(avatar, template, video.cameras[k], expressions[k], poses[k]) for k in frames]
    for count in args.vertices:
        baked = bake_avatar(avatar, template, vertices=count)
        rig, size = as_morphs(baked), len(glb_of(baked)) / 1e6
        print(f"{len(rig.vertices):,} vertices, {size:.1f} MB: {line(rig, video, frames, shown)}", flush=True)


if __name__ == "__main__":
    main()
