"""Laws of a session: undo and redo, drags, strength, and histories that can be done again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headfield.edit import operations
from headfield.edit.record import SavedHead
from headfield.errors import ConfigError
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.surface.head import Head
from headfield.types import ARKIT, Codes
from headfield.view.opening import mean_head
from headfield.view.state import MERGE_SECONDS, Session


class Clock:
    """Seconds that pass when told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(1)
    return ImHead(imhead_tiny()).eval().requires_grad_(False)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def session(tiny, clock):
    return Session(mean_head(tiny, "tiny"), clock=clock)


@pytest.fixture
def swapping(session):
    """A session with a second head, whose swaps cost nothing."""
    model = session.opened.head.model
    code = torch.randn(1, model.config.identity, generator=torch.Generator().manual_seed(4))
    session.other = SavedHead(Head(model, Codes(code)), "tiny", name="other")
    return session


def same(a: Head, b: Head) -> bool:
    pairs = zip(operations.in_use(a), operations.in_use(b))
    return all(torch.equal(x, y) for x, y in pairs) and torch.equal(a.codes.identity, b.codes.identity)


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("slide"), st.integers(0, 2), st.sampled_from([-1.0, 0.0, 2.0])),
        st.tuples(st.just("express"), st.sampled_from(["jawOpen", "browInnerUp"]), st.sampled_from([0.0, 0.5, 1.0])),
        st.tuples(st.just("swap"), st.sampled_from(["nose", "chin"]), st.just(0)),
        st.tuples(st.just("strength"), st.sampled_from(["nose", "chin"]), st.sampled_from([0.0, 0.5, 1.5])),
        st.tuples(st.just("reset"), st.sampled_from(["nose", None]), st.just(0)),
        st.tuples(st.just("undo"), st.just(0), st.just(0)),
        st.tuples(st.just("redo"), st.just(0), st.just(0)),
    ),
    max_size=12,
)  # fmt: skip


def do(session: Session, act) -> None:
    kind, what, value = act
    session.clock.now += 2 * MERGE_SECONDS
    if kind == "slide":
        session.slide(what, value)
    elif kind == "express":
        session.express({what: value}, what)
    elif kind in ("swap", "reset"):
        getattr(session, kind)(what)
    elif kind == "strength":
        session.strength(what, value)
    else:
        getattr(session, kind)()


@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
def test_undo_takes_back_everything_and_redo_brings_it_back(tiny, acts):
    session = Session(mean_head(tiny, "tiny"), clock=Clock())
    session.other = SavedHead(Head(tiny, Codes(torch.ones(1, tiny.config.identity))), "tiny", name="other")
    begin = session.now
    for act in acts:
        do(session, act)
    end, steps = session.now, 0
    while session.undo_label is not None:
        session.undo()
        steps += 1
    assert session.now is begin
    for _ in range(steps):
        session.redo()
    assert session.now is end
    assert session.undo().label == end.label or steps == 0 or session.redo() is end


def test_a_change_after_undo_forgets_what_was_undone(session, clock):
    session.slide(0, 1.0)
    session.undo()
    clock.now += 9
    session.slide(1, 1.0)
    assert session.redo_label is None and session.redo().sliders[:2] == (0.0, 1.0)


def test_a_drag_is_one_step_and_a_rest_ends_it(session, clock):
    for value in (0.1, 0.2, 0.3):
        clock.now += 0.5 * MERGE_SECONDS
        session.slide(0, value)
    session.slide(1, 0.5)  # another slider is another step, however soon
    session.undo()
    assert session.now.sliders[:2] == (0.3, 0.0)
    clock.now += 2 * MERGE_SECONDS
    session.slide(0, 0.4)
    session.undo()
    assert session.now.sliders[0] == 0.3
    session.undo()
    assert session.now.sliders[0] == 0.0 and session.undo_label is None


def test_a_change_that_changes_nothing_is_no_step(session):
    session.slide(0, 0.0)
    session.express({"jawOpen": 0.0})
    assert session.undo_label is None


def test_strength_is_linear_in_the_codes_and_needs_no_second_search(swapping, monkeypatch):
    swapping.swap("nose")
    none, full = swapping.head(swapping.before), swapping.head()
    monkeypatch.setattr(operations, "swap", lambda *a, **k: pytest.fail("worked out twice"))
    for strength in (0.0, 0.25, 1.0, 1.5):
        swapping.strength("nose", strength)
        for before, asked, now in zip(*map(operations.in_use, (none, full, swapping.head()))):
            assert torch.allclose(now, before + strength * (asked - before), atol=1e-6)
    assert swapping.strength_of("nose") == 1.5 and swapping.strength_of("mouth") is None


def test_what_is_saved_replays_to_the_same_codes(swapping, clock, tmp_path):
    swapping.slide(0, 1.2)
    swapping.swap("nose")
    swapping.strength("nose", 0.7)
    swapping.symmetrise("jaw")
    swapping.sample("chin", 1.5, 3)
    swapping.strength("chin", 0.4)
    swapping.express({"jawOpen": 0.5})
    saved = swapping.saved()
    path = saved.save(tmp_path / "head.npz")
    read = SavedHead.load(path, saved.head.model)
    assert [operation["do"] for operation in read.history] == ["swap", "symmetrise", "sample_region"]
    for head in (read.head, read.replay().head):
        for mine, theirs in zip(operations.in_use(head), operations.in_use(swapping.head())):
            assert torch.allclose(mine, theirs, atol=1e-6)
    assert read.head.codes.expression[0, ARKIT.index("jawOpen")] == 0.5


def test_a_saved_head_that_is_opened_again_keeps_its_edits_and_its_history(swapping):
    swapping.swap("nose")
    saved = swapping.saved()
    again = Session(saved)
    assert same(again.head(), swapping.head())
    assert [operation["do"] for operation in again.saved().history] == ["swap"]
    again.reset("nose")
    assert same(again.head(), swapping.head(swapping.before))


def test_edits_that_a_head_came_with_ride_on_moved_sliders(swapping):
    swapping.swap("nose")
    edited = Session(swapping.saved())
    plain = Session(mean_head(edited.opened.head.model, "tiny"))
    for each in (edited, plain):
        each.slide(0, 1.5)
    shift = [a - b for a, b in zip(*map(operations.in_use, (edited.head(), plain.head())))]
    was = [a - b for a, b in zip(*map(operations.in_use, (edited.opened.head, plain.opened.head)))]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(shift, was)) and shift[0].abs().max() > 0.1


def test_resetting_takes_only_that_region_back(swapping):
    swapping.swap("nose")
    nose_only = swapping.head()
    swapping.swap("chin")
    swapping.reset("chin")
    assert same(swapping.head(), nose_only)
    swapping.reset(None)
    assert same(swapping.head(), swapping.head(swapping.before))


def test_expressions_are_kept_within_their_bounds_and_taken_off_again(session):
    session.express({"jawOpen": 7.0})
    assert session.now.expression[ARKIT.index("jawOpen")] == 1.0
    assert session.head().codes.expression is not None
    session.express(np.zeros(52), "neutral")
    assert session.head().codes.expression is None


def test_a_swap_needs_a_second_head(session):
    with pytest.raises(ConfigError, match="no second head"):
        session.swap("nose")
