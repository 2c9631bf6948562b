# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""All signs of fatigue of one person, sample by sample."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from aitable_ros.perception.events import EventKind
from aitable_ros.perception.faces.face_views import View
from aitable_ros.perception.fatigue.blinks import BlinkSettings, ClosureDetector, EyeState
from aitable_ros.perception.fatigue.events import Event
from aitable_ros.perception.fatigue.eye_baseline import BaselineSettings, EyeBaseline
from aitable_ros.perception.fatigue.level import (
    FatigueLevel,
    FatigueSigns,
    LevelRule,
    LevelSettings,
)
from aitable_ros.perception.fatigue.nods import NodDetector, NodSettings
from aitable_ros.perception.fatigue.perclos import Perclos, PerclosSettings, PerclosValue
from aitable_ros.perception.fatigue.visibility import (
    FaceView,
    Visibility,
    VisibilityGate,
    VisibilitySettings,
)
from aitable_ros.perception.fatigue.yawns import YawnDetector, YawnSettings

_MAX_KEPT_EVENTS = 256
_COUNTED = ('microsleeps', 'long_closures', 'yawns', 'nods')

_UNSEEN = {
    Visibility.MEASURED: '',
    Visibility.NO_FACE: 'no face',
    Visibility.LOW_PRESENCE: 'doubtful landmarks',
    Visibility.TOO_SMALL: 'too small',
    Visibility.TURNED: 'head turned',
    Visibility.PITCHED: 'head pitched',
    Visibility.EYES_OUTSIDE: 'outside of the picture',
    Visibility.EYES_DARK: 'too dark',
    Visibility.EYES_BLURRED: 'blurred',
    Visibility.EYES_COVERED: 'covered',
}


_NO_MOUTH = (
    *(Visibility.NO_FACE, Visibility.LOW_PRESENCE, Visibility.TOO_SMALL, Visibility.TURNED),
    Visibility.PITCHED,
)


@dataclass(frozen=True)
class FatigueSettings:
    """Settings of everything that is measured on one person."""

    visibility: VisibilitySettings = field(default_factory=VisibilitySettings)
    baseline: BaselineSettings = field(default_factory=BaselineSettings)
    blinks: BlinkSettings = field(default_factory=BlinkSettings)
    perclos: PerclosSettings = field(default_factory=PerclosSettings)
    yawns: YawnSettings = field(default_factory=YawnSettings)
    nods: NodSettings = field(default_factory=NodSettings)
    level: LevelSettings = field(default_factory=LevelSettings)


class FatigueSample(NamedTuple):
    """
    What one image showed of one face. NaN: not measured.

    :ivar left_ear: eye aspect ratio of the subject's left eye.
    :ivar right_ear: and of the right eye.
    :ivar mar: mouth aspect ratio.
    :ivar view: how the face is seen; decides whether the ratios are to be believed.
    :ivar head_pitch_rad: pitch of the head, down is positive, for finding nods [rad]; NaN: not
        measured. ``view`` has the angles to the line of sight, which decide what can be seen.
    """

    left_ear: float
    right_ear: float
    mar: float = math.nan
    view: FaceView = FaceView()
    head_pitch_rad: float = math.nan


