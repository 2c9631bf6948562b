# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A person's own upright posture, learned from some seconds of steady sitting."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from aitable_ros.perception.maths.rotation import Vector
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.posture.angles import HeadSource, PostureAngles
from aitable_ros.perception.posture.measure import NOWHERE
from aitable_ros.perception.posture.states import Calibration

_MIN_SAMPLES = 5
_JUDGED = (
    'shoulder_tilt_rad',
    'trunk_pitch_rad',
    'trunk_roll_rad',
    'forward_head_rad',
    'head_pitch_rad',
    'head_roll_rad',
)
_LEARNED = (*_JUDGED, 'neck_ratio')


@dataclass(frozen=True)
class CalibrationSettings(Settings):
    """
    When sitting counts as steady, and as upright enough to be learned without being asked.

    :param duration_s: so many seconds of steady sitting are learned from [s] (3: choice).
    :param timeout_s: a requested calibration fails when there were none for this long [s]
        (30: choice).
    :param max_spread_rad: range within which every angle stays in steady sitting [rad]
        (8 degrees: choice; noise of 1.5 degrees spreads as far).
    :param max_motion_m: range within which the eyes stay [m] (0.05: choice).
    :param automatic_tilt_rad: shoulders and trunk are level within this when it is learned unasked
        [rad] (10 degrees: choice).
    :param automatic_pitch_rad: the trunk is pitched by no more than this [rad] (20 degrees: trunk
        flexion beyond it scores higher in RULA, McAtamney and Corlett 1993).
    :param automatic_head_roll_rad: the head is tilted by no more than this [rad] (15 degrees:
        choice).
    :param automatic_head_pitch_rad: the head is bowed by no more than this [rad] (35 degrees:
        choice; people at tables look down).
    :raises ValueError: for a value out of range.
    """

    duration_s: float = setting(3.0, 0.5, 60.0)
    timeout_s: float = setting(30.0, 1.0, 600.0)
    max_spread_rad: float = setting(math.radians(8.0), 0.01, 1.0)
    max_motion_m: float = setting(0.05, 0.005, 0.5)
    automatic_tilt_rad: float = setting(math.radians(10.0), 0.02, 1.57)
    automatic_pitch_rad: float = setting(math.radians(20.0), 0.02, 1.57)
    automatic_head_roll_rad: float = setting(math.radians(15.0), 0.02, 1.57)
    automatic_head_pitch_rad: float = setting(math.radians(35.0), 0.02, 1.57)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.duration_s <= self.timeout_s:
            raise ValueError(f'need duration_s <= timeout_s: {self}')


@dataclass(frozen=True)
class UprightPosture:
    """
    The upright posture of one person, medians. NaN: was not measured then.

    :param angles: what the angles were; comparable with such of the same basis only.
    :param eyes_m: where the eyes were in the level frame [m].
    :param frame: what that was measured with; comparable with positions of an equal one only.
    """

    angles: PostureAngles = field(default_factory=PostureAngles)
    eyes_m: Vector = NOWHERE
    frame: Hashable = None

    def change(self, name: str, angles: PostureAngles) -> float:
        """
        Tell by how much an angle differs from upright.

        :param name: a field of :class:`PostureAngles`.
        :param angles: now.
        :returns: NaN when either was not measured, or from something else.
        """
        if angles.basis is not self.angles.basis:
            return math.nan
        if name.startswith('head_') and angles.head_source is not self.angles.head_source:
            return math.nan
        return float(getattr(angles, name) - getattr(self.angles, name))

    def moved_m(self, eyes_m: Vector, frame: Hashable) -> Vector:
        """
        Tell how far the eyes have moved from upright.

        :param eyes_m: where they are now, in the level frame [m].
        :param frame: what that was measured with.
        :returns: forward, left, up [m]; NaN when either was not measured, or with something else.
        """
        if frame != self.frame:
            return NOWHERE
        (x, y, z), (x0, y0, z0) = eyes_m, self.eyes_m
        return x - x0, y - y0, z - z0


@dataclass(frozen=True)
class _Kept:
    stamp_s: float
    angles: PostureAngles
    eyes_m: Vector
    frame: Hashable


