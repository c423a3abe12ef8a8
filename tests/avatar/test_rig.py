"""A head on joints: ICT's documented jaw and neck against its own blendshape and its own way of turning the head."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.errors import DataError
from headfield.frames import MM_PER_UNIT
from headfield.types import ARKIT


@pytest.fixture(scope="module")
def ict():
    from headfield.synth.person import family

    try:
        return family("ict")[0]
    except DataError as error:
        pytest.skip(str(error))


def test_the_turned_jaw_is_jaw_open_and_the_turned_neck_turns_the_skull(ict):
    from headfield.parametric.ict_rig import ict_rig, jaw_pose
    from headfield.parametric.normalise import normalising_similarity

    identity = ict.draw_identity(np.random.default_rng(3))
    rig, nothing = ict_rig(ict, identity), np.zeros(42)
    assert np.allclose(rig.weights.sum(1), 1.0) and rig.weights.min() > -1e-9
    neutral = ict.raw_vertices(identity)
    place = normalising_similarity(ict.anchors(neutral))
    pose = np.zeros((3, 3))
    shut = rig.posed(nothing, pose)
    pose[2] = jaw_pose(1.0)
    opened = rig.posed(nothing, pose)
    expression = np.zeros(52)
    expression[ARKIT.index("jawOpen")] = 1.0
    wide = place.apply(ict.raw_vertices(identity, expression))
    errors = {
        name: MM_PER_UNIT * np.linalg.norm(found - truth, axis=1)
        for name, found, truth in (("shut", shut, place.apply(neutral)), ("open", opened, wide))
    }
    moved = MM_PER_UNIT * np.linalg.norm(wide - place.apply(neutral), axis=1).max()
    for name, error in errors.items():
        print(f"jaw {name}: mean {error.mean():.4f} mm, largest {error.max():.3f} mm of {moved:.0f} mm")
    assert errors["shut"].max() < 1.5 and errors["open"].max() < 2.0
    assert errors["shut"].mean() < 0.25 and errors["open"].mean() < 0.25
    pose = np.zeros((3, 3))
    pose[1] = [0.1, 0.3, -0.1]
    turned = rig.posed(nothing, pose)
    skull = np.asarray(ict.turning_share) > 0.999
    first, second = shut[skull][::50], turned[skull][::50]
    gaps = [np.linalg.norm(x[:, None] - x[None], axis=2) for x in (first, second)]
    assert np.abs(gaps[0] - gaps[1]).max() < 1e-3, "the skull stays rigid"
    resting = np.asarray(ict.turning_share) == 0
    assert np.allclose(turned[resting], shut[resting])


def test_few_modes_are_another_face_on_the_same_joints(ict):
    from headfield.parametric.ict_rig import ict_rig

    identity = ict.draw_identity(np.random.default_rng(3))
    whole, few = ict_rig(ict, identity), ict_rig(ict, identity, modes=6)
    gap = MM_PER_UNIT * np.linalg.norm(whole.vertices - few.vertices, axis=1)[ict.face_mask]
    print(f"face of 6 modes against 100: mean {gap.mean():.2f} mm")
    assert gap.mean() > 0.5 and np.allclose(whole.places[2], few.places[2])


def test_the_filmed_subject_is_not_its_template(ict):
    from headfield.synth.video import draw_take, render_frame, video_camera
    from headfield.synth.video_subject import SEMANTICS, draw_subject

    subject = draw_subject(ict, 0)
    mean, high = subject.template_distance()
    print(f"template off by {mean:.2f} mm mean, {high:.2f} mm 95th percentile")
    assert mean > 1.5
    mild, strong = (draw_take(subject, 30, kind, np.random.default_rng(1)) for kind in (False, True))
    assert mild.channels.max() <= 0.45 < strong.channels.max() and strong.channels.max() <= 1.0
    picture = render_frame(subject, video_camera(48), mild.channels[7], mild.poses[7], 1)
    seen = set(np.unique(picture.semantic))
    assert {SEMANTICS[name] for name in ("background", "skin", "hair", "nose", "neck")} <= seen
    assert 0.15 < picture.mask.mean() < 0.8 and np.array_equal(picture.mask, picture.semantic > 0)
    towards = video_camera(48).origin - picture.places
    facing = np.nansum(picture.normals * towards, axis=2)[picture.mask]
    print(f"normals that face the camera: {(facing > 0).mean():.3f}")
    assert (facing > 0).mean() > 0.97
