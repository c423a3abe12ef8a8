"""The newest job wins, long jobs wait their turn, and no error ends a thread."""

from __future__ import annotations

import threading

import pytest

from headfield.view.worker import Newest, Stale, Tasks


@pytest.fixture
def errors():
    return []


@pytest.fixture
def newest(errors):
    worker = Newest(errors.append, "test")
    yield worker
    worker.close()


@pytest.fixture
def tasks(errors):
    worker = Tasks(errors.append, "test")
    yield worker
    worker.close()


def test_what_runs_is_told_to_stop_and_what_waits_is_dropped(newest):
    started, go, done = threading.Event(), threading.Event(), []

    def first(stop):
        started.set()
        go.wait(5)
        stop()
        done.append("first")

    newest.put(first)
    assert started.wait(5) and not newest.idle()
    newest.put(lambda stop: done.append("second"))
    newest.put(lambda stop: (stop(), done.append("third")))
    go.set()
    assert newest.wait(5) and newest.idle()
    assert done == ["third"]


def test_an_error_is_told_and_the_thread_lives_on(newest, tasks, errors):
    done = []
    newest.put(lambda stop: 1 / 0)
    assert newest.wait(5)
    newest.put(lambda stop: done.append("newest"))
    assert newest.wait(5)
    last = threading.Event()
    for job in (lambda: {}["nothing"], lambda: done.append("tasks"), last.set):
        tasks.put(job)
    assert last.wait(5)
    assert [type(error) for error in errors] == [ZeroDivisionError, KeyError] and done == ["newest", "tasks"]


def test_giving_up_is_no_error(newest, tasks, errors):
    def give_up(*_):
        raise Stale

    last = threading.Event()
    newest.put(give_up)
    tasks.put(give_up)
    tasks.put(last.set)
    assert newest.wait(5) and last.wait(5) and errors == []


def test_tasks_are_done_in_order_one_at_a_time(tasks):
    order, inside, last = [], [], threading.Event()

    def job(number):
        inside.append(number)
        assert len(inside) == 1
        order.append(number)
        inside.remove(number)

    for number in range(20):
        tasks.put(lambda n=number: job(n))
    tasks.put(last.set)
    assert last.wait(5) and order == list(range(20))


def test_closing_drops_what_waits_and_ends_the_threads(errors):
    newest, tasks, go, done = Newest(errors.append, "a"), Tasks(errors.append, "b"), threading.Event(), []
    started = threading.Event()
    tasks.put(lambda: (started.set(), go.wait(5)))
    tasks.put(lambda: done.append("never"))
    assert started.wait(5) and tasks.waiting() == 2
    tasks.close()
    newest.close()
    go.set()
    tasks._thread.join(5)
    assert not tasks._thread.is_alive() and not newest._thread.is_alive()
    assert done == [] and tasks.closed()
