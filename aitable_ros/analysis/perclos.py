# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
PERCLOS: the share of time during which the eyes are (nearly) closed.

Wierwille et al. 1994; FHWA/NHTSA tech brief MCRT-98-006 (1998): P80 is the share of a minute
with the eyes at least 80 % closed, P70 likewise 70 %, EM the mean square of closure.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

P80_CLOSURE = 0.8
P70_CLOSURE = 0.7


@dataclass(frozen=True)
class PerclosSettings:
    """
    How PERCLOS is measured.

    :param window_s: length of the sliding window [s].
    :param max_gap_s: longest time for which one sample may stand [s]; what exceeds it counts as
        not observed.
    :param min_observed_s: below this observed time the figure is not valid [s].
    :param min_coverage: below this observed share of the elapsed window it is not valid, 0..1.
    """

    window_s: float = 60.0
    max_gap_s: float = 0.5
    min_observed_s: float = 10.0
    min_coverage: float = 0.5

    def __post_init__(self) -> None:
        if not (self.window_s > 0 and self.max_gap_s > 0):
            raise ValueError(f'window_s and max_gap_s must be positive: {self}')
        if not (0 <= self.min_observed_s <= self.window_s and 0 <= self.min_coverage <= 1):
            raise ValueError(
                f'min_observed_s must lie in 0..window_s and min_coverage in 0..1: {self}'
            )


@dataclass(frozen=True)
class PerclosValue:
    """
    PERCLOS over one window.

    :param p80: share of observed time with closure >= 0.8, 0..1; NaN while not valid.
    :param p70: the same for 0.7.
    :param em: mean square of closure; NaN while not valid.
    :param valid: enough was observed.
    :param window_s: length of the window [s].
    :param observed_s: observed time within the window [s].
    :param coverage: observed share of the time since the first sample, at most the window.
    """

    p80: float
    p70: float
    em: float
    valid: bool
    window_s: float
    observed_s: float
    coverage: float


@dataclass(frozen=True)
class _Interval:
    start_s: float
    end_s: float
    closure: float


class Perclos:
    """
    Time-weighted PERCLOS of one person over a sliding window of header time.

    A sample stands from its stamp to the next one's, at most ``max_gap_s``; unmeasured samples
    and longer gaps are not observed, neither open nor closed. Splitting an interval changes
    nothing, so that the frame rate does not matter.

    :param settings: window, gap and validity rules.
    """

    def __init__(self, settings: PerclosSettings | None = None) -> None:
        self.settings = settings or PerclosSettings()
        self._intervals: deque[_Interval] = deque()
        self._sums = np.zeros(4)
        self._first_s = math.nan
        self._last_s = math.nan
        self._last_closure = math.nan

    def reset(self) -> None:
        """Forget everything."""
        self._intervals.clear()
        self._sums = np.zeros(4)
        self._first_s = self._last_s = self._last_closure = math.nan

    def add(self, stamp_s: float, closure: float) -> None:
        """
        Add one sample.

        :param stamp_s: header time [s]. Equal to the last one: ignored; earlier: starts anew.
        :param closure: 0 open .. 1 closed; NaN: not measured.
        """
        if stamp_s == self._last_s:
            return
        if stamp_s < self._last_s:
            self.reset()
        if math.isnan(self._first_s):
            self._first_s = stamp_s
        else:
            self._close_interval(stamp_s)
        self._last_s = stamp_s
        self._last_closure = closure
        oldest_s = stamp_s - self.settings.window_s
        while self._intervals and self._intervals[0].end_s <= oldest_s:
            self._drop_oldest()

    def value(self) -> PerclosValue:
        """Evaluate the window that ends at the last sample."""
        settings = self.settings
        sums = self._sums
        if self._intervals:
            # the oldest interval may reach out of the window
            oldest = self._intervals[0]
            outside_s = max(self._last_s - settings.window_s - oldest.start_s, 0.0)
            sums = sums - _weigh(oldest.closure, outside_s)
        observed_s, p80_s, p70_s, em_s = (max(float(x), 0.0) for x in sums)
        elapsed_s = min(self._last_s - self._first_s, settings.window_s)
        coverage = min(observed_s / elapsed_s, 1.0) if elapsed_s > 0 else 0.0
        valid = (
            observed_s > 0
            and observed_s >= settings.min_observed_s
            and coverage >= settings.min_coverage
        )
        return PerclosValue(
            p80=min(p80_s / observed_s, 1.0) if valid else math.nan,
            p70=min(p70_s / observed_s, 1.0) if valid else math.nan,
            em=min(em_s / observed_s, 1.0) if valid else math.nan,
            valid=valid,
            window_s=settings.window_s,
            observed_s=observed_s,
            coverage=coverage,
        )

    def _close_interval(self, stamp_s: float) -> None:
        closure = self._last_closure
        if math.isnan(closure):
            return
        end_s = min(stamp_s, self._last_s + self.settings.max_gap_s)
        previous = self._intervals[-1] if self._intervals else None
        if previous and previous.closure == closure and previous.end_s == self._last_s:
            # long runs of the same value (fully open) become one interval
            self._intervals[-1] = _Interval(previous.start_s, end_s, closure)
        else:
            self._intervals.append(_Interval(self._last_s, end_s, closure))
        self._sums += _weigh(closure, end_s - self._last_s)

    def _drop_oldest(self) -> None:
        oldest = self._intervals.popleft()
        self._sums -= _weigh(oldest.closure, oldest.end_s - oldest.start_s)
        if not self._intervals:
            self._sums[:] = 0.0  # rounding errors end here


def _weigh(closure: float, duration_s: float) -> npt.NDArray[np.float64]:
    """Give the seconds observed, in P80, in P70, and the integral of closure squared."""
    return np.array(
        (
            duration_s,
            duration_s if closure >= P80_CLOSURE else 0.0,
            duration_s if closure >= P70_CLOSURE else 0.0,
            duration_s * closure**2,
        )
    )
