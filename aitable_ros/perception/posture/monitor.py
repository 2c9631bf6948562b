# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How one person sits, image by image: smoothing, calibration, verdict, and shares of time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from aitable_ros.perception.maths.one_euro import OneEuroSettings, VectorOneEuroFilter
from aitable_ros.perception.maths.rotation import Vector
from aitable_ros.perception.maths.settings import Settings, setting
from aitable_ros.perception.maths.sliding_window import SlidingSums
from aitable_ros.perception.posture.angles import ANGLE_NAMES, Basis, HeadSource, PostureAngles
from aitable_ros.perception.posture.calibration import (
    CalibrationSettings,
    Calibrator,
    UprightPosture,
)
from aitable_ros.perception.posture.distance import DistanceSource
from aitable_ros.perception.posture.measure import NOWHERE, PostureSample
from aitable_ros.perception.posture.rule import PostureRule, PostureSigns, RuleSettings
from aitable_ros.perception.posture.states import POOR, Calibration, Posture
from aitable_ros.perception.posture.stillness import Stillness, StillnessSettings

_HEAD_NAMES = ('head_yaw_rad', 'head_pitch_rad', 'head_roll_rad')


@dataclass(frozen=True)
class SmoothingSettings(Settings):
    """
    1-Euro filters (Casiez et al., CHI 2012): much smoothing at rest, little lag in motion.

    :param angle_cutoff_hz: cutoff of the angles at rest [Hz] (0.5: choice; sitting changes slowly,
        and noise of 1.5 degrees at 10 Hz falls to a third).
    :param angle_beta: how much it rises with speed [Hz per rad/s] (2: choice).
    :param position_cutoff_hz: cutoff of the eyes' position at rest [Hz] (0.5: choice).
    :param position_beta: how much it rises with speed [Hz per m/s] (5: choice).
    :raises ValueError: for a value out of range.
    """

    angle_cutoff_hz: float = setting(0.5, 0.01, 100.0, dynamic=False)
    angle_beta: float = setting(2.0, 0.0, 100.0, dynamic=False)
    position_cutoff_hz: float = setting(0.5, 0.01, 100.0, dynamic=False)
    position_beta: float = setting(5.0, 0.0, 100.0, dynamic=False)

    @property
    def angle(self) -> OneEuroSettings:
        """Settings of the filters of the angles."""
        return OneEuroSettings(self.angle_cutoff_hz, self.angle_beta)

    @property
    def position(self) -> OneEuroSettings:
        """Settings of the filter of the position."""
        return OneEuroSettings(self.position_cutoff_hz, self.position_beta)


@dataclass(frozen=True)
class WindowSettings(Settings):
    """
    How time in good and poor posture is summed up.

    :param window_s: length of the sliding window [s] (600: choice).
    :param min_observed_s: shares are NaN before this much was observed [s] (30: choice).
    :param max_gap_s: one image stands for no longer than this [s] (0.5: five images at 10 Hz).
    :param forget_after_s: who was away for this long is forgotten, calibration and all [s] (120:
        choice).
    :raises ValueError: for a value out of range.
    """

    window_s: float = setting(600.0, 10.0, 36000.0, dynamic=False)
    min_observed_s: float = setting(30.0, 0.0, 3600.0)
    max_gap_s: float = setting(0.5, 0.05, 5.0, dynamic=False)
    forget_after_s: float = setting(120.0, 0.0, 36000.0)


@dataclass(frozen=True)
class PostureSettings:
    """
    Settings of everything that is judged of one person.

    :param auto_calibrate: learn the upright posture unasked when somebody sits down.
    """

    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)
    stillness: StillnessSettings = field(default_factory=StillnessSettings)
    window: WindowSettings = field(default_factory=WindowSettings)
    auto_calibrate: bool = True


@dataclass(frozen=True)
class PostureState:
    """
    What is known about a person after one image. NaN: not measured.

    :param sample: what the image showed, unsmoothed.
    :param angles: smoothed; NaN where this image has none.
    :param slouch: share of the calibrated neck ratio that is lost.
    :param camera_distance_m: between the camera and the middle of the eyes [m].
    :param eye_desk_m: height of the middle of the eyes above the desk [m].
    :param moved_m: of the eyes since calibration, forward, left, up in the level frame [m].
    :param posture: the verdict.
    :param reason: what decided, for people.
    :param state_s: how long the verdict has stood [s].
    :param calibration: state of the calibration.
    :param calibration_progress: 0..1 while it runs.
    :param window_s: length of the window [s].
    :param observed_s: how much of it a posture was known [s].
    :param good_s: ... and it was UPRIGHT [s].
    :param poor_s: ... and it was poor [s].
    :param good_share: ``good_s / observed_s``; NaN until enough was observed.
    :param too_close_s: how long the eyes have been too close [s]; 0: they are not.
    :param too_close_warning: for longer than the threshold.
    :param still_s: how long head and shoulders have not moved [s].
    :param still_warning: for longer than the threshold.
    :param calibrated_now: the upright posture was learned with this image.
    """

    sample: PostureSample
    angles: PostureAngles
    slouch: float
    camera_distance_m: float
    eye_desk_m: float
    moved_m: Vector
    posture: Posture
    reason: str
    state_s: float
    calibration: Calibration
    calibration_progress: float
    window_s: float
    observed_s: float
    good_s: float
    poor_s: float
    good_share: float
    too_close_s: float
    too_close_warning: bool
    still_s: float
    still_warning: bool
    calibrated_now: bool = False


