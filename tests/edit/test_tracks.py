"""Tracks: every file that a recorder writes is read alike, bad ones are refused in words; resampling and smoothing."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from headfield.edit.presets import PRESETS, parse_presets, preset, preset_loop
from headfield.edit.track_files import read_track, write_track
from headfield.edit.tracks import Track, centred, flipped, head_angles, head_rotation, resample, smooth
from headfield.errors import ConfigError, OutputError, TrackError
from headfield.types import ARKIT, ARKIT_MIRROR

JAW = ARKIT.index("jawOpen")
LIVE_LINK = [name[0].upper() + name[1:] for name in sorted(ARKIT, key=lambda n: (not n.startswith("eye"), n))]
ANGLES = [f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")]
MEDIAPIPE = ["_neutral", *(name for name in ARKIT if name != "tongueOut")]


def _weights(frames=150, seed=0):
    """Smooth random curves (T, 52) within 0..1."""
    rng = np.random.default_rng(seed)
    time = np.linspace(0, 4, frames)[:, None]
    return 0.5 + 0.45 * np.sin(time * rng.uniform(0.5, 3, 52) + rng.uniform(0, 6, 52))


def _rotations(frames=150):
    time = np.linspace(0, 4, frames)
    return head_rotation(np.column_stack([0.4 * np.sin(time), 0.2 * np.cos(time), 0.1 * np.sin(2 * time)]))


def _write_csv(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(rows)
    return path


def _live_link(path, weights, *, fps=60, start=14 * 3600 + 3 * 60 + 58.3, drop=(), angles=None):
    """A file as the telephone writes it: PascalCase in its own order, timecodes, angles last."""
    rows = []
    for index, row in enumerate(weights):
        if index in drop:
            continue
        total = start + index / fps
        second = int(total + 1e-9)
        frame = (total - second) * fps
        code = f"{second // 3600 % 24:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{max(frame, 0):06.3f}"
        values = [row[ARKIT.index(name[0].lower() + name[1:])] for name in LIVE_LINK]
        turn = [0.0] * 9 if angles is None else [*angles[index], *([0.01] * 6)]
        rows.append([code, 61, *(f"{value:.10f}" for value in [*values, *turn])])
    return _write_csv(path, ["Timecode", "BlendShapeCount", *LIVE_LINK, *ANGLES], rows)


# ---- what recorders write ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [60, 30])
def test_live_link_face(tmp_path, fps):
    weights, angles = _weights(), head_angles(_rotations())
    track = read_track(_live_link(tmp_path / "take.csv", weights, fps=fps, angles=angles))
    np.testing.assert_allclose(track.weights, weights, atol=1e-9)
    np.testing.assert_allclose(track.times, np.arange(150) / fps, atol=2e-4)
    np.testing.assert_allclose(track.rotation, _rotations(), atol=1e-9)
    assert abs(track.fps - fps) < 0.5 and not [n for n in track.notes if "Missing" in n or "Ignored" in n]


def test_live_link_drop_outs_keep_their_times_and_are_bridged(tmp_path):
    weights, drop = _weights(), range(40, 52)
    track = read_track(_live_link(tmp_path / "take.csv", weights, drop=drop))
    assert len(track) == 138 and abs(track.times[-1] - 149 / 60) < 2e-4 and track.rotation is None
    even = resample(track, 60)
    assert len(even) == 150
    np.testing.assert_allclose(even.weights[:40], weights[:40], atol=1e-3)
    np.testing.assert_allclose(even.weights[52:], weights[52:], atol=1e-3)
    np.testing.assert_allclose(even.weights[45], (7 * weights[39] + 6 * weights[52]) / 13, atol=1e-3)


def test_live_link_past_midnight(tmp_path):
    track = read_track(_live_link(tmp_path / "night.csv", _weights(), start=86399.0))
    np.testing.assert_allclose(track.times, np.arange(150) / 60, atol=2e-4)


@pytest.mark.parametrize("kind", ["csv", "csv_ms", "csv_frames", "json_map", "json_list", "json_result"])
def test_mediapipe(tmp_path, kind):
    weights = _weights(60)
    weights[:, ARKIT.index("tongueOut")] = 0
    scores = [{"_neutral": 1e-6} | {n: row[ARKIT.index(n)] for n in MEDIAPIPE[1:]} for row in weights]
    entries = [[{"index": i, "score": v, "categoryName": n, "displayName": ""} for i, (n, v) in enumerate(f.items())]
               for f in scores]  # fmt: skip
    path = tmp_path / f"scores.{kind[:4].strip('_')}"
    if kind.startswith("csv"):
        heading = {"csv": "time", "csv_ms": "timestamp_ms", "csv_frames": "frame"}[kind]
        time = {"csv": lambda i: i / 25, "csv_ms": lambda i: 1000 + 40 * i, "csv_frames": lambda i: i}[kind]
        rows = [[time(i), *f.values()] for i, f in enumerate(scores)]
        path = _write_csv(tmp_path / "scores.csv", [heading, *MEDIAPIPE], rows)
    else:
        frames = {
            "json_map": lambda i: scores[i] | {"timestamp_ms": 40 * i},
            "json_list": lambda i: entries[i],
            "json_result": lambda i: {"timestamp_ms": 40 * i, "faceBlendshapes": [{"categories": entries[i]}]},
        }[kind]
        path.write_text(json.dumps([frames(i) for i in range(60)]))
    track = read_track(path, fps=25)
    np.testing.assert_allclose(track.weights, weights, atol=1e-12)
    np.testing.assert_allclose(track.times, np.arange(60) / 25, atol=1e-9)
    assert any("Missing 1 channel" in note and "tongueOut" in note for note in track.notes)
    assert not any("_neutral" in note for note in track.notes), "the neutral score is no extra column to report"


@pytest.mark.parametrize("layout", ["rows", "flat"])
def test_mediapipe_head_pose(tmp_path, layout):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = _rotations()[30], (1, 2, -40)
    matrix = pose.tolist() if layout == "rows" else {"rows": 4, "columns": 4, "data": pose.T.reshape(-1).tolist()}
    frames = [{"timestamp_ms": 33 * i, "blendshapes": {"jawOpen": 0.1}, "facialTransformationMatrixes": [matrix]}
              for i in range(3)]  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps({"fps": 30, "frames": frames}))
    np.testing.assert_allclose(read_track(tmp_path / "a.json").rotation[1], _rotations()[30], atol=1e-9)


def test_no_face_in_a_few_frames_is_bridged_and_said(tmp_path):
    frames = [{"jawOpen": 0.1 * i} for i in range(10)]
    frames[4] = frames[5] = {"faceBlendshapes": []}
    (tmp_path / "a.json").write_text(json.dumps(frames))
    track = read_track(tmp_path / "a.json")
    np.testing.assert_allclose(track.weights[:, JAW], 0.1 * np.arange(10), atol=1e-12)
    assert any("2 frames of 10" in note for note in track.notes)


def test_our_own_file_comes_back(tmp_path):
    track = Track(np.arange(150) / 50, _weights(), _rotations())
    again = read_track(write_track(track, tmp_path / "own.csv"))
    np.testing.assert_allclose(again.weights, track.weights, atol=1e-6)
    np.testing.assert_allclose(again.rotation, track.rotation, atol=1e-6)
    np.testing.assert_allclose(again.times, track.times, atol=1e-6)
    assert again.notes == ()


def test_names_in_any_case_missing_and_extra_are_told(tmp_path):
    rows = [[0, 0.5, 1, 7], [0.1, 0.25, 0, 8]]
    path = _write_csv(tmp_path / "a.csv", ["Time", "JAWOPEN", "eyeBlink_L", "mood"], rows)
    track = read_track(path)
    assert track.weights[:, JAW].tolist() == [0.5, 0.25] and track.weights[0, ARKIT.index("eyeBlinkLeft")] == 1
    assert track.weights.sum() == 1.75
    assert any("Missing 50 channels" in n and "browDownLeft" in n for n in track.notes)
    assert any("Ignored 1 column" in n and "mood" in n for n in track.notes)


# ---- bad input -----------------------------------------------------------------------------------------------------

BAD = {
    "empty.csv": ("", "0 frames"),
    "heading.csv": ("time,jawOpen\n", "0 frames"),
    "empty.json": ("[]", "0 frames"),
    "not.json": ("[{", "not JSON"),
    "object.json": ('{"a": 1}', "list of frames"),
    "numbers.json": ("[1, 2]", "categoryName"),
    "words.json": ('[{"jawOpen": "wide"}]', "no number"),
    "nofaces.json": ("[[], []]", "no ARKit channel"),
    "columns.csv": ("x,y,z\n1,2,3\n", "no column is an ARKit channel"),
    "text.csv": ("time,jawOpen\n0,abc\n", "row 2, column jawOpen: 'abc' is no number"),
    "back.csv": ("time,jawOpen\n0,0\n0.2,0\n0.1,0\n", "do not increase: frame 3"),
    "same.csv": ("time,jawOpen\n" + "0,0\n" * 5, "do not increase"),
    "hole.csv": ("time,jawOpen\n0,0\n,1\n0.2,0\n", "frame 2 has no time"),
    "nan.csv": ("time,jawOpen,jawLeft\n0,0,nan\n0.1,0,nan\n", "without a single number: jawLeft"),
    "mostly.csv": ("time,jawOpen\n0,0\n0.1,nan\n0.2,nan\n0.3,nan\n", "missing in 3 of 4"),
    "percent.csv": ("time,jawOpen\n0,0\n0.1,80\n", "divide by 100"),
    "twice.csv": ("time,jawOpen,JawOpen\n0,0,0\n", "appear twice"),
    "short.csv": ("time,jawOpen,jawLeft\n0,0\n1,0,0\n", "row 2: 2 cells, the heading has 3"),
    "code.csv": ("Timecode,jawOpen\n12-30,0\n", "no timecode"),
    "take.fbx": ("x", ".csv or .json"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_words(tmp_path, name):
    content, said = BAD[name]
    (tmp_path / name).write_text(content)
    with pytest.raises(TrackError, match=name) as refusal:
        read_track(tmp_path / name)
    assert said in str(refusal.value)


def test_more_bad_input(tmp_path):
    with pytest.raises(TrackError, match="No such file"):
        read_track(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfd\x00\x81")
    with pytest.raises(TrackError, match="is not UTF-8"):
        read_track(tmp_path / "binary.csv")
    track = preset_loop(preset("smile"))
    for rate in (0, -1, 1e9, float("nan")):
        with pytest.raises(ConfigError, match="per second"):
            resample(track, rate)
    with pytest.raises(ConfigError, match="cutoff"):
        smooth(track, 0)
    with pytest.raises(TrackError, match=".csv"):
        write_track(track, tmp_path / "a.json")
    with pytest.raises(OutputError):
        write_track(track, tmp_path / "no" / "a.csv")
    with pytest.raises(TrackError, match="increase"):
        Track(np.array([0.0, 0.0]), np.zeros((2, 52)))
    with pytest.raises(TrackError, match="shape"):
        Track(np.array([0.0, 1.0]), np.zeros((2, 51)))


# ---- resampling ----------------------------------------------------------------------------------------------------


def test_resampling_is_linear_on_weights_and_slerp_on_rotations():
    turns = Rotation.from_rotvec([[0, 0, 0], [0, 1.2, 0], [0.5, 1.2, 0]])
    track = Track(np.array([0.0, 1.0, 1.5]), np.vstack([np.zeros(52), np.ones(52), np.zeros(52)]), turns.as_matrix())
    fine = resample(track, 20)
    assert len(fine) == 31
    np.testing.assert_allclose(fine.weights[:, 0], np.interp(fine.times, track.times, [0, 1, 0]), atol=1e-12)
    np.testing.assert_allclose(fine.rotation[5], Rotation.from_rotvec([0, 0.3, 0]).as_matrix(), atol=1e-9)
    product = fine.rotation @ fine.rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(product, np.tile(np.eye(3), (31, 1, 1)), atol=1e-9)
    same = resample(fine, 20)
    np.testing.assert_allclose(same.weights, fine.weights, atol=1e-9)
    one = resample(Track(np.array([3.0]), np.ones((1, 52))), 24)
    assert len(one) == 1 and one.weights.all()


# ---- the one-euro filter -------------------------------------------------------------------------------------------


class _OneEuro:
    """The filter as its paper's pseudo-code states it, one number at a time."""

    def __init__(self, min_cutoff, beta, derivative_cutoff):
        self.settings = min_cutoff, beta, derivative_cutoff
        self.value = self.slope = None

    @staticmethod
    def alpha(rate, cutoff):
        tau = 1.0 / (2 * np.pi * cutoff)
        period = 1.0 / rate
        return 1.0 / (1.0 + tau / period)

    def __call__(self, value, rate):
        min_cutoff, beta, derivative_cutoff = self.settings
        if self.value is None:
            self.value, self.slope = value, 0.0
            return value
        slope = (value - self.value) * rate
        a = self.alpha(rate, derivative_cutoff)
        self.slope = a * slope + (1 - a) * self.slope
        a = self.alpha(rate, min_cutoff + beta * abs(self.slope))
        self.value = a * value + (1 - a) * self.value
        return self.value


