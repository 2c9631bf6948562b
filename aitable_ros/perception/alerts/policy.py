# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Which readings are a reason to act, and how urgent: the policy of alerts.

Every cause of every person has a ladder of its own, and steps with the readings of one kind alone:
those of an image's faces, or those of a posture. So the alerts follow from the readings, in
whatever order the two kinds arrive.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from aitable_ros.perception.alerts.ladder import AlertLevel, Ladder, LadderSettings
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.posture.states import POOR, Posture


class Cause(IntEnum):
    """Why there is an alert."""

    ASLEEP = 0
    TIRED = 1
    LOOKING_AWAY = 2
    UNSEEN = 3
    POOR_POSTURE = 4
    SITTING_LONG = 5


@dataclass(frozen=True)
class AsleepSettings(LadderSettings):
    """Both eyes are closed, the mouth is not wide open. All durations are choices."""

    warning_s: float = setting(1.5, 0.0, 86400.0, basic=True)
    critical_s: float = setting(4.0, 0.0, 86400.0)
    recover_s: float = setting(3.0, 0.0, 86400.0)


@dataclass(frozen=True)
class TiredSettings(LadderSettings):
    """The level of fatigue is SEVERE or more. All durations are choices."""

    hint_s: float = setting(10.0, 0.0, 86400.0)
    warning_s: float = setting(300.0, 0.0, 86400.0)
    recover_s: float = setting(60.0, 0.0, 86400.0)


@dataclass(frozen=True)
class LookingAwaySettings(LadderSettings):
    """The zone is AWAY. All durations are choices."""

    hint_s: float = setting(15.0, 0.0, 86400.0)
    warning_s: float = setting(60.0, 0.0, 86400.0)


@dataclass(frozen=True)
class UnseenSettings(LadderSettings):
    """The zone is UNKNOWN, or the camera sees nothing (60: openpilot's). Others are choices."""

    hint_s: float = setting(60.0, 0.0, 86400.0)


@dataclass(frozen=True)
class PoorPostureSettings(LadderSettings):
    """Leaning, slouching, tilted or too close. All durations are choices."""

    hint_s: float = setting(60.0, 0.0, 86400.0)
    warning_s: float = setting(600.0, 0.0, 86400.0)
    recover_s: float = setting(5.0, 0.0, 86400.0)


@dataclass(frozen=True)
class SittingLongSettings(LadderSettings):
    """Posture says that it is worth a reminder. All durations are choices."""

    hint_s: float = setting(1.0, 0.0, 86400.0)
    warning_s: float = setting(1800.0, 0.0, 86400.0)
    recover_s: float = setting(0.0, 0.0, 86400.0)


@dataclass(frozen=True)
class StepSettings(Settings):
    """
    How samples are taken.

    :param max_gap_s: longest time for which one sample may stand [s].
    :param yawn_mar: with the mouth open as wide as this eyes are closed for another reason than
        sleep (0.5: choice; between what begins and what ends a yawn).
    :raises ValueError: for a value out of range.
    """

    max_gap_s: float = setting(1.0, 0.05, 60.0)
    yawn_mar: float = setting(0.5, 0.05, 2.0)


@dataclass(frozen=True)
class AlertSettings:
    """
    The policy.

    :param step: how samples are taken.
    """

    step: StepSettings = field(default_factory=StepSettings)
    asleep: AsleepSettings = field(default_factory=AsleepSettings)
    tired: TiredSettings = field(default_factory=TiredSettings)
    looking_away: LookingAwaySettings = field(default_factory=LookingAwaySettings)
    unseen: UnseenSettings = field(default_factory=UnseenSettings)
    poor_posture: PoorPostureSettings = field(default_factory=PoorPostureSettings)
    sitting_long: SittingLongSettings = field(default_factory=SittingLongSettings)

    def of(self, cause: Cause) -> LadderSettings:
        """Give the durations of a cause."""
        found: LadderSettings = getattr(self, cause.name.lower())
        return found