class PostureMonitor:
    """
    The posture of one person, who is the one at the table.

    :param settings: thresholds and windows.
    """

    def __init__(self, settings: PostureSettings | None = None) -> None:
        self.settings = settings or PostureSettings()
        settings = self.settings
        gap_s = settings.window.max_gap_s
        self._angles = _AngleSmoother(settings.smoothing.angle, gap_s)
        self._eyes = VectorOneEuroFilter(settings.smoothing.position, max_gap_s=gap_s)
        self._calibrator = Calibrator(settings.calibration, max_gap_s=gap_s)
        self._rule = PostureRule(settings.rules)
        self._stillness = Stillness(settings.stillness, max_gap_s=gap_s)
        self._sums = SlidingSums(settings.window.window_s, 2)
        self.reset()

    def reset(self) -> None:
        """Forget everything, the calibration included."""
        for part in (self._angles, self._eyes, self._calibrator, self._rule, self._stillness):
            part.reset()
        self._sums.clear()
        self.last_stamp_s = math.nan
        self._source = DistanceSource.NONE
        self._state: PostureState | None = None
        if self.settings.auto_calibrate:
            self._calibrator.start(requested=False)

    @property
    def upright(self) -> UprightPosture | None:
        """The calibrated posture; None: there is none."""
        return self._calibrator.upright

    def continue_from(self, previous: PostureMonitor) -> None:
        """
        Go on with the upright posture that another monitor knows.

        :param previous: of the same person.
        """
        if previous.upright is not None:
            self._calibrator.adopt(previous._calibrator)

    def adopt(self, settings: PostureSettings) -> bool:
        """
        Take over other settings without forgetting anything.

        :param settings: the new ones.
        :returns: False, and nothing is done, when that cannot be: another smoothing, window or
            gap.
        """
        old, new = self.settings, settings
        if (old.smoothing, old.window.window_s, old.window.max_gap_s) != (
            new.smoothing,
            new.window.window_s,
            new.window.max_gap_s,
        ):
            return False
        self.settings = settings
        self._calibrator.settings = settings.calibration
        self._rule.settings = settings.rules
        self._stillness.settings = settings.stillness
        if settings.auto_calibrate and self._calibrator.state is Calibration.NONE:
            self._calibrator.start(requested=False)
        return True

    def calibrate(self) -> None:
        """Learn the upright posture anew, from the next seconds of steady sitting."""
        self._calibrator.start(requested=True)

    def update(self, stamp_s: float, sample: PostureSample) -> PostureState:
        """
        Take one image.

        :param stamp_s: header time [s]; equal to the last one: ignored; going back starts anew.
        :param sample: what the image showed.
        :returns: what is known now.
        :raises ValueError: when the stamp is not finite.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f'stamp_s: expected a finite number, got {stamp_s}')
        if self._state is not None and stamp_s == self.last_stamp_s:
            return self._state
        if stamp_s < self.last_stamp_s:
            self.reset()
        if self._gone(stamp_s):
            self.reset()
        self._sum_up(stamp_s)
        self.last_stamp_s = stamp_s
        angles = self._angles.update(stamp_s, sample.angles)
        if sample.distance_source not in (DistanceSource.NONE, self._source):
            self._eyes.reset()
            self._source = sample.distance_source
        x, y, z = self._eyes.update(stamp_s, sample.eyes_m)
        frame = (self._source, sample.camera_calibrated, sample.placement.up)
        calibrated_now = self._calibrator.update(stamp_s, angles, (x, y, z), frame)
        upright = self._calibrator.upright
        moved_m, slouch = NOWHERE, math.nan
        if upright is not None:
            moved_m = upright.moved_m((x, y, z), frame)
            if upright.angles.neck_ratio > 0.0:
                slouch = -upright.change('neck_ratio', angles) / upright.angles.neck_ratio
        camera_distance_m = math.hypot(x, y, z)
        eye_desk_m = sample.placement.height_m + z
        rule = self._rule
        posture = rule.update(
            stamp_s,
            PostureSigns(
                present=sample.present,
                angles=angles,
                slouch=slouch,
                moved_m=moved_m,
                camera_distance_m=camera_distance_m,
                eye_desk_m=eye_desk_m,
                upright=upright,
            ),
        )
        if posture is Posture.AWAY:
            self._stillness.reset()
        still_s = self._stillness.update(
            stamp_s, sample.head_px, sample.shoulders_px, sample.shoulder_width_px
        )
        window = self.settings.window
        good_s, poor_s = (max(total, 0.0) for total in self._sums.sums(stamp_s))
        observed_s = good_s + poor_s
        enough = observed_s > 0.0 and observed_s >= min(window.min_observed_s, window.window_s)
        too_close_s = rule.too_close_s(stamp_s)
        self._state = PostureState(
            sample=sample,
            angles=angles,
            slouch=slouch,
            camera_distance_m=camera_distance_m,
            eye_desk_m=eye_desk_m,
            moved_m=moved_m,
            posture=posture,
            reason=rule.reason,
            state_s=rule.state_s(stamp_s),
            calibration=self._calibrator.state,
            calibration_progress=self._calibrator.progress,
            window_s=window.window_s,
            observed_s=observed_s,
            good_s=good_s,
            poor_s=poor_s,
            good_share=good_s / observed_s if enough else math.nan,
            too_close_s=too_close_s,
            too_close_warning=too_close_s > 0.0
            and too_close_s >= self.settings.rules.too_close_after_s,
            still_s=still_s,
            still_warning=still_s > 0.0 and still_s >= self.settings.stillness.remind_after_s,
            calibrated_now=calibrated_now,
        )
        return self._state

    def _gone(self, stamp_s: float) -> bool:
        """Tell whether nobody can be known any more: away, or no image, for too long."""
        state = self._state
        if state is None:
            return False
        gap_s = stamp_s - self.last_stamp_s
        away_s = gap_s
        if state.posture is Posture.AWAY:
            away_s += state.state_s
        return away_s > self.settings.window.forget_after_s

    def _sum_up(self, stamp_s: float) -> None:
        """Let the last verdict stand until now, as long as one image may."""
        state = self._state
        if state is None:
            return
        good, poor = state.posture is Posture.UPRIGHT, state.posture in POOR
        if good or poor:
            end_s = min(stamp_s, self.last_stamp_s + self.settings.window.max_gap_s)
            self._sums.add(self.last_stamp_s, end_s, float(good), float(poor))


class _AngleSmoother:
    """Smooths all angles of a body, each by itself; anew when they are measured otherwise."""

    def __init__(self, settings: OneEuroSettings, max_gap_s: float) -> None:
        self._max_gap_s = max_gap_s
        names = (*ANGLE_NAMES, 'neck_ratio')
        self._filters = {
            name: VectorOneEuroFilter(settings, max_gap_s=max_gap_s) for name in names
        }
        self.reset()

    def reset(self) -> None:
        self._basis = Basis.NONE
        self._hips_seen = False
        self._head_source = HeadSource.NONE
        self._last: dict[str, tuple[float, float]] = {}
        for one in self._filters.values():
            one.reset()

    def update(self, stamp_s: float, angles: PostureAngles) -> PostureAngles:
        if angles.basis is not Basis.NONE and angles.basis is not self._basis:
            self.reset()
            self._basis = angles.basis
        if angles.head_source is not HeadSource.NONE and (
            (angles.head_source, angles.hips_seen) != (self._head_source, self._hips_seen)
        ):
            self._head_source, self._hips_seen = angles.head_source, angles.hips_seen
            for name in _HEAD_NAMES:
                self._filters[name].reset()
                self._last.pop(name, None)
        smooth: dict[str, Any] = {
            name: self._one(name, stamp_s, getattr(angles, name)) for name in self._filters
        }
        return replace(angles, **smooth)

    def _one(self, name: str, stamp_s: float, value: float) -> float:
        if not math.isfinite(value):
            return math.nan
        last_s, last = self._last.get(name, (math.nan, value))
        if stamp_s - last_s > self._max_gap_s:
            last = value
        if name != 'neck_ratio':
            # the nearest of the values that mean the same angle
            value = last + math.remainder(value - last, 2.0 * math.pi)
        self._last[name] = (stamp_s, value)
        (smooth,) = self._filters[name].update(stamp_s, (value,))
        return smooth if name == 'neck_ratio' else math.remainder(smooth, 2.0 * math.pi)
