"""Tracking of depth videos on a head in closed form: stillness, time reversed, gaps, leaving the view, steadiness."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from stub_head import surface_of

from headfield.errors import ConfigError, ScanError
from headfield.fit.gate import FACE_PARTS
from headfield.fit.normal_equations import ViewState
from headfield.fit.track.frame import Person, difference, moved, solve_frame
from headfield.fit.track.identity import Known
from headfield.fit.track.motion import motion_of
from headfield.fit.track.options import TrackOptions
from headfield.fit.track.run import track
from headfield.fit.track.take import FOUND, LEFT, Take
from headfield.frames import reference_anchors
from headfield.io.depth_video import BLACK, DAMAGED, MISSING, DepthVideo, VideoFrame
from headfield.types import Codes, Scan, Similarity

OPTIONS = TrackOptions(points=300, early_points=200)


def scan_of(model, placed: Similarity, expression, seed: int, noise_mm: float = 0.5) -> Scan:
    """What a camera on the +z side sees of the stub, mm."""
    points, normals = surface_of(
        model, Codes(torch.zeros(1, 24), torch.as_tensor(np.asarray(expression))[None].float()), 1600, seed
    )
    facing = normals @ placed.rotation[2] > 0.3
    noise = noise_mm * np.random.default_rng(seed).standard_normal((int(facing.sum()), 1))
    return Scan(placed.apply(points[facing]) + noise * [0.0, 0.0, 1.0], units="mm", viewpoint=np.zeros(3))


def played(count: int):
    """Placements (model -> camera, mm) and expressions of a head that turns, sways and opens its mouth."""
    times = np.arange(count) / 30.0
    turns = np.stack([0.08 * np.sin(5 * times), 0.25 * np.sin(3 * times), 0 * times], axis=1)
    places = [0.0, -10.0, -600.0] + np.stack([15 * np.sin(4 * times), 0 * times, 10 * np.cos(3 * times)], axis=1)
    placed = [Similarity(Rotation.from_rotvec(turn).as_matrix(), place, 250.0) for turn, place in zip(turns, places)]
    mouth = 0.5 + 0.4 * np.sin(9 * times)
    return placed, np.stack([mouth, mouth, 0.2 + 0 * times], axis=1)


def frames_of(model, placed, expressions, seed: int = 0) -> list[VideoFrame]:
    return [
        VideoFrame(f"{number:03d}", scan_of(model, where, e, 100 * seed + number))
        for number, (where, e) in enumerate(zip(placed, expressions))
    ]


@pytest.fixture(scope="module")
def who(stub) -> Known:
    """The person, as if found out before; it stood in the first frame's place."""
    person = Person.of(stub, np.zeros(24), stub.prior.component(0), 1 / 250.0, 250.0, np.ones(3, dtype=bool))
    start = ViewState(played(1)[0][0].inverse(), np.array([0.5, 0.5, 0.2]), np.ones(3, dtype=bool))
    return Known(person, None, {0: start}, "mm", ())


@pytest.fixture(scope="module")
def moving(stub, who):
    """A moving head, and its take."""
    placed, expressions = played(24)
    frames = frames_of(stub, placed, expressions)
    return frames, placed, expressions, _track(frames, stub, who)


def _track(frames, stub, who, options=OPTIONS) -> Take:
    return track(frames, stub, options, who=who)[0]


def away(take: Take, placed) -> np.ndarray:
    """How far (T,) the face's anchors are from where they truly are, mm."""
    anchors = reference_anchors()[FACE_PARTS]
    return np.array([
        np.linalg.norm(found.inverse().apply(anchors) - true.apply(anchors), axis=1).mean()
        for found, true in zip(take.placements, placed)
    ])  # fmt: skip


def jitter(placements) -> float:
    """Root mean square second difference of the anchors, mm."""
    where = np.array([placement.inverse().apply(reference_anchors()[FACE_PARTS]) for placement in placements])
    return float(np.sqrt(np.square(np.diff(where, 2, axis=0)).sum(-1).mean()))


