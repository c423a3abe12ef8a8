"""Depth tracking of two synthetic heads that speak, blink and turn: how exact, how steady, how late, how fast.

    OMP_NUM_THREADS=2 python benchmarks/tracking.py                  # 60 frames of ICT dev 6 and anny dev 9
    OMP_NUM_THREADS=2 python benchmarks/tracking.py --frames 24      # a short one
    OMP_NUM_THREADS=2 python benchmarks/tracking.py --sheet out/     # and pictures: truth above, tracked below

Depth maps of 160 x 120 pixels with 0.5 mm of noise (`headfield.synth.depth_video`). Printed for each head:

* face: unsigned distance from the true skin of the face, seen or not, to the tracked head in the same frame, mm;
* jitter: root mean square over the face's anchors of the second difference of where an anchor is, less that of where it
  truly is, mm; of frames the median, so that a frame that failed does not speak for all. Against *frames alone*, the
  same person held but every frame solved by itself from the same start; and, on `--whole` frames from the middle of the
  video, against *whole fits*, each with the search and an identity of its own;
* lag: by how many frames the true jawOpen and blink must be delayed to fit the tracked ones best;
* frames per second, of wall clock and of CPU seconds, with finding out who it is and without.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from headfield.evaluate.truth import frozen_person
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import ViewState, codes_of, field_values
from headfield.fit.run import fit
from headfield.fit.track.frame import solve_frame
from headfield.fit.track.identity import Known
from headfield.fit.track.options import TrackOptions
from headfield.fit.track.run import track
from headfield.fit.track.take import Take
from headfield.io.depth_video import DepthVideo
from headfield.models.release import load
from headfield.surface.inverse_warp import from_canonical
from headfield.synth.depth_video import Acted, DepthCamera, acted, write_video
from headfield.types import ARKIT, Similarity

PEOPLE = (("ict", 6), ("anny", 9))
_FACE_POINTS = 1500


@dataclass(frozen=True)
class Shot:
    """A video and its truth: what was acted, skin (T, V, 3) in the model frame and anchors (T, 39, 3) in the camera's,
    metres."""

    video: DepthVideo
    acted: Acted
    skins: list[np.ndarray]
    triangles: np.ndarray
    face: np.ndarray
    anchors: np.ndarray


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--whole", type=int, default=8, help="frames that are fitted as single scans, too")
    parser.add_argument("--people", type=int, default=len(PEOPLE))
    parser.add_argument("--model", default="imhead-open-small")
    parser.add_argument("--sheet", type=Path, help="folder for pictures")
    asked = parser.parse_args()
    model = load(asked.model)
    for family, index in PEOPLE[: asked.people]:
        with tempfile.TemporaryDirectory() as folder:
            shot = shoot(family, index, asked.frames, Path(folder))
            run(f"{family} {index}", model, shot, asked)


def shoot(family: str, index: int, count: int, folder: Path) -> Shot:
    """A person before the camera."""
    person, camera, rng = frozen_person(family, "dev", index, "bald"), DepthCamera(), np.random.default_rng(5)
    played = acted(count, 1.0 / person.placement.scale, seed=index, mask=person.head.expression_mask)
    frames, skins, anchors = [], [], []
    for expression, placed in zip(played.expressions, played.camera_from_model):
        solid = person.solid(expression)
        skins.append(solid.vertices)
        frames.append(camera.depth(placed.apply(solid.vertices), person.sheet.triangles, rng))
        anchors.append(placed.apply(person.head.anchors(solid.vertices)))
    write_video(folder, frames, camera)
    visible = np.zeros(len(skins[0]), dtype=bool)
    visible[person.sheet.triangles[solid.seen & ~person.sheet.cap]] = True
    face = np.flatnonzero(visible & np.asarray(person.head.face_mask))
    face = face[:: max(1, len(face) // _FACE_POINTS)]
    return Shot(DepthVideo.open(folder), played, skins, person.sheet.triangles, face, np.array(anchors))


def run(name: str, model, shot: Shot, asked) -> None:
    """Track, compare, print."""
    begin, cpu = time.perf_counter(), time.process_time()
    take, who = track(shot.video, model)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    spent, count = take.seconds, len(take)
    face = [face_error(model, take, shot, index) for index in range(count)]
    where = anchors_of(model, take.placements, [take.identity] * count, take.expression)
    steady = jitter(where, shot.anchors)
    alone = frames_alone(who, shot)
    steady_alone = jitter(anchors_of(model, *zip(*alone)), shot.anchors)
    marked = {mark: take.marks.count(mark) for mark in set(take.marks) if mark}
    rate = count / (spent["frames"] + spent["smoothing"])
    print(
        f"{name}, {count} frames: face {np.mean(face):.2f} mm mean, {np.max(face):.2f} worst frame; told "
        f"{np.nanmedian(take.error_mm):.2f} mm; marks {marked or 'none'}\n"
        f"  jitter {steady:.3f} mm; frames alone {steady_alone:.3f} mm: ratio {steady / steady_alone:.2f}\n"
        f"  lag: jawOpen {lag_of(take, shot, 'jawOpen'):+.1f}, blink {lag_of(take, shot, 'eyeBlinkLeft'):+.1f} frames\n"
        f"  {count / wall:.2f} frames/s in all ({count / cpu:.2f} a CPU second), {rate:.2f} once the person is known; "
        + ", ".join(f"{key} {value:.1f} s" for key, value in spent.items()),
        flush=True,
    )
    if asked.whole > 2:
        few = slice(max(0, (count - asked.whole) // 2), max(0, (count - asked.whole) // 2) + asked.whole)
        fits = [fit(shot.video[index].scan, model, refuse=False) for index in range(count)[few]]
        parts = [f.placement for f in fits], [f.identity for f in fits], [f.expression for f in fits]
        own, ours = jitter(anchors_of(model, *parts), shot.anchors[few]), jitter(where[few], shot.anchors[few])
        print(
            f"  on {len(fits)} frames: whole fits {own:.3f} mm, ours {ours:.3f} mm: ratio {ours / own:.2f}", flush=True
        )
    if asked.sheet is not None:
        draw(asked.sheet / f"{name.replace(' ', '_')}.png", model, take, shot)


def face_error(model, take: Take, shot: Shot, index: int) -> float:
    """Mean distance (mm) from the true face to the tracked head in a frame."""
    points = 1000.0 * shot.acted.camera_from_model[index].apply(shot.skins[index][shot.face])
    state = ViewState(take.placements[index], take.expression[index])
    return float(np.abs(field_values(model, take.identity, state, points)).mean() / state.similarity.scale)


def anchors_of(model, placements, identities, expressions) -> np.ndarray:
    """Where the face's anchors are in every frame (T, F, 3), camera frame, mm, carried along by the expression."""
    found = []
    for placement, identity, expression in zip(placements, identities, expressions):
        codes = codes_of(model, identity, expression)
        points = model.anchors(codes)[0].double().numpy()[FACE_PARTS]
        found.append(placement.inverse().apply(from_canonical(model, points, codes).points))
    return np.array(found)


