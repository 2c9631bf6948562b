# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Rates and latencies of the last seconds, for diagnostics."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

_TIMES = 4096


class RateMeter:
    """Events per second over a sliding window [s] of wall-clock time."""

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque(maxlen=_TIMES)
        self._lock = threading.Lock()
        self._last = -math.inf
        self.count = 0

    def tick(self) -> None:
        """Note one event."""
        now = self._clock()
        with self._lock:
            self.count += 1
            self._last = now
            self._times.append(now)

    def rate(self) -> float:
        """Give the events per second [Hz]; 0.0 when there were fewer than two."""
        now = self._clock()
        with self._lock:
            while self._times and now - self._times[0] > self._window_s:
                self._times.popleft()
            if len(self._times) < 2:
                return 0.0
            # up to now, not to the last event: a stream that stopped slows down at once
            return len(self._times) / max(now - self._times[0], 1e-6)

    def idle_s(self) -> float:
        """Give the time since the last event [s]; infinite when there was none."""
        with self._lock:
            return self._clock() - self._last


class LatencyMeter:
    """Quantiles of the latest durations, so many of them."""

    def __init__(self, size: int = 300) -> None:
        self._durations_s: deque[float] = deque(maxlen=size)
        self._lock = threading.Lock()

    def add(self, duration_s: float) -> None:
        """Note one duration [s]."""
        with self._lock:
            self._durations_s.append(duration_s)

    def clear(self) -> None:
        """Forget all durations."""
        with self._lock:
            self._durations_s.clear()

    def quantiles(self, *fractions: float) -> tuple[float, ...]:
        """Give quantiles [s], NaN while nothing was noted."""
        with self._lock:
            values = sorted(self._durations_s)
        last = len(values) - 1
        if last < 0:
            return tuple(math.nan for _ in fractions)
        places = [(fraction * last, int(fraction * last)) for fraction in fractions]
        return tuple(
            values[i] + (place - i) * (values[min(i + 1, last)] - values[i]) for place, i in places
        )


class RecentCounts:
    """By how much counters, which begin at 0, grew in a window of the last seconds."""

    def __init__(self, window_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._clock = clock
        self._snapshots: deque[tuple[float, Mapping[str, int]]] = deque([(clock(), {})])

    def restart(self, counts: Mapping[str, int]) -> None:
        """Begin a new window, with what the counters are now."""
        self._snapshots = deque([(self._clock(), dict(counts))])

    def since(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Note what the counters are now; give their growth since the window began."""
        now = self._clock()
        self._snapshots.append((now, dict(counts)))
        while len(self._snapshots) > 2 and now - self._snapshots[1][0] >= self._window_s:
            self._snapshots.popleft()
        begin = self._snapshots[0][1]
        return {name: count - begin.get(name, 0) for name, count in counts.items()}
