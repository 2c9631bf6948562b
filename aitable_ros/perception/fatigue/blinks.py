# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Closures of the eyes as events: blinks, long closures and microsleeps, with hysteresis."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from aitable_ros.perception.events import EventKind
from aitable_ros.perception.fatigue.events import Event, crossing_share
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.maths.sliding_window import SlidingSums

_MAX_KEPT_BLINKS = 1024


class EyeState(IntEnum):
    """Whether the eyes are open; UNKNOWN is neither."""

    UNKNOWN = 0
    OPEN = 1
    CLOSED = 2
    WINK_LEFT = 3
    WINK_RIGHT = 4


@dataclass(frozen=True)
class BlinkSettings(Settings):
    """
    What counts as closed, as a blink and as a microsleep.

    :param close_openness: at or below this openness open eyes become closed (0.2: P80,
        Wierwille 1994).
    :param reopen_openness: at or above this openness closed eyes become open (0.4: choice,
        several times the noise of the EAR above 0.2).
    :param max_eye_difference: of closed eyes one may be measured this much more open than
        the mean (0.2: choice; one eye of a real blink was measured at 0.24, the other at 0).
    :param blink_openness: a quick dip counts as a blink even if no sample was closed, when it
        goes down to this openness (0.4: choice; lids move fast, and samples fall beside the
        deepest point).
    :param blink_edge_openness: such a dip has to start from and come back to this openness
        (0.7: choice).
    :param max_blink_s: longer closures are no blinks [s] (0.5: blinks take 0.1 to 0.4 s).
    :param long_closure_s: closures of at least this are long [s] (0.5: popular microsleep
        threshold).
    :param microsleep_s: closures of at least this are microsleeps [s] (1.0: VSS 2012).
    :param min_wink_s: one eye has to be closed alone for this long to be a wink [s] (0.15:
        choice; the lids of a blink do not move at exactly the same time).
    :param max_gap_s: a closure that is not seen for longer is cut there [s].
    :param min_rate_hz: blinks are valid from this many samples per second on [Hz] (15: at 10 Hz
        a blink of 100 ms can fall between two samples).
    :param rate_tolerance: ... less this share, and twice of it less for becoming invalid.
    :param rate_memory_s: time over which the rate is averaged [s].
    :param window_s: window of the blink rate and the mean duration [s].
    :raises ValueError: for a value out of range.
    """

    close_openness: float = setting(0.2, 0.0, 1.0)
    reopen_openness: float = setting(0.4, 0.0, 1.0)
    max_eye_difference: float = setting(0.2, 0.0, 1.0)
    blink_openness: float = setting(0.4, 0.0, 1.0)
    blink_edge_openness: float = setting(0.7, 0.0, 1.0)
    max_blink_s: float = setting(0.5, 0.05, 5.0)
    long_closure_s: float = setting(0.5, 0.1, 10.0)
    microsleep_s: float = setting(1.0, 0.1, 30.0)
    min_wink_s: float = setting(0.15, 0.0, 5.0)
    max_gap_s: float = setting(0.5, 0.05, 5.0)
    min_rate_hz: float = setting(15.0, 1.0, 120.0)
    rate_tolerance: float = setting(0.06, 0.0, 0.4)
    rate_memory_s: float = setting(2.0, 0.1, 60.0)
    window_s: float = setting(60.0, 5.0, 3600.0, dynamic=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.close_openness < self.reopen_openness:
            raise ValueError(f'need close_openness < reopen_openness: {self}')
        if not self.close_openness <= self.blink_openness <= self.reopen_openness:
            raise ValueError(f'need close_openness <= blink_openness <= reopen_openness: {self}')
        if not self.reopen_openness <= self.blink_edge_openness:
            raise ValueError(f'need reopen_openness <= blink_edge_openness: {self}')
        if not self.long_closure_s <= self.microsleep_s:
            raise ValueError(f'need long_closure_s <= microsleep_s: {self}')


class ClosureDetector:
    """
    Turns the openness of both eyes into states and closures, for one person.

    :param settings: thresholds.
    """

    def __init__(self, settings: BlinkSettings | None = None) -> None:
        self.settings = settings or BlinkSettings()
        self._rated = SlidingSums(self.settings.window_s, 1)
        self.reset()

    def reset(self) -> None:
        """Forget everything, the counts too."""
        self.blink_count = 0
        self.long_closure_count = 0
        self.microsleep_count = 0
        self.blinks: deque[Event] = deque(maxlen=_MAX_KEPT_BLINKS)
        self.last_blink: Event | None = None
        self._mean_blink_s: float | None = None
        self._rated.clear()
        self.interrupt()

    def interrupt(self) -> None:
        """Forget what is going on, but keep what was counted."""
        self.state = EyeState.UNKNOWN
        self._seen_s = math.nan
        self._seen = math.nan
        self._usual = 1.0
        self._left_closed = self._right_closed = False
        self._one_closed_since_s = math.nan
        self._start_s = self._end_s = math.nan
        self._lowest = math.nan
        self._truncated = False
        self._cut_unseen = False
        self._excused_s = -math.inf
        self._counted_long = self._counted_microsleep = False
        self._counts_before = (0, 0)
        self.ended_kind: EventKind | None = None
        """What the closure that ended last was counted as; None: as neither."""
        self._wide_s = math.nan
        self._dip_start_s = self._dip_end_s = math.nan
        self._dip_lowest = math.nan
        self._samples = self._sampled_s = 0.0
        self.blinks_valid = False
        """Whether samples come often enough to see blinks."""

    def update(
        self, stamp_s: float, left: float, right: float, *, excused: bool = False
    ) -> Event | None:
        """
        Take one sample.

        :param stamp_s: header time [s]; after the last one's.
        :param left: openness of the left eye, 0..1; NaN: not measured.
        :param right: openness of the right eye.
        :param excused: the eyes are closed for another reason than sleep (a yawn): such time
            does not count for a microsleep.
        :returns: the closure that ended with this sample, if any.
        """
        cut = None
        if stamp_s - self._seen_s > self.settings.max_gap_s:
            cut = self._cut()
        openness = self.both(left, right)
        if math.isnan(openness):
            self.state = EyeState.UNKNOWN
            return cut
        self._rate(stamp_s)
        if excused:
            self._excused_s = stamp_s
        ended = self._follow(stamp_s, openness)
        self._follow_dip(stamp_s, openness)
        self._seen_s, self._seen = stamp_s, openness
        if self.closed:
            self._count_long()
        self._judge(stamp_s, left, right)
        return cut or ended

    def both(self, left: float, right: float) -> float:
        """
        Tell how open both eyes are together.

        :returns: the mean, since lids move together, unless one eye is more open than the mean
            by over ``max_eye_difference``: then that eye less that much. NaN if either is.
        """
        higher = max(left, right) if left == left and right == right else math.nan
        return max((left + right) / 2, higher - self.settings.max_eye_difference)

    @property
    def closed(self) -> bool:
        """Whether a closure is going on, as far as is known."""
        return not math.isnan(self._start_s)

    @property
    def closure_duration_s(self) -> float:
        """How long the eyes have been closed [s]; 0 when open, NaN when unknown."""
        if self.closed:
            return self._closed_until_s() - self._start_s
        return math.nan if self.state is EyeState.UNKNOWN else 0.0

    @property
    def unexcused_duration_s(self) -> float:
        """The same, from the end of a yawn on."""
        if self.closed:
            return max(self._closed_until_s() - max(self._start_s, self._excused_s), 0.0)
        return self.closure_duration_s

    @property
    def closure_truncated(self) -> bool:
        """Whether the current closure began unseen."""
        return self.closed and self._truncated

    @property
    def rate_hz(self) -> float:
        """How many times per second the eyes are measured, on average [Hz]; NaN: unknown."""
        return self._samples / self._sampled_s if self._sampled_s > 0 else math.nan

    def blink_rate(self, now_s: float, min_observed_s: float) -> float:
        """
        Count the blinks per minute of time in which blinks were valid.

        :param now_s: end of the window [s].
        :param min_observed_s: NaN if the window has less such time.
        """
        observed_s = self._rated.sums(now_s)[0]
        if not (self.blinks_valid and observed_s > 0 and observed_s >= min_observed_s):
            return math.nan
        return len(self.recent_blinks(now_s)) * 60.0 / observed_s

    def recent_blinks(self, now_s: float) -> deque[Event]:
        """Give the blinks within the window."""
        while self.blinks and self.blinks[0].end_s < now_s - self.settings.window_s:
            self.blinks.popleft()
            self._mean_blink_s = None
        return self.blinks

    def mean_blink_s(self, now_s: float) -> float:
        """Give the mean duration of the blinks within the window [s]; NaN: there are none."""
        blinks = self.recent_blinks(now_s)
        if self._mean_blink_s is None:  # it changes with the blinks, not with each image
            durations_s = [blink.duration_s for blink in blinks]
            self._mean_blink_s = sum(durations_s) / len(blinks) if blinks else math.nan
        return self._mean_blink_s

    def _closed_until_s(self) -> float:
        return self._seen_s if math.isnan(self._end_s) else self._end_s

    def _rate(self, stamp_s: float) -> None:
        step_s = stamp_s - self._seen_s
        if not step_s <= self.settings.max_gap_s:
            return
        fade = math.exp(-step_s / self.settings.rate_memory_s)
        self._samples = self._samples * fade + 1.0
        self._sampled_s = self._sampled_s * fade + step_s
        limit = 1.0 - self.settings.rate_tolerance * (2.0 if self.blinks_valid else 1.0)
        self.blinks_valid = (
            self._sampled_s >= 0.25 * self.settings.rate_memory_s
            and self.rate_hz >= self.settings.min_rate_hz * limit
        )
        if self.blinks_valid:
            self._rated.add(self._seen_s, stamp_s, 1.0)

    def _follow(self, stamp_s: float, openness: float) -> Event | None:
        settings = self.settings
        if not self.closed:
            if openness > settings.close_openness:
                self._cut_unseen = False
                if openness >= settings.reopen_openness:
                    self._usual += 0.1 * (openness - self._usual)
                return None
            unseen = math.isnan(self._seen_s)
            self._start_s = (
                stamp_s if unseen else self._crossing(stamp_s, openness, settings.close_openness)
            )
            self._end_s = math.nan
            self._lowest = openness
            self._truncated = unseen
            if not (unseen and self._cut_unseen):  # else maybe the closure before goes on
                self._counted_long = self._counted_microsleep = False
            self._counts_before = (self.long_closure_count, self.microsleep_count)
        elif openness <= settings.close_openness:
            self._end_s = math.nan
            self._lowest = min(self._lowest, openness)
        else:
            if math.isnan(self._end_s):
                self._end_s = self._crossing(stamp_s, openness, settings.close_openness)
            if openness >= settings.reopen_openness or stamp_s - self._end_s > settings.max_gap_s:
                return self._finish(self._end_s, truncated=False)
        return None

    def _crossing(self, stamp_s: float, openness: float, level: float) -> float:
        """Tell when openness passed the level between the last sample and this one."""
        low, high = min(self._seen, openness), max(self._seen, openness)
        if low <= 0.5 * level and high >= self.settings.blink_edge_openness:
            # The lids did all their way unseen: the middle is wrong by half the interval at most.
            share = 0.5
        else:
            share = crossing_share(self._seen, openness, level)
        return self._seen_s + share * (stamp_s - self._seen_s)

    def _count_long(self) -> None:
        settings = self.settings
        if not self._counted_long and self.closure_duration_s >= settings.long_closure_s:
            self._counted_long = True
            self.long_closure_count += 1
        if not self._counted_microsleep and self.unexcused_duration_s >= settings.microsleep_s:
            self._counted_microsleep = True
            self.microsleep_count += 1

    def _finish(self, end_s: float, *, truncated: bool) -> Event:
        self._end_s = end_s
        self._count_long()
        long, microsleeps = self._counts_before
        self.ended_kind = EventKind.LONG_CLOSURE if self.long_closure_count > long else None
        if self.microsleep_count > microsleeps:
            self.ended_kind = EventKind.MICROSLEEP
        closure = Event(
            self._start_s,
            max(end_s, self._start_s),
            min(max(self._usual - self._lowest, 0.0), 1.0),
            truncated or self._truncated,
        )
        self._start_s = self._end_s = math.nan
        self._dip_start_s = math.nan
        if not closure.truncated and closure.duration_s <= self.settings.max_blink_s:
            self._add_blink(closure)
        return closure

    def _add_blink(self, blink: Event) -> None:
        self.blink_count += 1
        self.last_blink = blink
        self.recent_blinks(blink.end_s)
        self.blinks.append(blink)
        self._mean_blink_s = None

    def _cut(self) -> Event | None:
        """End what goes on: nothing was seen for too long."""
        cut = None
        if self.closed:
            cut = self._finish(self._closed_until_s(), truncated=True)
            self._cut_unseen = True
        self._seen_s = self._seen = math.nan
        self._left_closed = self._right_closed = False
        self._one_closed_since_s = math.nan
        self._wide_s = self._dip_start_s = math.nan
        return cut

    def _follow_dip(self, stamp_s: float, openness: float) -> None:
        """Find quick dips that no sample saw closed."""
        settings = self.settings
        if self.closed:
            self._dip_start_s = math.nan
        elif openness < settings.blink_openness:
            if math.isnan(self._dip_start_s):
                if not self._seen >= settings.blink_openness:
                    return
                self._dip_start_s = self._crossing(stamp_s, openness, settings.blink_openness)
                self._dip_lowest = openness
            self._dip_end_s = math.nan
            self._dip_lowest = min(self._dip_lowest, openness)
        elif not math.isnan(self._dip_start_s) and math.isnan(self._dip_end_s):
            self._dip_end_s = self._crossing(stamp_s, openness, settings.blink_openness)
        if openness < settings.blink_edge_openness:
            return
        quick = stamp_s - self._wide_s <= settings.max_blink_s + settings.max_gap_s
        if not math.isnan(self._dip_start_s) and quick:
            amplitude = min(max(self._usual - self._dip_lowest, 0.0), 1.0)
            self._add_blink(Event(self._dip_start_s, self._dip_end_s, amplitude, False))
        self._dip_start_s = math.nan
        self._wide_s = stamp_s

    def _judge(self, stamp_s: float, left: float, right: float) -> None:
        """Tell open, closed and winking apart."""
        settings = self.settings
        self._left_closed = self._step(self._left_closed, left)
        self._right_closed = self._step(self._right_closed, right)
        if self.closed:
            self.state = EyeState.CLOSED
            self._one_closed_since_s = math.nan
            return
        if self._left_closed == self._right_closed:
            self.state = EyeState.OPEN
            self._one_closed_since_s = math.nan
            return
        if math.isnan(self._one_closed_since_s):
            self._one_closed_since_s = stamp_s
        wink = EyeState.WINK_LEFT if self._left_closed else EyeState.WINK_RIGHT
        lasted_s = stamp_s - self._one_closed_since_s
        self.state = wink if lasted_s >= settings.min_wink_s and lasted_s > 0 else EyeState.OPEN

    def _step(self, closed: bool, openness: float) -> bool:
        if closed:
            return openness < self.settings.reopen_openness
        return openness <= self.settings.close_openness