def test_one_euro_equals_its_scalar_definition_at_uneven_times():
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.005, 0.05, 200))
    track = Track(times, rng.random((200, 52)))
    fast = smooth(track, 1.3, 0.7, 0.9).weights
    for channel in (0, JAW, 51):
        slow = _OneEuro(1.3, 0.7, 0.9)
        rates = 1 / np.diff(times, prepend=times[0] - 1)
        expected = [slow(value, rate) for value, rate in zip(track.weights[:, channel], rates)]
        np.testing.assert_allclose(fast[:, channel], expected, atol=1e-12)


def test_one_euro_keeps_constants_and_is_causal():
    still = Track(np.arange(50) / 30, np.full((50, 52), 0.3), np.tile(_rotations()[20], (50, 1, 1)))
    np.testing.assert_allclose(smooth(still).weights, 0.3, atol=1e-12)
    np.testing.assert_allclose(smooth(still).rotation, still.rotation, atol=1e-9)
    track = Track(np.arange(150) / 60, _weights(), _rotations())
    changed = _weights()
    changed[100:] = 0
    later = Track(track.times, changed, track.rotation)
    assert (smooth(track).weights[:100] == smooth(later).weights[:100]).all()
    assert (smooth(track).weights[100:] != smooth(later).weights[100:]).all()


