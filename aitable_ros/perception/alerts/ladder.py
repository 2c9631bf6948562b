# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""From how long something has lasted to a level, with recovery and acknowledgement."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum

from aitable_ros.perception.maths.settings import Settings, setting

_FOREVER_S = 86400.0


class AlertLevel(IntEnum):
    """How urgent an alert is."""

    NONE = 0
    HINT = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True)
class LadderSettings(Settings):
    """
    From how long on which level holds. Only time in which it is known counts.

    :param hint_s: a HINT from so long on [s]; 0: never.
    :param warning_s: a WARNING from so long on [s]; 0: never.
    :param critical_s: CRITICAL from so long on [s]; 0: never.
    :param recover_s: it is over when the cause has been known to be gone for so long [s].
    :raises ValueError: for a value out of range.
    """

    hint_s: float = setting(0.0, 0.0, _FOREVER_S)
    warning_s: float = setting(0.0, 0.0, _FOREVER_S)
    critical_s: float = setting(0.0, 0.0, _FOREVER_S)
    recover_s: float = setting(2.0, 0.0, _FOREVER_S)

    def level_after(self, lasted_s: float) -> AlertLevel:
        """Give the level of what has lasted for so long."""
        found = AlertLevel.NONE
        for level, limit_s in (
            (AlertLevel.HINT, self.hint_s),
            (AlertLevel.WARNING, self.warning_s),
            (AlertLevel.CRITICAL, self.critical_s),
        ):
            if limit_s > 0.0 and lasted_s >= limit_s - _ROUNDING_S:
                found = level
        return found


_ROUNDING_S = 1e-6
"""Sums of intervals between stamps are exact to this."""


class Ladder:
    """
    One cause of one person.

    :param max_gap_s: longest time for which one sample may stand [s].
    """

    def __init__(self, max_gap_s: float) -> None:
        self.max_gap_s = max_gap_s
        self.level = AlertLevel.NONE
        self.acknowledged = False
        self.lasted_s = 0.0
        """How long the cause has lasted [s]."""
        self.since_s = math.nan
        """When it began, in header time [s]."""
        self._gone_s = 0.0
        self._last_s = math.nan
        self._last: bool | None = None

    def update(
        self,
        stamp_s: float,
        on: bool | None,
        settings: LadderSettings,
        already_s: float = 0.0,
    ) -> bool:
        """
        Take one sample.

        :param stamp_s: header time [s]; not before the last one's.
        :param on: whether the cause is there; None: not known, which neither lasts nor recovers.
        :param settings: the durations.
        :param already_s: for how long the cause has been there where it is new [s].
        :returns: whether the level has changed.
        """
        passed_s = min(max(stamp_s - self._last_s, 0.0), self.max_gap_s)
        if self._last is True:
            self.lasted_s += passed_s
        elif self._last is False:
            self._gone_s += passed_s
        before = self.level
        if on:
            if math.isnan(self.since_s):
                self.since_s = stamp_s - already_s
                self.lasted_s = already_s
            reached = settings.level_after(self.lasted_s)
            if reached:  # what is shorter, as blinks are, only interrupts the recovery
                self._gone_s = 0.0
            if reached > self.level:
                self.level, self.acknowledged = reached, False
        elif on is False:
            self.lasted_s = 0.0
            if self._gone_s >= settings.recover_s - _ROUNDING_S or not self.level:
                self.end()
        self._last_s, self._last = stamp_s, on
        return self.level is not before

    def end(self) -> None:
        """Take it for gone."""
        self.level, self.acknowledged = AlertLevel.NONE, False
        self.lasted_s, self.since_s, self._gone_s = 0.0, math.nan, 0.0