def test_a_moving_head_is_followed_without_lag(moving):
    _, placed, expressions, take = moving
    error = away(take, placed)
    mouth = np.abs(take.expression[:, 0] - expressions[:, 0])
    print(f"anchors {error.mean():.3f} mm mean, {error.max():.3f} worst; mouth {mouth.max():.3f}")
    assert set(take.marks) == {""} and take.seen.all()
    assert error.max() < 1.5
    assert mouth.max() < 0.15
    assert np.nanmax(take.error_mm) < 0.9
    turns = np.array([placement.rotation for placement in take.placements])
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-9)  # rounding does not grow on the way
    assert np.ptp([placement.scale for placement in take.placements]) < 1e-12


def test_a_still_head_gives_a_still_take_and_frames_alone_do_not(stub, who):
    placed, expressions = played(1)
    frames = frames_of(stub, placed * 16, np.repeat(expressions, 16, axis=0))
    take = _track(frames, stub, who)
    start = next(iter(who.keys.values()))
    alone = [solve_frame(who.person, frame.scan, start, OPTIONS, True, 0.1).state for frame in frames]
    ours, theirs = jitter(take.placements), jitter([state.similarity for state in alone])
    faces = np.std(np.diff(take.expression, 2, axis=0)), np.std(np.diff([s.expression for s in alone], 2, axis=0))
    print(f"jitter {ours:.4f} against {theirs:.4f} mm; of the mouth {faces[0]:.5f} against {faces[1]:.5f}")
    assert ours < 0.35 * theirs
    assert faces[0] < 0.5 * faces[1]


def test_time_reversed_gives_the_same_poses_reversed(stub, who, moving):
    frames, placed, _, take = moving
    last = {0: ViewState(placed[-1].inverse(), next(iter(who.keys.values())).expression, who.person.free)}
    back = _track(frames[::-1], stub, replace(who, keys=last))
    apart = away(back, [placement.inverse() for placement in take.placements[::-1]])
    print(f"forth and back differ by {apart.mean():.4f} mm, {apart.max():.4f} worst")
    assert apart.max() < 0.6
    assert np.abs(back.expression[::-1] - take.expression).max() < 0.1


def test_missing_and_black_frames_are_marked_and_bridged(stub, who, moving):
    frames, placed, expressions, take = moving
    holed = list(frames)
    for number, mark in ((8, MISSING), (9, BLACK), (15, DAMAGED)):
        holed[number] = VideoFrame(frames[number].name, None, mark, "cannot be read")
    bridged = _track(holed, stub, who)
    assert {number: mark for number, mark in enumerate(bridged.marks) if mark} == {8: MISSING, 9: BLACK, 15: DAMAGED}
    assert np.isnan(bridged.error_mm[[8, 9, 15]]).all() and not bridged.explained[[8, 9, 15]].any()
    error = away(bridged, placed)
    print(f"bridged frames {error[[8, 9, 15]].round(2)} mm, others {np.delete(error, [8, 9, 15]).max():.2f} worst")
    assert error.max() < 2.5
    assert np.abs(bridged.expression - expressions)[:, 0].max() < 0.25
    assert any("1 of 24 frames: black" in note for note in bridged.notes)
    assert any("cannot be read" in note for note in bridged.notes)


def test_a_person_who_leaves_the_view_is_marked_and_found_again(stub, who, moving, monkeypatch):
    frames, placed, _, _ = moving
    asked = []

    def find_head(scan, model, options):
        asked.append(scan.name)
        raise ScanError("there is no head")

    monkeypatch.setattr("headfield.fit.track.follow.find_head", find_head)
    wall = np.random.default_rng(0).uniform([-400, -300, -1510], [400, 300, -1490], (1500, 3))
    gone = [*frames]
    for number in range(8, 13):
        gone[number] = VideoFrame(frames[number].name, Scan(wall, units="mm", viewpoint=np.zeros(3)))
    take = _track(gone, stub, who)
    print(take.marks)
    assert len(asked) == 1  # the whole picture is searched in the first of five frames only
    assert all(mark == LEFT for mark in take.marks[8:13])
    assert take.marks[13] == FOUND and set(take.marks[:8] + take.marks[14:]) == {""}
    assert not take.seen[8:13].any() and take.seen[13:].all()
    assert away(take, placed)[[*range(8), *range(13, 24)]].max() < 1.5