def test_one_euro_delay_shrinks_with_beta_and_jitter_with_the_cutoff():
    ramp = Track(np.arange(120) / 60, np.tile(np.linspace(0, 1, 120)[:, None], (1, 52)))
    lags = [float((ramp.weights - smooth(ramp, 1.0, beta).weights)[-1, 0]) for beta in (0, 1, 4, 16)]
    assert all(a > 1.2 * b for a, b in zip(lags, lags[1:])) and lags[-1] > 0
    noise = Track(ramp.times, 0.5 + 0.02 * np.random.default_rng(0).standard_normal((120, 52)))
    jitter = [np.abs(np.diff(smooth(noise, cutoff, 0.0).weights, axis=0)).mean() for cutoff in (8.0, 2.0, 0.5)]
    assert all(a > 1.5 * b for a, b in zip(jitter, jitter[1:]))


def test_smoothed_rotations_stay_rotations_and_do_not_jump_at_half_turns():
    angles = np.column_stack([np.linspace(0, 7, 200), np.zeros(200), np.zeros(200)])  # more than a full turn
    track = Track(np.arange(200) / 60, np.zeros((200, 52)), head_rotation(angles))
    smoothed = smooth(track, 2, 1).rotation
    np.testing.assert_allclose(np.linalg.det(smoothed), 1, atol=1e-9)
    step = Rotation.from_matrix(smoothed[:-1].transpose(0, 2, 1) @ smoothed[1:]).magnitude()
    assert step.max() < 0.06 and step[100:].min() > 0.02


