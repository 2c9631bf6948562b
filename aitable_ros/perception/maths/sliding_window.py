# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Sums over the last so many seconds of header time, in constant memory."""

from __future__ import annotations

import math
from collections import deque

_MAX_SLOTS = 8192


class SlidingSums:
    """
    Integrals of several rates over a sliding window of header time.

    Rates are constant within an added interval; the oldest interval is clipped to the window.
    Intervals that would be shorter than 1/8192 of the window (7 ms of a minute) are put
    together, so that memory is bounded at any input rate; so are those that follow each other
    with the same rates.

    :param window_s: length of the window [s].
    :param channels: number of rates.
    :raises ValueError: when the window is not positive or there is no channel.
    """

    def __init__(self, window_s: float, channels: int) -> None:
        if not 0 < window_s < math.inf:
            raise ValueError(f'window_s must be positive, got {window_s}')
        if channels < 1:
            raise ValueError(f'channels must be at least 1, got {channels}')
        self.window_s = window_s
        self.channels = channels
        self._slot_s = window_s / _MAX_SLOTS
        # start, end, then the integral of each rate in between
        self._slots: deque[list[float]] = deque()
        self._totals = [0.0] * channels
        self._uniform: tuple[float, ...] | None = None  # rates throughout the last slot

    def __len__(self) -> int:
        """Return the number of intervals in store."""
        return len(self._slots)

    def clear(self) -> None:
        """Forget everything."""
        self._slots.clear()
        self._totals = [0.0] * self.channels
        self._uniform = None

    def add(self, start_s: float, end_s: float, *rates: float) -> None:
        """
        Add an interval; it must not begin before the last one's end.

        :param start_s: its begin [s].
        :param end_s: its end [s]; nothing happens unless it is after the begin.
        :param rates: one finite value per channel.
        """
        duration_s = end_s - start_s
        if not duration_s > 0:
            return
        totals = self._totals
        slots = self._slots
        last = slots[-1] if slots else None
        if last is not None and last[1] == start_s and rates == self._uniform:
            last[1] = end_s
        elif last is not None and last[1] <= start_s and end_s - last[0] <= self._slot_s:
            last[1] = end_s
            self._uniform = None
        else:
            self._uniform = rates
            last = [start_s, end_s, *([0.0] * self.channels)]
            slots.append(last)
        for i, rate in enumerate(rates):
            amount = rate * duration_s
            last[i + 2] += amount
            totals[i] += amount
        if slots[0][1] <= end_s - self.window_s:  # asked here, as it hardly ever is
            self._forget(end_s - self.window_s)

    def sums(self, now_s: float) -> list[float]:
        """
        Integrate over the window.

        :param now_s: its end [s]; must not go back.
        :returns: one sum per channel.
        """
        oldest_s = now_s - self.window_s
        slots = self._slots
        if slots and slots[0][1] <= oldest_s:
            self._forget(oldest_s)
        if not slots or slots[0][0] >= oldest_s:
            return list(self._totals)
        slot = slots[0]
        outside = (oldest_s - slot[0]) / (slot[1] - slot[0])
        return [total - outside * amount for total, amount in zip(self._totals, slot[2:])]

    def _forget(self, oldest_s: float) -> None:
        slots = self._slots
        while slots and slots[0][1] <= oldest_s:
            slot = slots.popleft()
            if slots:
                for i in range(self.channels):
                    self._totals[i] -= slot[i + 2]
            else:
                self._totals = [0.0] * self.channels  # rounding errors end here
