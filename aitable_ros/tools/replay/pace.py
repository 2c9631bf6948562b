# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""When what of a recording is due: its time at another rate, which may stand still."""

from __future__ import annotations

import time
from collections.abc import Callable

_NS = 1_000_000_000


class Pace:
    """
    When what is due, in wall-clock time.

    :param rate: how many times faster than recorded.
    :param now: tells the time [s]; monotonic.
    """

    def __init__(self, rate: float, now: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._now = now
        self._start_s = 0.0
        self._bag_start_ns = 0
        self._paused_at_s: float | None = None
        self._stood_s = 0.0

    def begin(self, bag_start_ns: int) -> None:
        """Let this log time [ns] be now."""
        self._bag_start_ns = bag_start_ns
        self._start_s = self._now()
        self._stood_s = 0.0
        if self._paused_at_s is not None:
            self._paused_at_s = self._start_s

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return self._paused_at_s is not None

    def pause(self) -> None:
        """Let time stand still."""
        if self._paused_at_s is None:
            self._paused_at_s = self._now()

    def resume(self) -> None:
        """Let time go on from where it stood still."""
        if self._paused_at_s is not None:
            self._start_s += self._now() - self._paused_at_s
            self._stood_s += self._now() - self._paused_at_s
            self._paused_at_s = None

    @property
    def stood_s(self) -> float:
        """How long time stood still since the beginning [s]."""
        standing_s = 0.0 if self._paused_at_s is None else self._now() - self._paused_at_s
        return self._stood_s + standing_s

    def due_in_s(self, log_time_ns: int) -> float:
        """Tell in how many seconds a log time [ns] comes; negative: it has passed."""
        now_s = self._now() if self._paused_at_s is None else self._paused_at_s
        return self._start_s + (log_time_ns - self._bag_start_ns) / _NS / self._rate - now_s

    def bag_time_ns(self) -> int:
        """Tell what log time it is [ns]."""
        now_s = self._now() if self._paused_at_s is None else self._paused_at_s
        return self._bag_start_ns + round((now_s - self._start_s) * self._rate * _NS)
