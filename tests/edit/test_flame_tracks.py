"""FLAME sequences: read from what trackers write, made to fit a model, refused in words."""

import numpy as np
import pytest

from headfield.edit.flame_tracks import for_space
from headfield.edit.track_files import read_track, write_track
from headfield.edit.tracks import Track, resample, smooth
from headfield.errors import ConfigError, TrackError
from headfield.expressions import arkit_space, space_named

FLAME = space_named("flame", 13)


@pytest.fixture
def numbers():
    """Expression (20, 10) and jaw (20, 3)."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((20, 10)), 0.2 * rng.standard_normal((20, 3))


@pytest.mark.parametrize("kind", ["npz", "npy", "csv"])
def test_every_file_gives_the_same_numbers(tmp_path, numbers, kind):
    both = np.concatenate(numbers, axis=1)
    path = tmp_path / f"take.{kind}"
    if kind == "npz":
        np.savez(path, expr=numbers[0], jaw_pose=numbers[1], fps=25.0, shape=np.zeros(300), neck_pose=np.zeros((20, 3)))
    elif kind == "npy":
        np.save(path, both)
    else:
        heading = ["frame", *(f"exp_{i}" for i in range(1, 11)), "jaw_x", "jaw_y", "jaw_z", "camera"]
        rows = [",".join([str(i), *(f"{x:.9f}" for x in row), "main"]) for i, row in enumerate(both)]
        path.write_text("\n".join([",".join(heading), *rows]) + "\n")
    track = read_track(path, None if kind == "npz" else 25.0)
    assert track.channels == "flame" and track.fps == pytest.approx(25.0) and len(track) == 20
    np.testing.assert_allclose(track.weights, both, atol=1e-8)
    assert for_space(track, FLAME) is track
    back = read_track(write_track(track, tmp_path / "again.csv"))
    np.testing.assert_allclose(back.weights, both, atol=1e-5)
    np.testing.assert_allclose(back.times, track.times, atol=1e-6)


def test_more_and_fewer_coefficients_keep_the_first_ones_and_the_jaw(numbers):
    track = Track(np.arange(20) / 30, np.concatenate(numbers, axis=1), channels="flame")
    for count in (4, 50):
        fitted = for_space(track, space_named("flame", count + 3))
        kept = min(count, 10)
        np.testing.assert_array_equal(fitted.weights[:, :kept], numbers[0][:, :kept])
        np.testing.assert_array_equal(fitted.weights[:, -3:], numbers[1])
        assert fitted.weights.shape == (20, count + 3) and not fitted.weights[:, kept:-3].any()
        assert "10 expression coefficients" in fitted.notes[0]


def test_resampling_and_smoothing_keep_the_numbers_beyond_one(numbers):
    track = Track(np.arange(20) / 30, 3 * np.concatenate(numbers, axis=1), channels="flame")
    np.testing.assert_allclose(resample(track, 60).weights[::2], track.weights, atol=1e-12)
    assert smooth(track, 2.0).channels == "flame" and np.abs(smooth(track, 2.0).weights).max() > 1
    with pytest.raises(ConfigError, match="no left and right"):
        track.mirrored()


def test_languages_are_not_mixed_up(numbers):
    flame = Track(np.arange(20) / 30, np.concatenate(numbers, axis=1), name="take.npz", channels="flame")
    with pytest.raises(ConfigError, match="take.npz holds FLAME.*takes the 52 ARKit weights"):
        for_space(flame, arkit_space())
    with pytest.raises(ConfigError, match="holds the 52 ARKit weights.*takes FLAME"):
        for_space(Track([0.0], np.zeros((1, 52))), FLAME)


def test_bad_files_are_refused_in_words(tmp_path, numbers):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    expression, jaw = numbers
    hole = expression.copy()
    hole[4, 2] = np.nan
    cases = {
        "0 frames": {"expr": np.zeros((0, 10)), "jaw_pose": np.zeros((0, 3))},
        "frame 5, expr_2 is no finite": {"expr": hole, "jaw_pose": jaw},
        r"jaw of \(20, 4\)": {"expr": expression, "jaw_pose": np.zeros((20, 4))},
        "no expression coefficients.*holds shape": {"shape": np.zeros(3)},
        "standard deviations": {"expr": 100 * expression},
        "times": {"expr": expression, "times": np.zeros(20)},
        "pickled objects": {"expr": np.array([Trap()], dtype=object)},
    }
    for message, arrays in cases.items():
        np.savez(tmp_path / "bad.npz", **arrays)
        with pytest.raises(TrackError, match=message):
            read_track(tmp_path / "bad.npz")
    assert not (tmp_path / "sprung").exists()
    np.save(tmp_path / "flat.npy", np.zeros(20))
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "gap.csv").write_text("expr_0,expr_2\n0,0\n")
    (tmp_path / "none.csv").write_text("expr_0,expr_1\n")
    (tmp_path / "jaw.csv").write_text("expr_0,jaw_0\n0,0\n")
    messages = {"flat.npy": r"array of \(20,\)", "text.npz": "no NPZ", "gap.csv": "do not count on",
                "none.csv": "0 frames", "jaw.csv": "1 jaw columns", "gone.npy": "cannot be opened"}  # fmt: skip
    for name, message in messages.items():
        with pytest.raises(TrackError, match=message):
            read_track(tmp_path / name)
    with pytest.raises(ConfigError, match="per second"):
        np.save(tmp_path / "good.npy", np.concatenate(numbers, axis=1))
        read_track(tmp_path / "good.npy", -3)