class Calibrator:
    """
    Learns one person's upright posture.

    :param settings: when sitting counts as steady.
    :param max_gap_s: what was measured before a longer gap does not count [s].
    """

    def __init__(
        self, settings: CalibrationSettings | None = None, *, max_gap_s: float = 0.5
    ) -> None:
        self.settings = settings or CalibrationSettings()
        self._max_gap_s = max_gap_s
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self.state = Calibration.NONE
        self.upright: UprightPosture | None = None
        self.learned_by = Calibration.NONE
        self._aim = Calibration.NONE
        self._started_s = math.nan
        self._kept: deque[_Kept] = deque()

    @property
    def progress(self) -> float:
        """How much of the steady sitting was seen, 0..1; 1 when there is a posture to go by."""
        if self.state is Calibration.RUNNING:
            if not self._kept:
                return 0.0
            span_s = self._kept[-1].stamp_s - self._kept[0].stamp_s
            return min(span_s / self.settings.duration_s, 1.0)
        return 0.0 if self.upright is None else 1.0

    def adopt(self, other: Calibrator) -> None:
        """Take over the posture that another one learned; what runs here ends."""
        self.reset()
        self.upright = other.upright
        self.learned_by = other.learned_by
        self.state = other.state if other.state is not Calibration.RUNNING else other.learned_by

    def start(self, *, requested: bool) -> None:
        """
        Begin; a posture that is known is replaced when this one succeeds.

        :param requested: somebody asked; otherwise only level, upright sitting is learned from,
            and it goes on until there is some.
        """
        self.state = Calibration.RUNNING
        self._aim = Calibration.REQUESTED if requested else Calibration.AUTOMATIC
        self._started_s = math.nan
        self._kept.clear()

    def update(
        self, stamp_s: float, angles: PostureAngles, eyes_m: Vector, frame: Hashable = None
    ) -> bool:
        """
        Take what was measured in an image; does nothing unless it runs.

        :param stamp_s: header time [s]; ascending.
        :param angles: smoothed.
        :param eyes_m: smoothed, in the level frame [m].
        :param frame: what the position was measured with: anything that compares equal as long
            as positions can be compared.
        :returns: True when the posture was learned just now.
        """
        if self.state is not Calibration.RUNNING:
            return False
        if math.isnan(self._started_s):
            self._started_s = stamp_s
        self._keep(_Kept(stamp_s, angles, eyes_m, frame))
        duration_s = self.settings.duration_s
        if self._kept and stamp_s - self._kept[0].stamp_s >= duration_s - 1e-6:
            if len(self._kept) >= _MIN_SAMPLES:
                self.upright = self._learned()
                self.state = self.learned_by = self._aim
                self._kept.clear()
                return True
            self._kept.popleft()
        timeout_s = self.settings.timeout_s
        if self._aim is Calibration.REQUESTED and stamp_s - self._started_s > timeout_s:
            self.state = Calibration.FAILED
            self._kept.clear()
        return False

    def _keep(self, new: _Kept) -> None:
        kept = self._kept
        if not self._usable(new):
            return  # a moment without measurement does no harm, a long one is a gap
        if kept and (
            new.stamp_s - kept[-1].stamp_s > self._max_gap_s
            or new.angles.basis is not kept[-1].angles.basis
            or new.frame != kept[-1].frame
        ):
            kept.clear()
        kept.append(new)
        while len(kept) > 1 and not self._steady():
            kept.popleft()

    def _usable(self, new: _Kept) -> bool:
        angles = new.angles
        if math.isnan(angles.shoulder_tilt_rad):
            return False
        forward = (angles.trunk_pitch_rad, angles.forward_head_rad, angles.neck_ratio)
        if all(map(math.isnan, (*forward, new.eyes_m[0]))):
            return False
        if self._aim is Calibration.REQUESTED:
            return True
        settings = self.settings
        # what is NaN is not beyond a limit
        return not (
            abs(angles.shoulder_tilt_rad) > settings.automatic_tilt_rad
            or abs(angles.trunk_roll_rad) > settings.automatic_tilt_rad
            or abs(angles.trunk_pitch_rad) > settings.automatic_pitch_rad
            or abs(angles.head_roll_rad) > settings.automatic_head_roll_rad
            or abs(angles.head_pitch_rad) > settings.automatic_head_pitch_rad
        )

    def _steady(self) -> bool:
        settings = self.settings
        for name in _JUDGED:
            values = [getattr(one.angles, name) for one in self._kept]
            if _range(values) > settings.max_spread_rad:
                return False
        return all(
            _range([one.eyes_m[axis] for one in self._kept]) <= settings.max_motion_m
            for axis in range(3)
        )

    def _learned(self) -> UprightPosture:
        last = self._kept[-1]
        sources = [one.angles.head_source for one in self._kept]
        known = set(sources) - {HeadSource.NONE}
        head_source = max(known, key=sources.count, default=HeadSource.NONE)
        medians: dict[str, Any] = {
            name: _median(
                [
                    getattr(one.angles, name)
                    for one in self._kept
                    if not name.startswith('head_') or one.angles.head_source is head_source
                ]
            )
            for name in _LEARNED
        }
        angles = PostureAngles(basis=last.angles.basis, head_source=head_source, **medians)
        x, y, z = (_median([one.eyes_m[axis] for one in self._kept]) for axis in range(3))
        return UprightPosture(angles, (x, y, z), last.frame)


def _range(values: list[float]) -> float:
    finite = [value for value in values if not math.isnan(value)]
    return max(finite) - min(finite) if finite else 0.0


def _median(values: list[float]) -> float:
    """Give the median of what was measured; NaN when that is less than half."""
    finite = [value for value in values if not math.isnan(value)]
    enough = finite and 2 * len(finite) >= len(values)
    return statistics.median(finite) if enough else math.nan
