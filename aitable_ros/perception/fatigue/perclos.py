# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
PERCLOS: the share of time during which the eyes are (nearly) closed.

Wierwille et al. 1994; FHWA/NHTSA tech brief MCRT-98-006 (1998): P80 is the share of a minute
with the eyes at least 80 % closed, P70 likewise 70 %, EM the mean square of closure. The brief
means slow closures (droops) rather than blinks; P80 as usually computed counts both, so that a
second figure here counts the long closures only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.maths.sliding_window import SlidingSums

P80_CLOSURE = 0.8
P70_CLOSURE = 0.7

# Closures come as 1 - openness: 1 - 0.2 must count as 0.8 whatever its last digit.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class PerclosSettings(Settings):
    """
    How PERCLOS is measured.

    :param window_s: length of the sliding window of PERCLOS [s] (a minute: FHWA 1998).
    :param max_gap_s: longest time for which one sample may stand [s]; what exceeds it counts as
        not observed (choice: half a second is two to three frames at 5 Hz).
    :param min_observed_s: below this observed time the figure is not valid [s] (choice).
    :param min_coverage: below this observed share of the elapsed window it is not valid
        (choice: half).
    :param long_closure_s: closures of at least this count as long [s] (0.5: blinks take 0.1 to
        0.4 s).
    :raises ValueError: for a value out of range.
    """

    window_s: float = setting(60.0, 5.0, 3600.0, dynamic=False, basic=True)
    max_gap_s: float = setting(0.5, 0.05, 5.0)
    min_observed_s: float = setting(10.0, 0.0, 3600.0)
    min_coverage: float = setting(0.5, 0.0, 1.0)
    long_closure_s: float = setting(0.5, 0.1, 10.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_observed_s <= self.window_s:
            raise ValueError(f'need min_observed_s <= window_s: {self}')


class PerclosValue(NamedTuple):
    """
    PERCLOS over one window. The shares are NaN while not valid.

    :ivar p80: share of observed time with closure >= 0.8, 0..1.
    :ivar p70: the same for 0.7.
    :ivar em: mean square of closure.
    :ivar long: p80 counting only what belongs to a long closure; at most p80.
    :ivar valid: enough was observed.
    :ivar window_s: length of the window [s].
    :ivar observed_s: observed time within the window [s].
    :ivar coverage: observed share of the time since the first sample, at most the window.
    """

    p80: float
    p70: float
    em: float
    long: float
    valid: bool
    window_s: float
    observed_s: float
    coverage: float


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
        # observed, P80, P70, EM; and P80 within long closures, known only once they are long
        self._sums = SlidingSums(self.settings.window_s, 4)
        self._long = SlidingSums(self.settings.window_s, 1)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sums.clear()
        self._long.clear()
        self._first_s = self._last_s = self._last_closure = math.nan
        self._last_in_event = False
        self._event_start_s = math.nan
        self._pending: list[tuple[float, float]] = []

    def add(self, stamp_s: float, closure: float, in_closure: bool | None = None) -> None:
        """
        Add one sample.

        :param stamp_s: header time [s]; after the last one's.
        :param closure: 0 open .. 1 closed; NaN: not measured.
        :param in_closure: whether the sample belongs to a closure as an event (with hysteresis,
            bridging unmeasured samples); None: when closure is 0.8 and more.
        """
        if math.isnan(self._first_s):
            self._first_s = stamp_s
        else:
            self._close_interval(stamp_s)
        self._last_s = stamp_s
        self._last_closure = closure
        if in_closure is None:
            in_closure = closure >= P80_CLOSURE - _ROUNDING
        if not in_closure:
            self._pending.clear()
            self._event_start_s = math.nan
        elif math.isnan(self._event_start_s):
            self._event_start_s = stamp_s
        self._last_in_event = in_closure

    def value(self) -> PerclosValue:
        """Evaluate the window that ends at the last sample."""
        settings = self.settings
        now_s = self._last_s
        if math.isnan(now_s):
            observed_s = p80_s = p70_s = em_s = long_s = elapsed_s = 0.0
        else:
            observed_s, p80_s, p70_s, em_s = [max(x, 0.0) for x in self._sums.sums(now_s)]
            long_s = max(self._long.sums(now_s)[0], 0.0)
            elapsed_s = min(now_s - self._first_s, settings.window_s)
        coverage = min(observed_s / elapsed_s, 1.0) if elapsed_s > 0 else 0.0
        valid = (
            observed_s > 0
            and observed_s >= settings.min_observed_s
            and coverage >= settings.min_coverage
        )
        p80 = min(p80_s / observed_s, 1.0) if valid else math.nan
        return PerclosValue(
            p80=p80,
            # rounding in the sums must not turn the order round
            p70=max(min(p70_s / observed_s, 1.0), p80) if valid else math.nan,
            em=min(em_s / observed_s, 1.0) if valid else math.nan,
            long=min(long_s / observed_s, p80) if valid else math.nan,
            valid=valid,
            window_s=settings.window_s,
            observed_s=observed_s,
            coverage=coverage,
        )

    def _close_interval(self, stamp_s: float) -> None:
        closure = self._last_closure
        if stamp_s - self._last_s > self.settings.max_gap_s:
            # no closure is known to go on through a gap
            end_s = self._last_s + self.settings.max_gap_s
            cut = True
        else:
            end_s, cut = stamp_s, False
        if not math.isnan(closure):
            p80 = closure >= P80_CLOSURE - _ROUNDING
            p70 = closure >= P70_CLOSURE - _ROUNDING
            self._sums.add(self._last_s, end_s, 1.0, float(p80), float(p70), closure * closure)
            if p80 and self._last_in_event:
                self._add_to_event(self._last_s, end_s, self._last_s if cut else end_s)
        if cut:
            self._pending.clear()
            self._event_start_s = math.nan

    def _add_to_event(self, start_s: float, end_s: float, known_until_s: float) -> None:
        if known_until_s - self._event_start_s < self.settings.long_closure_s:
            if self._pending and self._pending[-1][1] == start_s:
                start_s = self._pending.pop()[0]
            self._pending.append((start_s, end_s))
            return
        for piece in self._pending:
            self._long.add(*piece, 1.0)
        self._pending.clear()
        self._long.add(start_s, end_s, 1.0)
