# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which zone a direction lies in: to the front, on the desk, or away; with hysteresis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from aitable_ros.perception.maths.settings import Settings, setting


class Zone(IntEnum):
    """What somebody looks at."""

    UNKNOWN = 0
    FRONT = 1
    DESK = 2
    AWAY = 3


@dataclass(frozen=True)
class ZoneSettings(Settings):
    """
    Borders of the zones, from the person's natural direction. Where only the head is measured,
    which goes part of the way, they are ``head_share`` of that.

    :param away_yaw_rad: farther to the side is AWAY [rad] (30 degrees: choice).
    :param desk_away_yaw_rad: the same for looks down, as a table is wide [rad] (50 degrees:
        choice).
    :param desk_pitch_rad: farther down is DESK [rad] (15 degrees: choice; lowered lids hide
        part of a look down, 6 to 15 degrees are measured of clear ones).
    :param away_up_rad: farther up is AWAY [rad] (25 degrees: choice).
    :param leave_share: a zone is left at this share of its border (0.7: choice; openpilot's
        0.37 / 0.63 is 0.59).
    :param head_share: share of a look that the head makes (0.7: choice; eyes do the rest).
    :param confirm_s: another zone is taken when it has applied for this long [s] (0.15: choice).
    :param hold_s: a direction stands for so long without being measured [s] (0.5: longer than
        blinks).
    :raises ValueError: for a value out of range.
    """

    away_yaw_rad: float = setting(math.radians(30.0), 0.05, 1.57)
    desk_away_yaw_rad: float = setting(math.radians(50.0), 0.05, 1.57)
    desk_pitch_rad: float = setting(math.radians(15.0), 0.05, 1.57)
    away_up_rad: float = setting(math.radians(25.0), 0.05, 1.57)
    leave_share: float = setting(0.7, 0.1, 1.0)
    head_share: float = setting(0.7, 0.1, 1.0)
    confirm_s: float = setting(0.15, 0.0, 10.0)
    hold_s: float = setting(0.5, 0.0, 10.0)


class ZoneRule:
    """
    The zone of one person.

    :param settings: borders and times.
    """

    def __init__(self, settings: ZoneSettings | None = None) -> None:
        self.settings = settings or ZoneSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.zone = Zone.UNKNOWN
        self.since_s = math.nan
        """When the zone was entered [s]."""
        self._other = Zone.UNKNOWN
        self._other_since_s = math.nan

    def update(self, stamp_s: float, yaw_rad: float, pitch_rad: float, share: float) -> Zone:
        """
        Judge a direction.

        :param stamp_s: header time [s].
        :param yaw_rad: from the natural direction [rad]; NaN: not known.
        :param pitch_rad: the same, down is positive [rad].
        :param share: of the borders that counts.
        """
        if math.isnan(self.since_s):
            self.since_s = stamp_s
        found = self._applies(yaw_rad / share, pitch_rad / share)
        if found is self.zone:
            self._other_since_s = math.nan
            return self.zone
        if found is not self._other or math.isnan(self._other_since_s):
            self._other, self._other_since_s = found, stamp_s
        # what was not known is not held on to, and not knowing has been waited for already
        at_once = Zone.UNKNOWN in (found, self.zone)
        if at_once or stamp_s - self._other_since_s >= self.settings.confirm_s:
            self.zone, self.since_s = found, self._other_since_s
            self._other_since_s = math.nan
        return self.zone

    def _applies(self, yaw: float, pitch: float) -> Zone:
        if math.isnan(yaw) or math.isnan(pitch):
            return Zone.UNKNOWN
        settings = self.settings
        down = pitch > settings.desk_pitch_rad * self._leave(Zone.DESK)
        side = settings.desk_away_yaw_rad if down else settings.away_yaw_rad
        if abs(yaw) > side * self._leave(Zone.AWAY):
            return Zone.AWAY
        if down:
            return Zone.DESK
        return Zone.AWAY if -pitch > settings.away_up_rad * self._leave(Zone.AWAY) else Zone.FRONT

    def _leave(self, zone: Zone) -> float:
        return self.settings.leave_share if self.zone is zone else 1.0