def test_no_face_anywhere_is_an_error(stub, who):
    nothing = [VideoFrame("a", None, BLACK)] * 3
    with pytest.raises(ScanError, match="followed in none"):
        _track(nothing, stub, who)
    with pytest.raises(ScanError, match="no frames"):
        track([], stub)
    with pytest.raises(ConfigError, match="frames per second"):
        track(nothing, stub, replace(OPTIONS, fps=0.0))


def test_a_take_is_kept_on_disk(tmp_path, moving):
    take = moving[3]
    again = Take.load(take.save(tmp_path / "take"))
    assert again.names == take.names and again.marks == take.marks and again.fps == take.fps
    assert np.array_equal(again.expression, take.expression) and np.array_equal(again.error_mm, take.error_mm)
    for one, other in zip(again.placements, take.placements):
        assert np.allclose(one.matrix(), other.matrix(), atol=1e-12)
    assert take.to_dict()["frames"][0]["mark"] == ""
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(ScanError, match="not a take"):
        Take.load(tmp_path / "other.npz")


def test_steps_of_a_pose_are_undone_by_their_difference():
    rng = np.random.default_rng(1)
    start = Similarity(Rotation.random(random_state=1).as_matrix(), rng.normal(size=3), 0.004)
    step = 0.2 * rng.normal(size=6)
    assert np.allclose(difference(moved(start, step), start), step, atol=1e-12)


def test_movements_scale_with_the_square_of_time(stub):
    slow, fast = (motion_of(stub.expression_space, fps) for fps in (30.0, 60.0))
    assert slow.turn == pytest.approx(4 * fast.turn) and np.allclose(slow.expression, 4 * fast.expression)


# ---- the folder ----------------------------------------------------------------------------------------------------


def folder_of(place, numbers, form="frame_{}.npy"):
    depth = np.full((12, 16), 600.0)
    for number in numbers:
        np.save(place / form.format(number), depth)
    (place / "intrinsics.json").write_text('{"fx": 20, "fy": 20, "cx": 7.5, "cy": 5.5}')
    return place


def test_frames_are_in_the_order_of_their_numbers_and_gaps_are_missing(tmp_path):
    video = DepthVideo.open(folder_of(tmp_path, [8, 9, 10, 11, 13, 14, 15]))
    assert [name for name in video.names] == [f"frame_{number}.npy" for number in range(8, 16)]
    assert video[4].mark == MISSING and video[4].scan is None
    assert len(video[0].scan.points) == 192 and video[0].scan.normals is None
    np.save(tmp_path / "frame_9.npy", np.zeros((12, 16)))
    (tmp_path / "frame_10.npy").write_bytes(b"no array")
    assert [video[number].mark for number in range(4)] == ["", BLACK, DAMAGED, ""]
    assert "frame_10" in video[2].told


def test_numbers_that_are_times_leave_no_gaps(tmp_path):
    video = DepthVideo.open(folder_of(tmp_path, [1000, 1033, 1067, 1100, 1134, 1167]))
    assert len(video) == 6 and not any(file is None for file in video.files)


def test_folders_that_are_no_videos_are_refused(tmp_path):
    with pytest.raises(ScanError, match="no such folder"):
        DepthVideo.open(tmp_path / "none")
    with pytest.raises(ScanError, match="no camera"):
        DepthVideo.open(tmp_path)
    folder_of(tmp_path, [])
    with pytest.raises(ScanError, match="no depth maps"):
        DepthVideo.open(tmp_path)
    folder_of(tmp_path, [1])
    (tmp_path / "colour.png").write_bytes(b"x")
    with pytest.raises(ScanError, match="1 .npy, 1 .png"):
        DepthVideo.open(tmp_path)
