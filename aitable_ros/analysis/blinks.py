# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Closures of the eyes as events: blinks and long closures, with hysteresis."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import Enum


class EyeState(Enum):
    """Whether the eyes are open; UNKNOWN is neither."""

    UNKNOWN = 0
    OPEN = 1
    CLOSED = 2
    WINK_LEFT = 3
    WINK_RIGHT = 4


@dataclass(frozen=True)
class BlinkSettings:
    """
    What counts as closed and as a blink.

    :param close_openness: at or below this openness an open eye becomes closed (P80: 0.2).
    :param reopen_openness: at or above this openness a closed eye becomes open.
    :param max_blink_s: longer closures are no blinks [s].
    :param max_gap_s: a closure that is not seen for longer is cut there [s].
    :param max_interval_s: blinks are not counted while samples are further apart [s]
        (1/15 s: a 100 ms blink can fall between samples that are rarer).
    :param window_s: window of the rate and the mean duration [s].
    """

    close_openness: float = 0.2
    reopen_openness: float = 0.4
    max_blink_s: float = 0.5
    max_gap_s: float = 0.5
    max_interval_s: float = 0.0725
    window_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 <= self.close_openness < self.reopen_openness <= 1:
            raise ValueError(f'need 0 <= close_openness < reopen_openness <= 1: {self}')
        if min(self.max_blink_s, self.max_gap_s, self.max_interval_s, self.window_s) <= 0:
            raise ValueError(f'durations must be positive: {self}')


@dataclass(frozen=True)
class Closure:
    """
    One time that both eyes were closed.

    :param start_s: header time of the first closed sample [s].
    :param end_s: header time of the first open sample after it [s].
    :param amplitude: how far openness dropped below 1.
    :param truncated: begin or end was not seen; the duration is a lower bound.
    """

    start_s: float
    end_s: float
    amplitude: float
    truncated: bool

    @property
    def duration_s(self) -> float:
        """Length of the closure [s]."""
        return self.end_s - self.start_s


class ClosureDetector:
    """
    Turns the openness of both eyes into states and closures, for one person.

    :param settings: thresholds.
    """

    def __init__(self, settings: BlinkSettings | None = None) -> None:
        self.settings = settings or BlinkSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.state = EyeState.UNKNOWN
        self.blink_count = 0
        self.blinks: deque[Closure] = deque()
        self._left_closed: bool | None = None
        self._right_closed: bool | None = None
        self._start_s = math.nan
        self._lowest = math.nan
        self._truncated = False
        self._last_seen_s = math.nan
        self._last_s = math.nan
        self._interval_s = math.nan

    def update(self, stamp_s: float, left: float, right: float) -> Closure | None:
        """
        Take one sample.

        :param stamp_s: header time [s]; equal to the last one: ignored; earlier: starts anew.
        :param left: openness of the left eye, 0..1; NaN: not measured.
        :param right: openness of the right eye.
        :returns: the closure that ended with this sample, if any.
        """
        if stamp_s == self._last_s:
            return None
        if stamp_s < self._last_s:
            self.reset()
        if not math.isnan(self._last_s):
            step_s = stamp_s - self._last_s
            # smoothed, so that one late frame does not make blinks invalid
            self._interval_s = (
                step_s
                if math.isnan(self._interval_s)
                else self._interval_s + 0.1 * (step_s - self._interval_s)
            )
        self._last_s = stamp_s
        cut = None
        if not math.isnan(self._start_s) and stamp_s - self._last_seen_s > self.settings.max_gap_s:
            cut = self._end(self._last_seen_s, truncated=True)
            self._left_closed = self._right_closed = None
        if math.isnan(left) or math.isnan(right):
            self.state = EyeState.UNKNOWN
            return cut
        unseen_before = self._left_closed is None
        self._left_closed = self._step(self._left_closed, left)
        self._right_closed = self._step(self._right_closed, right)
        self._last_seen_s = stamp_s
        if self._left_closed and self._right_closed:
            self.state = EyeState.CLOSED
            openness = max((left + right) / 2, 0.0)
            if math.isnan(self._start_s):
                self._start_s = stamp_s
                self._lowest = openness
                self._truncated = unseen_before
            self._lowest = min(self._lowest, openness)
            return cut
        if self._left_closed:
            self.state = EyeState.WINK_LEFT
        elif self._right_closed:
            self.state = EyeState.WINK_RIGHT
        else:
            self.state = EyeState.OPEN
        if not math.isnan(self._start_s):
            return self._end(stamp_s, truncated=False)
        return cut

    @property
    def closure_duration_s(self) -> float:
        """How long the eyes have been closed [s]; 0 when open, NaN when unknown."""
        if not math.isnan(self._start_s):
            return self._last_seen_s - self._start_s
        return math.nan if self.state is EyeState.UNKNOWN else 0.0

    @property
    def closure_truncated(self) -> bool:
        """Whether the current closure began unseen."""
        return not math.isnan(self._start_s) and self._truncated

    @property
    def blinks_valid(self) -> bool:
        """Whether samples come often enough to see blinks."""
        return self._interval_s <= self.settings.max_interval_s

    def _step(self, closed: bool | None, openness: float) -> bool:
        if closed:
            return openness < self.settings.reopen_openness
        return openness <= self.settings.close_openness

    def _end(self, end_s: float, *, truncated: bool) -> Closure:
        closure = Closure(self._start_s, end_s, 1.0 - self._lowest, truncated or self._truncated)
        self._start_s = math.nan
        if not closure.truncated and closure.duration_s <= self.settings.max_blink_s:
            self.blink_count += 1
            self.blinks.append(closure)
        while self.blinks and self.blinks[0].end_s < end_s - self.settings.window_s:
            self.blinks.popleft()
        return closure
