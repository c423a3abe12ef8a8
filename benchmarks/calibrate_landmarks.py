"""Make ``src/headfield/fit/pictures/face_map.json``: our landmarks on MediaPipe's face mesh.

    HEADFIELD_DATA=... python benchmarks/calibrate_landmarks.py --count 80

Raw scans of people of the *train* split are looked at from the sides that landmarks are measured from, the truth says
from where; the lifted meshes give the mean mesh, and least squares give the places and weights of the 68 landmarks and
the face's anchors. No test or dev identity has a say.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from raw_scans import raw_scan

from headfield.fit.gate import FACE_PARTS
from headfield.fit.pictures.detect import mediapipe_detector
from headfield.fit.pictures.face_map import calibrate
from headfield.fit.pictures.landmarks import CLOSE, FACE, RING, TOLERANCE
from headfield.fit.pictures.lift import fuse, robust_similarity, sight
from headfield.fit.pictures.views import Subject, axes_around, camera_at
from headfield.frames import ANCHOR_NAMES


def lifted_mesh(number: int, jitter: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Mesh (478, 3) and truth (68 + anchors, 3) of a training scan, both in its true model frame."""
    raw, detector = raw_scan("train", number), mediapipe_detector()
    model = raw.truth.model_from_scan
    subject = Subject(raw.scan)
    target = model.inverse().apply(FACE + jitter)
    views, pixels = [], []
    for yaw, pitch in RING:
        view = subject.picture(camera_at(target, axes_around(model.rotation, yaw, pitch), CLOSE / model.scale), 256)
        found = detector.mesh(view)
        if found is not None:
            views.append(view)
            pixels.append(found)
    if len(views) < 5:
        return None
    lifted = fuse(sight(subject, views, pixels), TOLERANCE / model.scale)
    truth = np.concatenate([raw.landmarks(), raw.anchors()[FACE_PARTS]])
    return model.apply(lifted.points), model.apply(truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--out", type=Path, default=Path("src/headfield/fit/pictures/face_map.json"))
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    found = [lifted_mesh(number, rng.normal(0, 0.02, 3)) for number in range(options.count)]
    meshes, truths = (np.array(part) for part in zip(*(pair for pair in found if pair is not None)))
    mean = np.nanmean(meshes, axis=0)
    for _ in range(4):  # the mean face and how each lies on it say one another
        laid = [robust_similarity(mesh, mean, np.ones(len(mean)), 2 * TOLERANCE)[0] for mesh in meshes]
        moved = np.array([similarity.apply(mesh) for similarity, mesh in zip(laid, meshes)])
        centred = np.nanmean(moved, axis=0)
        back = robust_similarity(centred, np.nanmean(meshes, axis=0), np.ones(len(mean)), 0.1)[0]
        mean = back.apply(centred)
    moved = np.array([similarity.apply(mesh) for similarity, mesh in zip(laid, meshes)])
    moved = np.where(np.isfinite(moved), moved, mean)
    targets = np.array([similarity.apply(truth) for similarity, truth in zip(laid, truths)])
    places, indices, weights = calibrate(moved, targets)
    content = {
        "source": f"{len(meshes)} raw scans of the train split, MediaPipe 0.10.14; benchmarks/calibrate_landmarks.py",
        "mesh": np.round(moved.mean(0), 4).tolist(),
        "places": np.round(places, 4).tolist(),
        "indices": indices.tolist(),
        "weights": np.round(weights, 3).tolist(),
        "anchors": [name for name, face in zip(ANCHOR_NAMES, FACE_PARTS) if face],
    }
    options.out.write_text(json.dumps(content) + "\n")
    print(f"{len(meshes)} of {options.count} scans; {options.out}")


if __name__ == "__main__":
    main()
