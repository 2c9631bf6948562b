# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What one person looks at, over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from aitable_ros.perception.attention.gaze import Gaze, GazeState
from aitable_ros.perception.attention.natural_direction import (
    Natural,
    NaturalDirection,
    NaturalSettings,
)
from aitable_ros.perception.attention.zones import Zone, ZoneRule, ZoneSettings
from aitable_ros.perception.head.head_pose import HeadPose
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.maths.sliding_window import SlidingSums

_KNOWN = (Zone.FRONT, Zone.DESK, Zone.AWAY)


class Source(IntEnum):
    """What a direction was measured from."""

    NONE = 0
    HEAD = 1
    GAZE = 2


@dataclass(frozen=True)
class WindowSettings(Settings):
    """
    Over which time the shares are taken.

    :param window_s: length of the sliding window [s].
    :param max_gap_s: longest time for which one sample may stand [s]; what exceeds it counts as
        not observed.
    :param min_observed_s: below this observed time the shares are not valid [s].
    :raises ValueError: for a value out of range.
    """

    window_s: float = setting(300.0, 5.0, 36000.0, dynamic=False)
    max_gap_s: float = setting(0.5, 0.05, 5.0)
    min_observed_s: float = setting(10.0, 0.0, 36000.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min_observed_s <= self.window_s:
            raise ValueError(f'need min_observed_s <= window_s: {self}')


@dataclass(frozen=True)
class MonitorSettings:
    """Settings of what one person looks at."""

    natural: NaturalSettings = field(default_factory=NaturalSettings)
    zones: ZoneSettings = field(default_factory=ZoneSettings)
    window: WindowSettings = field(default_factory=WindowSettings)


@dataclass(frozen=True)
class AttentionState:
    """
    What a person looks at, after one sample. NaN: not measured or not valid yet.

    :param zone: which zone.
    :param source: what it was judged from.
    :param zone_s: how long it has been this one [s].
    :param yaw_rad: the direction, from the natural one; to the person's left is positive [rad].
    :param pitch_rad: the same, down is positive [rad].
    :param natural: what is known of the natural direction.
    :param natural_yaw_rad: the natural direction, from the line to the camera [rad].
    :param natural_pitch_rad: the same.
    :param observed_s: how much of the window a zone was known [s].
    :param front_share: share of that time, 0..1.
    :param desk_share: the same.
    :param away_share: the same.
    :param since_away_s: time since the last look away ended [s]; 0 during one.
    """

    zone: Zone = Zone.UNKNOWN
    source: Source = Source.NONE
    zone_s: float = math.nan
    yaw_rad: float = math.nan
    pitch_rad: float = math.nan
    natural: Natural = Natural.LEARNING
    natural_yaw_rad: float = 0.0
    natural_pitch_rad: float = 0.0
    observed_s: float = 0.0
    front_share: float = math.nan
    desk_share: float = math.nan
    away_share: float = math.nan
    since_away_s: float = math.nan


@dataclass(frozen=True)
class _Direction:
    stamp_s: float
    source: Source
    yaw_rad: float
    pitch_rad: float


_NOWHERE = _Direction(-math.inf, Source.NONE, math.nan, math.nan)


class AttentionMonitor:
    """
    What one person looks at.

    :param settings: borders, times and the window.
    """

    def __init__(self, settings: MonitorSettings | None = None) -> None:
        self.settings = settings or MonitorSettings()
        self._natural = NaturalDirection(self.settings.natural)
        self._rule = ZoneRule(self.settings.zones)
        self._sums = SlidingSums(self.settings.window.window_s, len(_KNOWN))
        self._last_s = math.nan
        self._away_end_s = math.nan
        self._direction = _NOWHERE

    def adopt(self, settings: MonitorSettings) -> bool:
        """Go on with other thresholds; False, and nothing has changed: the window is another."""
        if settings.window.window_s != self.settings.window.window_s:
            return False
        self.settings = settings
        self._natural.settings = settings.natural
        self._rule.settings = settings.zones
        return True

    def set_natural(self) -> bool:
        """Take where the person looks now for the natural direction; False: it is not known."""
        at = self._direction
        if math.isnan(at.yaw_rad) or at.stamp_s != self._last_s:
            return False
        self._natural.set(at.yaw_rad, at.pitch_rad)
        return True

    def update(self, stamp_s: float, gaze: Gaze, pose: HeadPose | None) -> AttentionState:
        """
        Take one sample.

        :param stamp_s: header time [s]; not before the last one's.
        :param gaze: of this image.
        :param pose: of the head; None: not measured.
        """
        settings = self.settings
        passed_s = stamp_s - self._last_s
        if passed_s > 0.0:
            self._account(stamp_s, min(passed_s, settings.window.max_gap_s))
        self._last_s = stamp_s
        at = self._direct(stamp_s, gaze, pose)
        natural_yaw, natural_pitch = self._natural.angles_rad
        yaw, pitch = at.yaw_rad - natural_yaw, at.pitch_rad - natural_pitch
        share = settings.zones.head_share if at.source is Source.HEAD else 1.0
        zone = self._rule.update(stamp_s, yaw, pitch, share)
        if zone is Zone.AWAY:
            self._away_end_s = stamp_s
        sums = self._sums.sums(stamp_s)
        observed_s = sum(sums)
        valid = observed_s > 0.0 and observed_s >= settings.window.min_observed_s
        shares = [min(one / observed_s, 1.0) if valid else math.nan for one in sums]
        return AttentionState(
            zone,
            at.source,
            stamp_s - self._rule.since_s,
            yaw,
            pitch,
            self._natural.state,
            natural_yaw,
            natural_pitch,
            observed_s,
            shares[0],
            shares[1],
            shares[2],
            stamp_s - self._away_end_s,
        )

    def _account(self, stamp_s: float, seen_s: float) -> None:
        """Count the time since the last sample for the zone of that."""
        zone, at = self._rule.zone, self._direction
        if zone not in _KNOWN:
            return
        self._sums.add(self._last_s, self._last_s + seen_s, *(float(z is zone) for z in _KNOWN))
        if zone is Zone.FRONT and at.stamp_s == self._last_s:
            self._natural.learn(at.yaw_rad, at.pitch_rad, seen_s)

    def _direct(self, stamp_s: float, gaze: Gaze, pose: HeadPose | None) -> _Direction:
        """Give where the person looks: the eyes if they are seen, else for a moment as before."""
        if gaze.state is GazeState.MEASURED:
            at = _Direction(stamp_s, Source.GAZE, gaze.yaw_rad, gaze.pitch_rad)
        else:
            before, held = self._direction, stamp_s - self.settings.zones.hold_s
            if before.source is Source.GAZE and before.stamp_s >= held:
                return before
            if pose is not None:
                at = _Direction(stamp_s, Source.HEAD, pose.view_yaw_rad, pose.view_pitch_rad)
            elif before.stamp_s >= held:
                return before
            else:
                at = _NOWHERE
        self._direction = at
        return at