# ---- rotations, presets --------------------------------------------------------------------------------------------


def test_head_angles_mean_what_they_say():
    face, crown, ear = np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), np.array([1.0, 0, 0])
    assert (head_rotation([0.3, 0, 0])[0] @ face)[0] > 0.2, "positive yaw: the face turns to the subject's left"
    assert (head_rotation([0, 0.3, 0])[0] @ face)[1] < -0.2, "positive pitch: nods down"
    assert (head_rotation([0, 0, 0.3])[0] @ crown)[0] < -0.2, "positive roll: the crown leans to the subject's right"
    assert (head_rotation([0, 0, 0.3])[0] @ ear)[1] > 0.2
    np.testing.assert_allclose(head_rotation(head_angles(_rotations())), _rotations(), atol=1e-9)


def test_mirroring_is_an_involution_that_swaps_sides():
    track = Track(np.arange(150) / 60, _weights(), _rotations())
    back = track.mirrored().mirrored()
    np.testing.assert_allclose(back.weights, track.weights)
    np.testing.assert_allclose(back.rotation, track.rotation, atol=1e-12)
    wink = preset("wink")[ARKIT_MIRROR]
    assert wink[ARKIT.index("eyeBlinkRight")] == 1
    np.testing.assert_allclose(head_angles(track.mirrored().rotation)[:, 0], -head_angles(track.rotation)[:, 0])