@dataclass(frozen=True)
class FaceSigns:
    """
    What the policy looks at in one face.

    :param eyes_closed: whether both are; None: not known.
    :param mar: mouth aspect ratio; NaN: not measured.
    :param level: of fatigue.
    :param level_reason: why, for people.
    :param zone: what the person looks at.
    :param zone_s: how long it has been this one [s].
    :param zone_reason: how that is known, or why not.
    """

    eyes_closed: bool | None = None
    mar: float = math.nan
    level: FatigueLevel = FatigueLevel.UNKNOWN
    level_reason: str = ''
    zone: Zone = Zone.UNKNOWN
    zone_s: float = 0.0
    zone_reason: str = ''


@dataclass(frozen=True)
class PostureSigns:
    """
    What the policy looks at in a posture.

    :param state: how the person sits.
    :param reason: why, for people.
    :param still_warning: whether they have not moved for long.
    """

    state: Posture
    reason: str = ''
    still_warning: bool = False


@dataclass(frozen=True)
class AlertChange:
    """
    An alert whose level has changed, or that was acknowledged.

    :param person: face id; empty: not known.
    :param cause: why there is an alert.
    :param level: how urgent; NONE: it is over.
    :param reason: in words.
    :param since_s: when the cause began, in header time [s].
    :param acknowledged: somebody has taken note of this level.
    """

    person: str
    cause: Cause
    level: AlertLevel
    reason: str
    since_s: float
    acknowledged: bool = False


_OF_FACES = (Cause.ASLEEP, Cause.TIRED, Cause.LOOKING_AWAY, Cause.UNSEEN)
_OF_POSTURE = (Cause.POOR_POSTURE, Cause.SITTING_LONG)
_SETTLED = (Posture.UPRIGHT, Posture.AWAY)


