# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Turns at the GPU: none begins once the process ends."""

from __future__ import annotations

import atexit
import threading
import weakref

_EXIT_WAIT_S = 5.0

_turns: weakref.WeakSet[Turn] = weakref.WeakSet()
_exit_gate = threading.RLock()


class Turn:
    """Held by an engine's thread while it works; see :func:`stop_for_exit`."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        _turns.add(self)

    def __enter__(self) -> None:
        with _exit_gate:
            self.lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self.lock.release()


def stop_for_exit() -> None:
    """
    Wait for runs under way, and let no other thread begin one.

    Python ends daemon threads where they next ask for its lock. When that is on the way back
    from a CUDA call, through frames of C++, the whole process aborts.
    """
    _exit_gate.acquire()
    for turn in tuple(_turns):
        turn.lock.acquire(timeout=_EXIT_WAIT_S)


atexit.register(stop_for_exit)
