# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Yawns: the mouth wide open, steadily and for long."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from aitable_ros.perception.fatigue.events import Event, crossing_share
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.maths.sliding_window import SlidingSums

_MAX_KEPT_YAWNS = 256


@dataclass(frozen=True)
class YawnSettings(Settings):
    """
    What counts as a yawn.

    There is no canonical definition of the mouth aspect ratio (MAR) nor of a yawn's; usual are a
    threshold of 0.6 and 15 frames. On the same mouths the attention mesh measures 1.2 times
    FaceMesh's MAR where they are open, see docs/fatigue.md.

    :param wide_mar: at or above this MAR the mouth is wide open (0.7: what FaceMesh's 0.6 is for
        the attention mesh).
    :param begin_mar: a yawn is timed from when the MAR passes this one upwards (0.55: choice).
    :param end_mar: to when it passes this one downwards; talking closes the mouth this far again
        and again (0.45: choice).
    :param min_wide_s: how long it has to be wide open in all [s] (1.5: choice; open vowels,
        laughter and surprise are shorter).
    :param maybe_wide_s: how long for it to be taken for what may become a yawn [s] (0.5: choice;
        loud syllables are shorter).
    :param max_yawn_s: what lasts longer is a mouth that hangs open [s] (10: choice; yawns take
        about 6 s).
    :param reversal_mar: rises and falls of at least this count as movements of talk (0.15:
        choice, several times the noise of the MAR).
    :param max_reversal_rate_hz: with more changes of direction per second it is talk, laughter
        or song (1.0: choice; syllables come at 2 to 7 Hz, each with two changes).
    :param max_pitch_rad: the mouth is not measured while the head is pitched farther [rad]
        (45 degrees: choice; heads go back in a yawn, and the MAR stands a foreshortening that
        the EAR does not).
    :param max_gap_s: when the mouth is not seen for longer, what it does is cut there [s].
    :param window_s: window of the rate [s] (300: choice; yawns are rare).
    :param min_observed_s: the rate is not valid below this observed time [s].
    :raises ValueError: for a value out of range.
    """

    wide_mar: float = setting(0.7, 0.05, 2.0)
    begin_mar: float = setting(0.55, 0.05, 2.0)
    end_mar: float = setting(0.45, 0.05, 2.0)
    min_wide_s: float = setting(1.5, 0.1, 10.0)
    maybe_wide_s: float = setting(0.5, 0.1, 10.0)
    max_yawn_s: float = setting(10.0, 1.0, 60.0)
    reversal_mar: float = setting(0.15, 0.01, 1.0)
    max_reversal_rate_hz: float = setting(1.0, 0.1, 20.0)
    max_pitch_rad: float = setting(math.radians(45.0), 0.1, 1.57)
    max_gap_s: float = setting(0.5, 0.05, 5.0)
    window_s: float = setting(300.0, 10.0, 7200.0, dynamic=False)
    min_observed_s: float = setting(30.0, 0.0, 7200.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.end_mar <= self.begin_mar <= self.wide_mar:
            raise ValueError(f'need end_mar <= begin_mar <= wide_mar: {self}')
        if not self.maybe_wide_s <= self.min_wide_s < self.max_yawn_s:
            raise ValueError(f'need maybe_wide_s <= min_wide_s < max_yawn_s: {self}')
        if not self.min_observed_s <= self.window_s:
            raise ValueError(f'need min_observed_s <= window_s: {self}')


class YawnDetector:
    """
    Turns the mouth aspect ratio of one person into yawns.

    :param settings: thresholds.
    """

    def __init__(self, settings: YawnSettings | None = None) -> None:
        self.settings = settings or YawnSettings()
        self._observed = SlidingSums(self.settings.window_s, 1)
        self.reset()

    def reset(self) -> None:
        """Forget everything, the count too."""
        self.yawn_count = 0
        self.yawns: deque[Event] = deque(maxlen=_MAX_KEPT_YAWNS)
        self._observed.clear()
        self._seen_s = self._mar = math.nan
        self._last_duration_s = math.nan
        self._start_s = math.nan

    def update(self, stamp_s: float, mar: float) -> Event | None:
        """
        Take one sample.

        :param stamp_s: header time [s]; after the last one's.
        :param mar: mouth aspect ratio; NaN: not measured.
        :returns: the yawn that ended with this sample, if any.
        """
        settings = self.settings
        ended = None
        if stamp_s - self._seen_s > settings.max_gap_s:
            ended = self._end(self._seen_s, truncated=True) if self.opened else None
            self._seen_s = self._mar = math.nan
        if math.isnan(mar):
            return ended
        if not math.isnan(self._seen_s):
            self._observed.add(self._seen_s, stamp_s, 1.0)
        if self.opened:
            if mar < settings.end_mar:
                ended = self._end(self._crossing(stamp_s, mar, settings.end_mar), truncated=False)
            else:
                self._follow(stamp_s, mar)
        elif mar >= settings.begin_mar:
            unseen = math.isnan(self._seen_s)
            self._start_s = stamp_s if unseen else self._crossing(stamp_s, mar, settings.begin_mar)
            self._truncated = unseen
            self._wide_s = 0.0
            self._peak = self._turn = mar
            self._rising = True
            self._reversals = 0
        self._seen_s, self._mar = stamp_s, mar
        return ended

    @property
    def opened(self) -> bool:
        """Whether the mouth is open far enough for what may become a yawn."""
        return not math.isnan(self._start_s)

    @property
    def yawning(self) -> bool:
        """Whether a yawn is going on."""
        return self.opened and self._is_yawn(self._seen_s)

    @property
    def maybe_yawning(self) -> bool:
        """Whether the mouth is open as in a yawn that may still be too short to be one."""
        return (
            self.opened
            and self._wide_s >= self.settings.maybe_wide_s
            and self._seen_s - self._start_s <= self.settings.max_yawn_s
            and not self._is_talk(self._seen_s)
        )

    @property
    def yawn_duration_s(self) -> float:
        """How long the current or last yawn lasted [s]; NaN: none yet."""
        return self._seen_s - self._start_s if self.yawning else self._last_duration_s

    def yawn_rate(self, now_s: float) -> float:
        """Count the yawns per minute of observed time in the window; NaN while not valid."""
        observed_s = self._observed.sums(now_s)[0]
        if not (observed_s > 0 and observed_s >= self.settings.min_observed_s):
            return math.nan
        while self.yawns and self.yawns[0].end_s < now_s - self.settings.window_s:
            self.yawns.popleft()
        return len(self.yawns) * 60.0 / observed_s

    def _follow(self, stamp_s: float, mar: float) -> None:
        settings = self.settings
        if mar >= settings.wide_mar and self._mar >= settings.wide_mar:
            self._wide_s += stamp_s - self._seen_s
        elif max(mar, self._mar) >= settings.wide_mar:
            at_s = self._crossing(stamp_s, mar, settings.wide_mar)
            self._wide_s += stamp_s - at_s if mar > self._mar else at_s - self._seen_s
        self._peak = max(self._peak, mar)
        if (mar > self._turn) == self._rising:
            self._turn = mar
        elif abs(mar - self._turn) >= settings.reversal_mar:
            self._turn = mar
            self._rising = not self._rising
            self._reversals += 1

    def _crossing(self, stamp_s: float, mar: float, level: float) -> float:
        return self._seen_s + crossing_share(self._mar, mar, level) * (stamp_s - self._seen_s)

    def _is_talk(self, end_s: float) -> bool:
        # the one change of direction that a yawn has, and one to spare
        reversals = max(self._reversals - 2, 0)
        return reversals > self.settings.max_reversal_rate_hz * (end_s - self._start_s)

    def _is_yawn(self, end_s: float) -> bool:
        return (
            self._wide_s >= self.settings.min_wide_s
            and end_s - self._start_s <= self.settings.max_yawn_s
            and not self._is_talk(end_s)
        )

    def _end(self, end_s: float, *, truncated: bool) -> Event | None:
        yawn = None
        if self._is_yawn(end_s):
            yawn = Event(self._start_s, end_s, self._peak, truncated or self._truncated)
            self._last_duration_s = yawn.duration_s
            self.yawn_count += 1
            self.yawns.append(yawn)
        self._start_s = math.nan
        return yawn