def test_centring_and_flipping_the_head():
    track = Track(np.arange(150) / 60, _weights(), head_rotation([0.5, -0.2, 0.1]) @ _rotations())
    mean = Rotation.from_matrix(centred(track).rotation).mean().magnitude()
    assert mean < 1e-6 < 0.4 < Rotation.from_matrix(track.rotation).mean().magnitude()
    apart = track.rotation[:-1].transpose(0, 2, 1) @ track.rotation[1:]
    again = centred(track).rotation
    np.testing.assert_allclose(again[:-1].transpose(0, 2, 1) @ again[1:], apart, atol=1e-9)
    angles = head_angles(track.rotation)
    np.testing.assert_allclose(head_angles(flipped(track, ["pitch"]).rotation), angles * [1, -1, 1], atol=1e-9)
    with pytest.raises(ConfigError, match="tilt"):
        flipped(track, ["tilt"])
    still = Track([0.0], np.zeros((1, 52)))
    assert centred(still).rotation is None and flipped(still, ["yaw"]).rotation is None


def test_presets():
    for name in PRESETS:
        weights = preset(name)
        assert weights.shape == (52,) and 0 <= weights.min() and weights.max() <= 1
    np.testing.assert_allclose(preset("smile", 0.5), 0.5 * preset("smile"))
    names, rows = parse_presets(["smile", "blink=0.5", "jawOpen=0.2"])
    assert names == ("smile", "blink", "jawOpen") and rows[2, JAW] == 0.2 and rows[1].max() == 0.5
    with pytest.raises(ConfigError, match="surprise"):
        preset("suprise")
    for word in ("smile=much", "smile=-1", "smile=9", "smile=nan"):
        with pytest.raises(ConfigError, match="smile"):
            parse_presets([word])


def test_a_loop_of_presets_is_seamless():
    track = preset_loop(parse_presets(["smile", "blink"])[1], fps=60)
    assert track.weights[0].max() == 0 and track.weights[-1].max() < 0.01
    assert np.abs(np.diff(track.weights, axis=0)).max() < 0.1
    np.testing.assert_allclose(track.weights.max(axis=0), np.maximum(preset("smile"), preset("blink")), atol=1e-9)