def jitter(where: np.ndarray, true_anchors: np.ndarray) -> float:
    """Root mean square of second differences of the error over the anchors, its median over frames, mm."""
    error = where - 1000.0 * true_anchors[:, FACE_PARTS]
    return float(np.median(np.sqrt(np.square(np.diff(error, 2, axis=0)).sum(-1).mean(1))))


def frames_alone(who: Known, shot: Shot):
    """Placement, identity and expression of every frame solved by itself, from where the person stood first."""
    start = who.keys[min(who.keys)]
    found = []
    for index in range(len(shot.video)):
        rest = np.zeros(len(start.expression))
        one = solve_frame(
            who.person, shot.video[index].scan, replace(start, expression=rest), TrackOptions(), True, 0.1
        )
        found.append((one.state.similarity, who.person.identity, one.state.expression))
    return found


def lag_of(take: Take, shot: Shot, channel: str) -> float:
    """Frames by which the true weights must be delayed to go with the tracked ones best."""
    at = ARKIT.index(channel)
    got, true, times = take.expression[:, at], shot.acted.expressions[:, at], np.arange(len(take))
    inner = slice(5, -5) if len(take) > 20 else slice(None)
    shifts = np.arange(-5.0, 5.01, 0.1)
    likeness = []
    for shift in shifts:
        moved = np.interp(times - shift, times, true)[inner]
        likeness.append(np.corrcoef(moved, got[inner])[0, 1] if moved.std() and got[inner].std() else np.nan)
    return float(shifts[int(np.nanargmax(likeness))]) if np.isfinite(likeness).any() else np.nan


def draw(path: Path, model, take: Take, shot: Shot, columns: int = 8, size: int = 240) -> None:
    """Truth above, tracked below, from the camera's side."""
    from headfield.surface.mesh_head import mesh_of
    from headfield.surface.sheet import contact_sheet, write_png
    from headfield.surface.snapshot import render
    from headfield.types import Mesh

    above, below, labels = [], [], []
    for index in np.linspace(0, len(take) - 1, min(columns, len(take))).round().astype(int):
        skin = Mesh(shot.acted.camera_from_model[index].apply(shot.skins[index]), shot.triangles)
        head = mesh_of(model, codes_of(model, take.identity, take.expression[index]), 192)
        head = head.transformed(take.placements[index].inverse()).transformed(Similarity(scale=1e-3))
        look = {"size": size, "frame_on": skin.vertices, "samples": 1, "occlusion_rays": 0, "zoom": 1.3}
        above.append(render(skin, **look))
        below.append(render(head, **look))
        labels.append(f"{index + 1}: {take.error_mm[index]:.2f} mm")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(contact_sheet([*above, *below], len(above), [*["truth"] * len(above), *labels]), path)


if __name__ == "__main__":
    main()
