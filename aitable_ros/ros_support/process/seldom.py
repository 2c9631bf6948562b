# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Log lines that others can cause: seldom, short, and with the number of those left out."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from aitable_ros.inference.engine import one_line

INTERVAL_S = 5.0


class SeldomLog:
    """
    Logs at most one line of each kind in :data:`INTERVAL_S`; from any thread.

    The next line of a kind says how many were left out. rclpy's throttling does not count them.

    :param logger: gives the logger of rclpy that is written to.
    """

    def __init__(self, logger: Callable[[], Any]) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._kinds: dict[str, tuple[float, int]] = {}

    def warn(self, kind: str, text: str) -> None:
        """Log a warning; kinds are names that the code gives, not what others sent."""
        line = self._line(kind, text)
        if line:
            self._logger().warning(line)

    def info(self, kind: str, text: str) -> None:
        """Log something of note, likewise."""
        line = self._line(kind, text)
        if line:
            self._logger().info(line)

    def error(self, kind: str, text: str, details: str = '') -> None:
        """Log an error, likewise; details, a traceback say, follow as they are."""
        line = self._line(kind, text)
        if line:
            self._logger().error(f'{line}\n{details}'.rstrip())

    def _line(self, kind: str, text: str) -> str:
        """Return what is to be logged now; empty: nothing."""
        now_s = time.monotonic()
        with self._lock:
            logged_s, left_out = self._kinds.get(kind, (-INTERVAL_S, 0))
            due = now_s - logged_s >= INTERVAL_S
            self._kinds[kind] = (now_s, 0) if due else (logged_s, left_out + 1)
        if not due:
            return ''
        more = f' ({left_out} more of this kind were left out)' if left_out else ''
        return one_line(text) + more
