# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The space bar of the terminal that a tool was started in."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_POLL_S = 0.1


@contextlib.contextmanager
def space_bar(toggle: Callable[[], None]) -> Iterator[None]:
    """
    Call a function whenever the space bar is pressed, where there is a keyboard.

    The terminal is as before afterwards.

    :param toggle: called in a thread of its own.
    """
    terminal = _terminal()
    if terminal is None:
        yield
        return
    import select
    import termios
    import tty

    descriptor, before = terminal
    stopping = threading.Event()

    def listen() -> None:
        while not stopping.is_set():
            ready, _, _ = select.select([descriptor], [], [], _POLL_S)
            if not ready:
                continue
            try:
                # not through sys.stdin, whose buffer select does not see
                keys = os.read(descriptor, 64)
            except OSError:
                return  # the terminal has gone
            if not keys:
                return
            if keys.count(b' ') % 2:
                toggle()

    thread = threading.Thread(target=listen, name='keyboard', daemon=True)
    tty.setcbreak(descriptor)
    try:
        thread.start()
        yield
    finally:
        stopping.set()
        thread.join()
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _terminal() -> tuple[int, Any] | None:
    """Return the descriptor of the terminal that input comes from, and its settings."""
    try:
        import termios
    except ImportError:
        return None
    try:
        descriptor = sys.stdin.fileno()
        return descriptor, termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        return None
