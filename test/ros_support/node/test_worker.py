# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The worker handles the newest item in its own thread and survives its errors."""

from __future__ import annotations

import threading

import pytest

from aitable_ros.ros_support.node import worker as worker_module


class Recorder:
    """Handles items only when let, so that the tests decide what waits."""

    def __init__(self) -> None:
        self.handled: list[object] = []
        self.errors: list[Exception] = []
        self.threads: set[int] = set()
        self.started = threading.Semaphore(0)
        self.proceed = threading.Semaphore(0)

    def handle(self, item):
        self.threads.add(threading.get_ident())
        self.started.release()
        assert self.proceed.acquire(timeout=10)
        if isinstance(item, Exception):
            raise item
        self.handled.append(item)


@pytest.fixture
def recorder():
    return Recorder()


def make(recorder, depth=1):
    worker = worker_module.Worker('test', recorder.handle, recorder.errors.append, depth)
    worker.resume()
    return worker


def finish(worker, recorder, items=100):
    for _ in range(items):
        recorder.proceed.release()
    worker.call(lambda: None).result(10)
    worker.stop()


def test_the_newest_item_wins_and_the_others_are_counted(recorder):
    worker = make(recorder)
    worker.offer(1)
    assert recorder.started.acquire(timeout=10)
    for item in (2, 3, 4):
        worker.offer(item)
    for _ in range(2):
        recorder.proceed.release()
    assert recorder.started.acquire(timeout=10)
    finish(worker, recorder)
    assert recorder.handled == [1, 4]
    assert (worker.offered, worker.overtaken) == (4, 2)


def test_a_deeper_mailbox_keeps_the_newest_in_order(recorder):
    worker = make(recorder, depth=2)
    worker.offer(1)
    assert recorder.started.acquire(timeout=10)
    for item in (2, 3, 4):
        worker.offer(item)
    for _ in range(3):
        recorder.proceed.release()
    for _ in range(2):
        assert recorder.started.acquire(timeout=10)
    finish(worker, recorder)
    assert recorder.handled == [1, 3, 4]


def test_calls_run_in_the_same_thread_as_the_items(recorder):
    worker = make(recorder)
    recorder.proceed.release()
    worker.offer('item')
    assert recorder.started.acquire(timeout=10)
    thread = worker.call(threading.get_ident).result(10)
    worker.stop()
    assert recorder.threads == {thread}
    assert thread != threading.get_ident()


def test_an_error_is_reported_and_the_thread_goes_on(recorder):
    worker = make(recorder)
    error = ValueError('bad frame')
    recorder.proceed.release()
    worker.offer(error)
    assert recorder.started.acquire(timeout=10)
    worker.call(lambda: None).result(10)
    recorder.proceed.release()
    worker.offer('good')
    assert recorder.started.acquire(timeout=10)
    finish(worker, recorder)
    assert recorder.errors == [error]
    assert recorder.handled == ['good']


def test_a_failing_call_raises_where_its_result_is_asked_for(recorder):
    worker = make(recorder)

    def fail():
        raise RuntimeError('no such file')

    with pytest.raises(RuntimeError, match='no such file'):
        worker.call(fail).result(10)
    worker.stop()


def test_paused_it_takes_nothing_and_drops_what_waits(recorder):
    worker = make(recorder)
    worker.offer(1)
    assert recorder.started.acquire(timeout=10)
    worker.offer(2)
    recorder.proceed.release()
    worker.pause()
    worker.offer(3)
    finish(worker, recorder)
    assert recorder.handled == [1]


def test_after_stop_calls_fail_and_stopping_again_is_harmless(recorder):
    worker = make(recorder)
    worker.stop()
    worker.stop()
    assert not worker.alive
    with pytest.raises(RuntimeError, match='stopped'):
        worker.call(lambda: None).result(10)


def test_another_worker_takes_over_what_waits_and_what_comes(recorder):
    old = make(recorder, depth=3)
    new = worker_module.Worker('new', recorder.handle, recorder.errors.append, 3)
    old.offer(1)
    assert recorder.started.acquire(timeout=10)
    for item in (2, 3):
        old.offer(item)
    first = new.call(threading.get_ident)
    done = old.call(lambda: old.hand_over(new))
    recorder.proceed.release()
    done.result(10)
    old.offer(4)  # by somebody who knows the old one only
    new.offer(5)
    old.stop()
    finish(new, recorder)
    # 2 was the oldest of four in a mailbox of three, unless it was handled by then
    assert recorder.handled in ([1, 2, 3, 4, 5], [1, 3, 4, 5])
    assert new.offered == 5
    assert len(recorder.handled) == 5 - new.overtaken
    assert recorder.threads == {first.result(10)} | recorder.threads
    assert len(recorder.threads) == 2


def test_a_paused_worker_hands_over_its_pause(recorder):
    old = worker_module.Worker('old', recorder.handle, recorder.errors.append)
    new = make(recorder)
    old.call(lambda: old.hand_over(new)).result(10)
    new.offer(1)
    old.stop()
    finish(new, recorder)
    assert recorder.handled == []


def test_no_other_thread_may_hand_over(recorder):
    old, new = make(recorder), make(recorder)
    with pytest.raises(RuntimeError, match='own thread'):
        old.hand_over(new)
    old.stop()
    new.stop()