class AlertPolicy:
    """
    Steps from readings to alerts. Time is header time; equal readings give equal alerts.

    :param settings: the policy.
    """

    def __init__(self, settings: AlertSettings | None = None) -> None:
        self.settings = settings or AlertSettings()
        self._ladders: dict[tuple[str, Cause], Ladder] = {}
        self._last: dict[tuple[str, Cause], AlertChange] = {}
        self._noted: set[tuple[str, Cause]] = set()
        self._sitting = ''

    def adopt(self, settings: AlertSettings) -> None:
        """Go on with other durations."""
        self.settings = settings
        for ladder in self._ladders.values():
            ladder.max_gap_s = settings.step.max_gap_s

    @property
    def alerts(self) -> list[AlertChange]:
        """The alerts that are on, most urgent first."""
        return sorted(self._last.values(), key=lambda one: -one.level)

    def reset(self) -> list[AlertChange]:
        """Forget everybody; returns the alerts that end with it."""
        return list(self._end(list(self._ladders), 'everything was forgotten'))

    def acknowledge(self) -> int:
        """Take note of all alerts; told with the next reading. Returns how many there are."""
        found = {key for key, ladder in self._ladders.items() if ladder.level}
        for key in found:
            if not self._ladders[key].acknowledged:
                self._ladders[key].acknowledged = True
                self._noted.add(key)
        return len(found)

    def faces(
        self,
        stamp_s: float,
        faces: Mapping[str, FaceSigns],
        present: Collection[str],
        blind: str = '',
    ) -> list[AlertChange]:
        """
        Take the faces of the next image.

        :param stamp_s: header time [s]; not before the last one's.
        :param faces: by face id.
        :param present: who is there, also without a face in this image.
        :param blind: why the camera sees nothing, in words; empty: it does.
        :returns: what has changed.
        """
        here = {*faces, *present}
        keys = [key for key in self._ladders if key[1] in _OF_FACES and key[0] not in here]
        changes = list(self._end(keys, 'left'))
        for person in sorted(here):
            signs = faces.get(person)
            for cause in _OF_FACES:
                on, reason = self._judge(cause, signs, blind)
                away = cause is Cause.LOOKING_AWAY and signs is not None
                already_s = signs.zone_s if away and signs else 0.0
                changes += self._step(stamp_s, person, cause, on, reason, already_s)
        return changes

    def posture(self, stamp_s: float, person: str, signs: PostureSigns) -> list[AlertChange]:
        """
        Take the next posture.

        :param stamp_s: header time [s]; not before the last one's.
        :param person: face id; empty: not known.
        :param signs: of it.
        :returns: what has changed.
        """
        changes: list[AlertChange] = []
        if person and person != self._sitting:
            keys = [key for key in self._ladders if key[1] in _OF_POSTURE]
            changes += self._end(keys, 'another person sits there')
        self._sitting = person or self._sitting
        poor = signs.state in POOR
        known = poor or signs.state in _SETTLED
        for cause, on, reason in (
            (Cause.POOR_POSTURE, poor if known else None, signs.reason),
            (Cause.SITTING_LONG, signs.still_warning, 'sitting without moving'),
        ):
            changes += self._step(stamp_s, self._sitting, cause, on, reason)
        return changes

    def _judge(self, cause: Cause, signs: FaceSigns | None, blind: str) -> tuple[bool | None, str]:
        """Tell whether a cause is there, and why."""
        if cause is Cause.UNSEEN:
            if signs is None:
                return (True if blind else None), blind
            return signs.zone is Zone.UNKNOWN, blind or signs.zone_reason
        if signs is None:
            return None, ''
        if cause is Cause.ASLEEP:
            yawns = signs.mar >= self.settings.step.yawn_mar
            return (None if yawns and signs.eyes_closed else signs.eyes_closed), 'eyes closed'
        if cause is Cause.TIRED:
            unknown = signs.level is FatigueLevel.UNKNOWN
            return (None if unknown else signs.level >= FatigueLevel.SEVERE), signs.level_reason
        unknown = signs.zone is Zone.UNKNOWN
        return (None if unknown else signs.zone is Zone.AWAY), 'looking away'

    def _step(
        self,
        stamp_s: float,
        person: str,
        cause: Cause,
        on: bool | None,
        reason: str,
        already_s: float = 0.0,
    ) -> Iterator[AlertChange]:
        key = (person, cause)
        ladder = self._ladders.get(key)
        if ladder is None:
            if not on:
                return
            ladder = self._ladders[key] = Ladder(self.settings.step.max_gap_s)
        since_s = ladder.since_s
        changed = ladder.update(stamp_s, on, self.settings.of(cause), already_s)
        noted = key in self._noted
        self._noted.discard(key)
        if ladder.level:
            since_s = ladder.since_s
        if not (changed or noted):
            return
        if not ladder.level:
            yield from self._over(key, 'it is over', since_s)
            return
        digits = 1 if ladder.lasted_s < _EXACTLY_S else 0
        lasted = f'{ladder.lasted_s:.{digits}f}'
        words = _IN_WORDS[cause].format(reason=reason, seconds=lasted)
        if not changed:
            words = self._last[key].reason
        change = AlertChange(person, cause, ladder.level, words, since_s, ladder.acknowledged)
        self._last[key] = change
        yield change

    def _end(self, keys: list[tuple[str, Cause]], reason: str) -> Iterator[AlertChange]:
        for key in keys:
            ladder = self._ladders.pop(key)
            self._noted.discard(key)
            if ladder.level:
                yield from self._over(key, reason, ladder.since_s)

    def _over(self, key: tuple[str, Cause], reason: str, since_s: float) -> Iterator[AlertChange]:
        self._last.pop(key, None)
        yield AlertChange(key[0], key[1], AlertLevel.NONE, reason, since_s)


_EXACTLY_S = 10.0

_IN_WORDS = {
    Cause.ASLEEP: 'eyes closed for {seconds} s',
    Cause.TIRED: 'tired: {reason}',
    Cause.LOOKING_AWAY: 'looking away for {seconds} s',
    Cause.UNSEEN: 'cannot see you for {seconds} s: {reason}',
    Cause.POOR_POSTURE: 'posture for {seconds} s: {reason}',
    Cause.SITTING_LONG: '{reason}: time for a break',
}
