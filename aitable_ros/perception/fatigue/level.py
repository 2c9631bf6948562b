# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
One verdict from all signs of fatigue: a small rule with hysteresis.

The level is a heuristic for a table that wants to suggest a break; it is no medical statement
and no Karolinska score. The rule, the most serious line that applies:

* ASLEEP: the eyes have been closed for ``asleep_s``;
* MICROSLEEP: ... for ``microsleep_s``, or that ended less than ``hold_s`` ago;
* SEVERE: PERCLOS of ``severe_perclos``, or ``severe_microsleeps`` or ``severe_nods`` within
  the event window;
* MILD: PERCLOS of ``mild_perclos``, or ``mild_microsleeps``, ``mild_long_closures``,
  ``mild_yawns`` or ``mild_nods`` within the event window;
* ALERT: none of these, and enough was seen to say so;
* UNKNOWN: otherwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from aitable_ros.perception.fatigue.perclos import PerclosValue
from aitable_ros.perception.maths.settings import Settings, setting


class FatigueLevel(IntEnum):
    """How tired a person seems; from ALERT on in ascending order."""

    UNKNOWN = 0
    ALERT = 1
    MILD = 2
    SEVERE = 3
    MICROSLEEP = 4
    ASLEEP = 5


@dataclass(frozen=True)
class LevelSettings(Settings):
    """
    Thresholds of the rule. Counts are within ``event_window_s``; 0 turns a line off.

    :param mild_perclos: MILD from this P80 on (0.10: proposed at VSS 2012, where 0.061 was
        measured rested and 0.105 at the first microsleep of a second).
    :param severe_perclos: SEVERE from this P80 on (0.15: the upper of the thresholds 0.075 and
        0.15 that drowsiness studies use; VSS 2012 measured 0.122 at the end of driving).
    :param leave_share: a level from PERCLOS is left below this share of its threshold
        (0.8: choice).
    :param microsleep_s: eyes closed for this long [s] (1.0: VSS 2012).
    :param asleep_s: eyes closed for this long [s] (3.0: Euro NCAP's figure for sleep, from
        memory).
    :param hold_s: MICROSLEEP and ASLEEP last this much longer than the closure [s] (choice).
    :param lower_s: a lower level must have applied for this long before it is taken [s]
        (15: choice).
    :param event_window_s: window of the counted events [s] (300: choice).
    :param mild_microsleeps: this many microsleeps (1: choice).
    :param severe_microsleeps: this many (2: choice).
    :param mild_long_closures: closures of half a second and more (3: choice).
    :param mild_yawns: yawns (3: choice).
    :param mild_nods: nods (1: choice).
    :param severe_nods: nods (3: choice).
    :param min_observed_s: nobody is called alert, and PERCLOS does not count, before this much
        of its window was observed [s] (30: choice; one closure of a second then makes 3 %).
    :param max_unseen_s: the level is UNKNOWN when the eyes were not seen for longer [s]
        (5: choice).
    :raises ValueError: for a value out of range.
    """

    mild_perclos: float = setting(0.10, 0.01, 1.0, basic=True)
    severe_perclos: float = setting(0.15, 0.01, 1.0, basic=True)
    leave_share: float = setting(0.8, 0.0, 1.0)
    microsleep_s: float = setting(1.0, 0.1, 30.0)
    asleep_s: float = setting(3.0, 0.1, 60.0)
    hold_s: float = setting(3.0, 0.0, 60.0)
    lower_s: float = setting(15.0, 0.0, 600.0)
    event_window_s: float = setting(300.0, 10.0, 7200.0)
    mild_microsleeps: int = setting(1, 0, 100)
    severe_microsleeps: int = setting(2, 0, 100)
    mild_long_closures: int = setting(3, 0, 100)
    mild_yawns: int = setting(3, 0, 100)
    mild_nods: int = setting(1, 0, 100)
    severe_nods: int = setting(3, 0, 100)
    min_observed_s: float = setting(30.0, 0.0, 3600.0)
    max_unseen_s: float = setting(5.0, 0.0, 600.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mild_perclos <= self.severe_perclos:
            raise ValueError(f'need mild_perclos <= severe_perclos: {self}')
        if not self.microsleep_s <= self.asleep_s:
            raise ValueError(f'need microsleep_s <= asleep_s: {self}')


class FatigueSigns(NamedTuple):
    """
    What the rule looks at.

    :ivar unseen_s: for how long the eyes have not been measured [s]; 0: they are now.
    :ivar unseen_why: what keeps them from being measured, for people; empty: nothing.
    :ivar calibrated: whether the person's open eyes are known.
    :ivar perclos: of the sliding window.
    :ivar closure_s: how long the eyes have been closed now [s], yawns not counted; NaN: unknown.
    :ivar microsleeps: how many within the event window.
    :ivar long_closures: how many within the event window.
    :ivar yawns: how many within the event window.
    :ivar nods: how many within the event window.
    """

    unseen_s: float
    unseen_why: str
    calibrated: bool
    perclos: PerclosValue
    closure_s: float
    microsleeps: int = 0
    long_closures: int = 0
    yawns: int = 0
    nods: int = 0


class LevelRule:
    """
    The rule with its memory, for one person.

    :param settings: thresholds.
    """

    def __init__(self, settings: LevelSettings | None = None) -> None:
        self.settings = settings or LevelSettings()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.level = FatigueLevel.UNKNOWN
        self.reason = 'nothing was seen yet'
        self._lower_since_s = math.nan

    def update(self, stamp_s: float, signs: FatigueSigns) -> FatigueLevel:
        """
        Judge.

        :param stamp_s: header time [s]; must not go back.
        :param signs: all signs at this time.
        :returns: the level; :attr:`reason` tells why, for people.
        """
        settings = self.settings
        level, reason = self._applies(signs)
        if level is FatigueLevel.UNKNOWN:
            known = self.level is not FatigueLevel.UNKNOWN
            if known and signs.calibrated and signs.unseen_s <= settings.max_unseen_s:
                # Seen badly for a moment, or too little of the window for now: as a lower level.
                return self._lower(stamp_s, level, reason)
            self._take(level, reason)
        elif level >= self.level:
            self._take(level, reason)
        else:
            self._lower(stamp_s, level, reason)
        return self.level

    def _take(self, level: FatigueLevel, reason: str) -> None:
        self.level, self.reason = level, reason
        self._lower_since_s = math.nan

    def _lower(self, stamp_s: float, level: FatigueLevel, reason: str) -> FatigueLevel:
        settings = self.settings
        if math.isnan(self._lower_since_s):
            self._lower_since_s = stamp_s
            self.reason = f'until now {self.reason}'
        closed = self.level >= FatigueLevel.MICROSLEEP
        wait_s = settings.hold_s if closed else settings.lower_s
        if stamp_s - self._lower_since_s >= wait_s:
            self._take(level, reason)
        return self.level

    def _applies(self, signs: FatigueSigns) -> tuple[FatigueLevel, str]:
        """Find the most serious line of the rule that applies, without hysteresis in time."""
        settings = self.settings
        if signs.unseen_s > settings.max_unseen_s and (signs.calibrated or signs.unseen_why):
            return FatigueLevel.UNKNOWN, f'the eyes were not seen: {signs.unseen_why or "unclear"}'
        if not signs.calibrated:
            return FatigueLevel.UNKNOWN, 'the open eyes are still being learned'
        if signs.closure_s >= settings.asleep_s:
            return FatigueLevel.ASLEEP, f'eyes closed for {_floor(signs.closure_s)} s'
        if signs.closure_s >= settings.microsleep_s:
            return FatigueLevel.MICROSLEEP, f'eyes closed for {_floor(signs.closure_s)} s'
        perclos = signs.perclos
        enough = perclos.valid and perclos.observed_s >= min(
            settings.min_observed_s, perclos.window_s
        )
        for level, threshold, counts in (
            (
                FatigueLevel.SEVERE,
                settings.severe_perclos,
                (
                    (signs.microsleeps, settings.severe_microsleeps, 'microsleeps'),
                    (signs.nods, settings.severe_nods, 'nods'),
                ),
            ),
            (
                FatigueLevel.MILD,
                settings.mild_perclos,
                (
                    (signs.microsleeps, settings.mild_microsleeps, 'microsleeps'),
                    (signs.nods, settings.mild_nods, 'nods'),
                    (signs.long_closures, settings.mild_long_closures, 'long closures'),
                    (signs.yawns, settings.mild_yawns, 'yawns'),
                ),
            ),
        ):
            if level <= self.level <= FatigueLevel.SEVERE:
                threshold *= settings.leave_share
            if enough and perclos.p80 >= threshold:
                return level, f'PERCLOS {perclos.p80:.1%}, threshold {threshold:.1%}'
            for count, limit, name in counts:
                if 0 < limit <= count:
                    name = name if count != 1 else name[:-1]
                    return level, f'{count} {name} in {settings.event_window_s / 60:g} min'
        if not enough:
            return (
                FatigueLevel.UNKNOWN,
                f'eyes seen for {perclos.observed_s:.0f} s of the last'
                f' {perclos.window_s:.0f} s only',
            )
        return FatigueLevel.ALERT, f'PERCLOS {perclos.p80:.1%}, no other sign'


def _floor(seconds: float) -> str:
    """Show tenths that have passed: 1.0 s is not reached at 0.96."""
    return f'{math.floor(seconds * 10) / 10:.1f}'
