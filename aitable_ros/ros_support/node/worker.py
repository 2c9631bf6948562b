# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The thread in which a node does its work, so that its callbacks never block."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar('T')
R = TypeVar('R')


class Worker(Generic[T]):
    """
    One thread with a mailbox that keeps the newest items.

    Callbacks :meth:`offer` items for the thread to handle; one that is replaced by a newer one
    counts as overtaken. :meth:`call` runs a function between two items: so a network is created,
    used and closed by one thread. :meth:`hand_over` lets another worker go on between two items.

    :param name: name of the thread.
    :param handle: called in the thread with each item.
    :param on_error: called in the thread with what ``handle`` raised.
    :param depth: how many items may wait; 1 keeps only the newest.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[T], None],
        on_error: Callable[[Exception], None],
        depth: int = 1,
    ) -> None:
        self._handle = handle
        self._on_error = on_error
        self._wake = threading.Condition()
        self._items: deque[T] = deque()
        self._depth = depth
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._stopping = False
        self._paused = True
        self._successor: Worker[T] | None = None
        self.offered = 0
        self.overtaken = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True until :meth:`stop`."""
        return self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """True in the worker's own thread."""
        return threading.current_thread() is self._thread

    def offer(self, item: T) -> None:
        """Leave an item to be handled; returns at once. Ignored while paused."""
        with self._wake:
            successor = self._successor
            if successor is None:
                self._take(item)
        if successor is not None:
            successor.offer(item)

    def _take(self, item: T) -> None:
        if not (self._paused or self._stopping):
            self.offered += 1
            if len(self._items) >= self._depth:
                self._items.popleft()
                self.overtaken += 1
            self._items.append(item)
            self._wake.notify()

    def hand_over(self, successor: Worker[T]) -> None:
        """
        Let another worker handle what waits here and what will be offered here.

        :param successor: a worker that nothing was offered to yet; it is paused or not as this
            one is, and counts on from its counts.
        :raises RuntimeError: outside of this worker's thread (:meth:`call`), in which no item
            is being handled, so that none is lost or comes too early.
        """
        if not self.is_current:
            raise RuntimeError('a worker hands over in its own thread')
        with self._wake, successor._wake:
            self._successor = successor
            successor._items.extend(self._items)
            successor._paused = self._paused
            successor.offered += self.offered
            successor.overtaken += self.overtaken
            self._items.clear()
            successor._wake.notify()

    def call(self, function: Callable[[], R]) -> Future[R]:
        """Run a function in the thread, before any waiting item."""
        future: Future[R] = Future()
        with self._wake:
            if self._stopping:
                future.set_exception(RuntimeError('the worker has been stopped'))
                return future
            self._calls.append((function, future))
            self._wake.notify()
        return future

    def resume(self) -> None:
        """Accept items."""
        with self._wake:
            self._paused = False

    def pause(self) -> None:
        """Drop what waits, accept no more, and return when the current item is done."""
        with self._wake:
            self._paused = True
            self._items.clear()
        if not self.is_current and self.alive:
            self.call(lambda: None).result()

    def stop(self) -> None:
        """Finish what is running, run the calls that wait, and end the thread."""
        with self._wake:
            self._stopping = True
            self._items.clear()
            self._wake.notify()
        if not self.is_current:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not (self._calls or self._items or self._stopping):
                    self._wake.wait()
                call = self._calls.popleft() if self._calls else None
                if call is None and self._stopping:
                    return
                item = self._items.popleft() if call is None else None
            if call is not None:
                run_into(call[1], call[0])
            else:
                try:
                    self._handle(item)  # type: ignore[arg-type]
                except Exception as error:  # the thread must outlive a bad frame
                    self._on_error(error)


def run_into(future: Future[R], function: Callable[[], R]) -> None:
    """Hand what a function returns or raises to whoever waits for the future."""
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