class FatigueState(NamedTuple):
    """
    What is known about a person after one sample. NaN: not measured or not valid yet.

    :ivar visibility: what the image could tell.
    :ivar left_ear: EAR of the left eye; NaN unless MEASURED.
    :ivar right_ear: EAR of the right eye.
    :ivar left_openness: 0 closed .. 1 the person's own open eye.
    :ivar right_openness: the same for the right eye.
    :ivar openness: of both eyes together, see :meth:`ClosureDetector.both`.
    :ivar eye_state: both eyes together.
    :ivar calibrated: whether the open-eye baselines can be trusted.
    :ivar left_ear_baseline: open-eye EAR of an upright head; NaN before the first sample.
    :ivar right_ear_baseline: the same for the right eye.
    :ivar perclos: the sliding window.
    :ivar closure_duration_s: how long the eyes have been closed now [s]; 0: open.
    :ivar closure_truncated: the closure began unseen, the duration is a lower bound.
    :ivar blinks_valid: whether samples come often enough to see blinks.
    :ivar blink_count: blinks since the person appeared.
    :ivar blink_rate: blinks per minute of time in the window in which they were valid.
    :ivar last_blink_duration_s: of the last one [s].
    :ivar mean_blink_duration_s: over the window [s].
    :ivar last_blink_amplitude: drop of openness of the last blink.
    :ivar long_closure_count: since the person appeared; counted while they last.
    :ivar microsleep_count: the same; closures during a yawn do not count.
    :ivar mar: mouth aspect ratio; NaN while the mouth is not seen well enough.
    :ivar yawning: whether a yawn is going on.
    :ivar yawn_duration_s: how long the current or last yawn lasted [s].
    :ivar yawn_count: yawns since the person appeared; counted when they end.
    :ivar yawn_rate: yawns per minute of observed time in their window.
    :ivar nod_count: nods since the person appeared; counted when they end.
    :ivar level: the verdict.
    :ivar level_reason: which line of the rule decided, for people.
    :ivar ended_blink: the blink that was found with this sample.
    :ivar ended_closure: the closure that ended with this sample.
    :ivar ended_yawn: the yawn that ended with this sample.
    :ivar ended_nod: the nod that ended with this sample.
    :ivar ended_closure_kind: what the closure that ended last was counted as.
    """

    visibility: Visibility
    left_ear: float
    right_ear: float
    left_openness: float
    right_openness: float
    openness: float
    eye_state: EyeState
    calibrated: bool
    left_ear_baseline: float
    right_ear_baseline: float
    perclos: PerclosValue
    closure_duration_s: float
    closure_truncated: bool
    blinks_valid: bool
    blink_count: int
    blink_rate: float
    last_blink_duration_s: float
    mean_blink_duration_s: float
    last_blink_amplitude: float
    long_closure_count: int
    microsleep_count: int
    mar: float
    yawning: bool
    yawn_duration_s: float
    yawn_count: int
    yawn_rate: float
    nod_count: int
    level: FatigueLevel
    level_reason: str
    ended_blink: Event | None = None
    ended_closure: Event | None = None
    ended_yawn: Event | None = None
    ended_nod: Event | None = None
    ended_closure_kind: EventKind | None = None

    @property
    def ended(self) -> list[tuple[EventKind, Event]]:
        """What ended with this sample and was counted."""
        found = (
            (EventKind.BLINK, self.ended_blink),
            (self.ended_closure_kind, self.ended_closure),
            (EventKind.YAWN, self.ended_yawn),
            (EventKind.NOD, self.ended_nod),
        )
        return [(kind, event) for kind, event in found if kind is not None and event is not None]

    @property
    def eyes_closed(self) -> bool:
        """Whether both eyes are known to be closed."""
        return self.eye_state is EyeState.CLOSED


class FatigueMonitor:
    """
    The fatigue state of one person; make one per face id.

    :param settings: thresholds and windows.
    """

    def __init__(self, settings: FatigueSettings | None = None) -> None:
        self.settings = settings or FatigueSettings()
        self._gate = VisibilityGate(self.settings.visibility)
        self._left = EyeBaseline(self.settings.baseline)
        self._right = EyeBaseline(self.settings.baseline)
        self._closures = ClosureDetector(self.settings.blinks)
        self._perclos = Perclos(self.settings.perclos)
        self._yawns = YawnDetector(self.settings.yawns)
        self._rule = LevelRule(self.settings.level)
        self._nods = NodDetector(self.settings.nods)
        self.reset()

    def reset(self) -> None:
        """Forget everything, the baselines included."""
        for part in (
            *(self._gate, self._left, self._right, self._closures),
            *(self._perclos, self._yawns, self._nods, self._rule),
        ):
            part.reset()
        self._counted = {name: _Counted() for name in _COUNTED}
        self.last_stamp_s = math.nan
        self._seen_s = self._one_eye_since_s = math.nan
        self._state: FatigueState | None = None

    def adopt(self, settings: FatigueSettings) -> bool:
        """
        Go on with other thresholds, keeping what was seen.

        :param settings: what holds from the next sample on.
        :returns: False, and nothing has changed, when what was gathered does not fit them: they
            have other windows, or learn the open eye in another way.
        """
        mine = self.settings
        if settings.baseline != mine.baseline or any(
            getattr(settings, name).window_s != getattr(mine, name).window_s
            for name in ('blinks', 'perclos', 'yawns')
        ):
            return False
        self.settings = settings
        self._gate.settings = settings.visibility
        self._closures.settings = settings.blinks
        self._perclos.settings = settings.perclos
        self._yawns.settings = settings.yawns
        self._nods.settings = settings.nods
        self._rule.settings = settings.level
        return True

    def update(self, stamp_s: float, sample: FatigueSample) -> FatigueState:
        """
        Take one sample.

        :param stamp_s: header time [s]; equal to the last one: ignored; going back starts anew.
        :param sample: what the image showed of this person.
        :returns: what is known now.
        :raises ValueError: when the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if self._state is not None and stamp_s == self.last_stamp_s:
            return self._state
        if stamp_s < self.last_stamp_s:
            self.reset()
        if self._state is None:
            self._seen_s = stamp_s
        self.last_stamp_s = stamp_s
        view = sample.view
        visibility = self._gate.update(view)
        mar = sample.mar if self._sees_mouth(visibility, view) else math.nan
        left_ear, right_ear = _checked(sample.left_ear), _checked(sample.right_ear)
        if visibility is not Visibility.MEASURED or view.parts.left_eye is not View.SEEN:
            left_ear = math.nan
        if visibility is not Visibility.MEASURED or view.parts.right_eye is not View.SEEN:
            right_ear = math.nan
        blinks_before = self._closures.blink_count
        ended_yawn = self._yawns.update(stamp_s, _checked(mar))
        left, right, both, ended_closure = self._update_eyes(stamp_s, left_ear, right_ear, view)
        ended_nod = self._nods.update(stamp_s, sample.head_pitch_rad, both)
        closures = self._closures
        counted, since_s = self._counted, stamp_s - self.settings.level.event_window_s
        perclos = self._perclos.value()
        calibrated = (self._left.calibrated and self._right.calibrated) or self._alone(stamp_s)
        level = self._rule.update(
            stamp_s,
            FatigueSigns(
                unseen_s=stamp_s - self._seen_s,
                unseen_why=_UNSEEN[visibility],
                calibrated=calibrated,
                perclos=perclos,
                closure_s=closures.unexcused_duration_s,
                microsleeps=counted['microsleeps'].update(
                    stamp_s, closures.microsleep_count, since_s
                ),
                long_closures=counted['long_closures'].update(
                    stamp_s, closures.long_closure_count, since_s
                ),
                yawns=counted['yawns'].update(stamp_s, self._yawns.yawn_count, since_s),
                nods=counted['nods'].update(stamp_s, self._nods.count, since_s),
            ),
        )
        last = closures.last_blink
        blinked = closures.blink_count > blinks_before
        self._state = FatigueState(
            visibility=visibility,
            left_ear=left_ear,
            right_ear=right_ear,
            left_openness=left,
            right_openness=right,
            openness=both,
            eye_state=closures.state,
            calibrated=calibrated,
            left_ear_baseline=self._left.open_ear,
            right_ear_baseline=self._right.open_ear,
            perclos=perclos,
            closure_duration_s=closures.closure_duration_s,
            closure_truncated=closures.closure_truncated,
            blinks_valid=closures.blinks_valid,
            blink_count=closures.blink_count,
            blink_rate=closures.blink_rate(stamp_s, self.settings.perclos.min_observed_s),
            last_blink_duration_s=last.duration_s if last else math.nan,
            mean_blink_duration_s=closures.mean_blink_s(stamp_s),
            last_blink_amplitude=last.size if last else math.nan,
            long_closure_count=closures.long_closure_count,
            microsleep_count=closures.microsleep_count,
            mar=mar,
            yawning=self._yawns.yawning,
            yawn_duration_s=self._yawns.yawn_duration_s,
            yawn_count=self._yawns.yawn_count,
            yawn_rate=self._yawns.yawn_rate(stamp_s),
            nod_count=self._nods.count,
            level=level,
            level_reason=self._rule.reason + self._about_one_eye(stamp_s, left),
            ended_blink=last if blinked else None,
            ended_closure=ended_closure,
            ended_yawn=ended_yawn,
            ended_nod=ended_nod,
            ended_closure_kind=closures.ended_kind,
        )
        return self._state

    def _update_eyes(
        self, stamp_s: float, left_ear: float, right_ear: float, view: FaceView
    ) -> tuple[float, float, float, Event | None]:
        pitch_rad = view.pitch_rad
        restarted = self._left.update(stamp_s, left_ear, pitch_rad, view.yaw_rad)
        restarted |= self._right.update(stamp_s, right_ear, pitch_rad, view.yaw_rad)
        if restarted:
            # what was measured with a wrong reference is wrong, and perhaps somebody else's
            self._closures.reset()
            self._perclos.reset()
            for name in ('microsleeps', 'long_closures'):
                self._counted[name] = _Counted()
        left = self._left.openness(left_ear, pitch_rad)
        right = self._right.openness(right_ear, pitch_rad)
        closures = self._closures
        one = left if math.isnan(right) else right
        if math.isnan(left) == math.isnan(right):
            # neither says nothing of one
            self._one_eye_since_s = self._one_eye_since_s if math.isnan(left) else math.nan
        elif math.isnan(self._one_eye_since_s):
            self._one_eye_since_s = stamp_s
        pair = (one, one) if self._alone(stamp_s) else (left, right)
        ended = closures.update(stamp_s, *pair, excused=self._yawns.maybe_yawning)
        both = closures.both(*pair)
        if not math.isnan(both):
            self._seen_s = stamp_s
        self._perclos.add(stamp_s, 1.0 - both, closures.closed)
        return left, right, both, ended

    def _alone(self, stamp_s: float) -> bool:
        """Tell whether one eye decides, since the other is not seen or never open for long."""
        return stamp_s - self._one_eye_since_s >= self.settings.visibility.one_eye_s

    def _about_one_eye(self, stamp_s: float, left: float) -> str:
        if not self._alone(stamp_s):
            return ''
        other, eye = ('left', self._left) if math.isnan(left) else ('right', self._right)
        return f'; the {other} eye is {"not seen" if eye.calibrated else "never open"}'

    def _sees_mouth(self, visibility: Visibility, view: FaceView) -> bool:
        """Tell whether the mouth can be measured: it needs less than the eyes."""
        if view.parts.mouth is not View.SEEN:
            return False
        if visibility is Visibility.PITCHED:
            return abs(view.pitch_rad) <= self.settings.yawns.max_pitch_rad
        return visibility not in _NO_MOUTH


class _Counted:
    """When the events of a running count happened."""

    def __init__(self) -> None:
        self.total = 0
        self._stamps_s: deque[float] = deque(maxlen=_MAX_KEPT_EVENTS)

    def update(self, stamp_s: float, total: int, since_s: float) -> int:
        """Take in what the count is now, and count the events since then."""
        if total != self.total:
            self._stamps_s.extend([stamp_s] * min(total - self.total, _MAX_KEPT_EVENTS))
            self.total = total
        while self._stamps_s and self._stamps_s[0] < since_s:
            self._stamps_s.popleft()
        return len(self._stamps_s)


def _checked(ratio: float) -> float:
    """Take what cannot be an aspect ratio for not measured."""
    return ratio if 0 <= ratio < math.inf else math.nan
