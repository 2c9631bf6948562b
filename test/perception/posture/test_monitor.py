# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""How one person sits over time: calibration, verdicts with dwell times, windows, stillness."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sitting_person import SittingPerson, film_body

from aitable_ros.perception.head.camera import CameraIntrinsics
from aitable_ros.perception.posture.angles import ANGLE_NAMES, Basis, PostureAngles
from aitable_ros.perception.posture.calibration import CalibrationSettings
from aitable_ros.perception.posture.distance import DistanceSource
from aitable_ros.perception.posture.frames import CameraPlacement
from aitable_ros.perception.posture.measure import PostureMeter, PostureSample
from aitable_ros.perception.posture.monitor import (
    PostureMonitor,
    PostureSettings,
    SmoothingSettings,
    WindowSettings,
)
from aitable_ros.perception.posture.rule import RuleSettings
from aitable_ros.perception.posture.states import Calibration, Posture
from aitable_ros.perception.posture.stillness import StillnessSettings

SIZE = (640, 480)
INTRINSICS = CameraIntrinsics(*SIZE, (600.0, 0, 320.0, 0, 600.0, 240.0, 0, 0, 1))
PLACEMENT = CameraPlacement.from_angles(math.radians(10.0), 0.0, 0.4)
RATE_HZ = 10.0

UPRIGHT = SittingPerson(forward_head_rad=0.35, head_pitch_rad=0.1, hips_m=(-0.9, 0.0, -0.55))
NOBODY = PostureSample(placement=PLACEMENT)
LEANING = replace(UPRIGHT, trunk_pitch_rad=math.radians(28.0))
HEAD_FORWARD = replace(UPRIGHT, forward_head_rad=0.35 + math.radians(25.0))
TILTED = replace(UPRIGHT, shoulder_tilt_rad=math.radians(12.0))
NEAR = replace(UPRIGHT, hips_m=(-0.42, 0.0, -0.55))


def sample_of(person, **film):
    body = film_body(person, INTRINSICS, PLACEMENT, **film)
    return PostureMeter().measure(body, SIZE, intrinsics=INTRINSICS, placement=PLACEMENT)


SAMPLES: dict[SittingPerson, PostureSample] = {}


def seen(person):
    if isinstance(person, PostureSample):
        return person
    if person not in SAMPLES:
        SAMPLES[person] = sample_of(person)
    return SAMPLES[person]


class Film:
    """Feeds a monitor at 10 Hz."""

    def __init__(self, *, start_s=1000.0, **settings):
        self.monitor = PostureMonitor(PostureSettings(**settings))
        self.now_s = start_s
        self.state = None

    def show(self, person, duration_s, rate_hz=RATE_HZ):
        states = []
        for _ in range(round(duration_s * rate_hz)):
            self.state = self.monitor.update(self.now_s, seen(person))
            states.append(self.state)
            self.now_s += 1.0 / rate_hz
        return states

    def calibrated(self):
        self.show(UPRIGHT, 6.0)
        assert self.state.posture is Posture.UPRIGHT
        return self


class TestVerdicts:
    @pytest.mark.parametrize(
        ('person', 'posture', 'word'),
        [
            (UPRIGHT, Posture.UPRIGHT, 'calibrated'),
            (LEANING, Posture.LEANING_FORWARD, 'forward'),
            (replace(UPRIGHT, hips_m=(-0.7, 0.0, -0.55)), Posture.LEANING_FORWARD, 'eyes 20 cm'),
            (HEAD_FORWARD, Posture.SLOUCHING, 'head'),
            (replace(UPRIGHT, hips_m=(-0.9, 0.0, -0.63)), Posture.SLOUCHING, 'eyes 8 cm lower'),
            (TILTED, Posture.TILTED, 'shoulders 12 degrees to the right'),
            (
                replace(UPRIGHT, head_roll_rad=math.radians(-20)),
                Posture.TILTED,
                'head 20 degrees to the left',
            ),
            (
                replace(UPRIGHT, trunk_roll_rad=math.radians(-13)),
                Posture.TILTED,
                'trunk 13 degrees to the left',
            ),
            (NEAR, Posture.TOO_CLOSE, 'from the camera'),
            (NOBODY, Posture.AWAY, 'nobody'),
        ],
    )
    def test_each_posture_is_named_with_its_reason(self, person, posture, word):
        film = Film().calibrated()
        film.show(person, 6.0)
        assert film.state.posture is posture
        assert word in film.state.reason
        film.show(UPRIGHT, 4.0)
        assert film.state.posture is Posture.UPRIGHT

    def test_eyes_too_near_to_the_desk(self):
        film = Film(rules=RuleSettings(min_desk_m=0.5)).calibrated()
        assert film.state.eye_desk_m == pytest.approx(0.4 + true_height(UPRIGHT), abs=0.01)
        down = replace(UPRIGHT, hips_m=(-0.9, 0.0, -0.75))
        film.show(down, 6.0)
        assert film.state.posture is Posture.TOO_CLOSE
        assert 'above the desk' in film.state.reason

    def test_looking_down_or_aside_is_not_slouching(self):
        film = Film().calibrated()
        for look in ({'head_pitch_rad': 0.5}, {'head_yaw_rad': 0.6}, {'head_yaw_rad': -0.6}):
            film.show(replace(UPRIGHT, **look), 5.0)
            assert film.state.posture is Posture.UPRIGHT, look

    def test_before_calibration_only_what_the_vertical_tells_is_said(self):
        film = Film(auto_calibrate=False)
        film.show(UPRIGHT, 5.0)
        assert film.state.posture is Posture.UNKNOWN
        assert 'not calibrated' in film.state.reason
        assert film.state.calibration is Calibration.NONE
        film.show(TILTED, 5.0)
        assert film.state.posture is Posture.TILTED
        film.show(LEANING, 5.0)
        assert film.state.posture is Posture.LEANING_FORWARD

    def test_a_network_of_two_dimensions_tells_slouching_by_the_neck_and_the_eyes(self):
        film = Film()
        film.show(sample_of(UPRIGHT, world=False), 8.0)
        assert film.state.posture is Posture.UPRIGHT
        assert film.state.angles.basis is Basis.IMAGE
        film.show(sample_of(replace(UPRIGHT, forward_head_rad=1.0), world=False), 5.0)
        assert film.state.posture is Posture.SLOUCHING

    def test_thresholds_of_zero_are_off(self):
        film = Film(rules=RuleSettings(min_distance_m=0.0, min_desk_m=0.0)).calibrated()
        film.show(NEAR, 6.0)
        assert film.state.posture is Posture.LEANING_FORWARD


class TestTime:
    def test_a_short_reach_changes_nothing(self):
        film = Film().calibrated()
        states = film.show(LEANING, 1.5) + film.show(UPRIGHT, 3.0)
        assert {state.posture for state in states} == {Posture.UPRIGHT}

    def test_a_posture_is_taken_after_its_dwell_time(self):
        film = Film(rules=RuleSettings(enter_s=2.0)).calibrated()
        states = film.show(HEAD_FORWARD, 5.0)
        first = next(i for i, state in enumerate(states) if state.posture is Posture.SLOUCHING)
        assert 2.0 <= first / RATE_HZ <= 2.8  # and what the smoothing takes
        assert states[-1].state_s == pytest.approx(5.0 - (first + 1) / RATE_HZ, abs=0.01)

    def test_hysteresis_holds_at_the_threshold(self):
        film = Film(rules=RuleSettings(shoulder_tilt_rad=math.radians(8.0))).calibrated()
        film.show(replace(UPRIGHT, shoulder_tilt_rad=math.radians(9.0)), 4.0)
        assert film.state.posture is Posture.TILTED
        film.show(replace(UPRIGHT, shoulder_tilt_rad=math.radians(7.0)), 6.0)
        assert film.state.posture is Posture.TILTED
        film.show(replace(UPRIGHT, shoulder_tilt_rad=math.radians(5.0)), 6.0)
        assert film.state.posture is Posture.UPRIGHT

    def test_the_rate_does_not_matter(self):
        shares = []
        for rate_hz in (4.0, 10.0, 30.0):
            film = Film(window=WindowSettings(min_observed_s=5.0))
            film.show(UPRIGHT, 20.0, rate_hz)
            film.show(TILTED, 20.0, rate_hz)
            shares.append((film.state.good_s, film.state.poor_s))
        for good_s, poor_s in shares:
            assert good_s == pytest.approx(shares[0][0], abs=0.6)
            assert poor_s == pytest.approx(shares[0][1], abs=0.6)

    def test_seconds_in_good_and_poor_posture(self):
        film = Film(window=WindowSettings(window_s=60.0, min_observed_s=10.0))
        film.show(UPRIGHT, 30.0)
        assert film.state.good_share == 1.0
        assert film.state.poor_s == 0.0
        film.show(TILTED, 60.0 + 4.0)
        state = film.state
        assert state.window_s == 60.0
        assert state.observed_s == pytest.approx(60.0, abs=0.2)
        assert state.good_s == pytest.approx(0.0, abs=0.2)
        assert state.poor_s == pytest.approx(60.0, abs=0.2)
        assert state.good_share == pytest.approx(0.0, abs=0.01)

    def test_a_gap_counts_for_half_a_second_only(self):
        film = Film(window=WindowSettings(min_observed_s=1.0)).calibrated()
        before_s = film.state.observed_s
        film.now_s += 20.0
        film.show(UPRIGHT, 0.1)
        assert film.state.observed_s - before_s == pytest.approx(0.5, abs=0.15)

    def test_shares_are_nan_before_enough_was_observed(self):
        film = Film(window=WindowSettings(min_observed_s=30.0)).calibrated()
        assert math.isnan(film.state.good_share)
        assert film.state.good_s > 0.0

    def test_too_close_for_so_long(self):
        film = Film(rules=RuleSettings(too_close_after_s=5.0)).calibrated()
        assert film.state.too_close_s == 0.0
        film.show(NEAR, 4.0)
        assert 3.0 < film.state.too_close_s < 4.0
        assert not film.state.too_close_warning
        film.show(NEAR, 3.0)
        assert film.state.too_close_warning
        film.show(UPRIGHT, 2.0)
        assert film.state.too_close_s == 0.0
        film.show(NOBODY, 3.0)
        assert math.isnan(film.state.too_close_s)

    def test_not_moved_for_so_long(self):
        film = Film(stillness=StillnessSettings(remind_after_s=60.0)).calibrated()
        film.show(UPRIGHT, 50.0)
        assert film.state.still_s == pytest.approx(55.9, abs=0.2)
        assert not film.state.still_warning
        film.show(UPRIGHT, 10.0)
        assert film.state.still_warning
        # one wrong image is not motion, a step aside is
        film.show(replace(UPRIGHT, hips_m=(-0.9, 0.3, -0.55)), 0.2)
        film.show(UPRIGHT, 1.0)
        assert film.state.still_warning
        film.show(replace(UPRIGHT, hips_m=(-0.9, 0.2, -0.55)), 2.0)
        assert film.state.still_s < 2.0
        film.show(NOBODY, 4.0)
        assert math.isnan(film.state.still_s)

    def test_smoothing_lags_less_in_fast_motion(self):
        rng = np.random.default_rng(5)
        film = Film(auto_calibrate=False)
        noisy = [sample_of(UPRIGHT, rng=rng, noise=0.01) for _ in range(80)]
        states = [film.monitor.update(film.now_s + i / 10, s) for i, s in enumerate(noisy)]
        for name in ANGLE_NAMES:
            raw = np.std([getattr(s.angles, name) for s in noisy[20:]])
            smooth = np.std([getattr(s.angles, name) for s in states[20:]])
            assert smooth < 0.75 * raw, name
            error = [abs(getattr(s.angles, name) - getattr(UPRIGHT, name)) for s in states[20:]]
            assert math.degrees(np.percentile(error, 95)) < 3.0, name
        film = Film(auto_calibrate=False)
        film.show(UPRIGHT, 2.0)
        film.show(LEANING, 0.5)
        lag = film.state.angles.trunk_pitch_rad / LEANING.trunk_pitch_rad
        assert lag > 0.8


class TestCalibration:
    def test_by_itself_from_level_sitting(self):
        film = Film()
        first = film.show(UPRIGHT, 0.1)[0]
        assert first.calibration is Calibration.RUNNING
        states = film.show(UPRIGHT, 5.0)
        assert film.state.calibration is Calibration.AUTOMATIC
        assert film.state.calibration_progress == 1.0
        assert sum(state.calibrated_now for state in states) == 1
        moved = film.state.moved_m
        assert moved == pytest.approx((0.0, 0.0, 0.0), abs=0.002)

    @pytest.mark.parametrize('person', [TILTED, LEANING])
    def test_not_by_itself_from_poor_sitting(self, person):
        film = Film()
        film.show(person, 40.0)
        assert film.state.calibration is Calibration.RUNNING

    def test_on_request_from_whatever_is_steady(self):
        film = Film(auto_calibrate=False)
        film.show(TILTED, 3.0)
        film.monitor.calibrate()
        film.show(TILTED, 2.0)
        assert film.state.calibration is Calibration.RUNNING
        assert 0.4 < film.state.calibration_progress < 0.9
        film.show(TILTED, 4.0)
        assert film.state.calibration is Calibration.REQUESTED
        assert film.state.posture is Posture.UPRIGHT

    def test_motion_begins_anew_and_at_last_fails(self):
        settings = CalibrationSettings(duration_s=3.0, timeout_s=12.0)
        film = Film(auto_calibrate=False, calibration=settings)
        film.monitor.calibrate()
        for _ in range(8):
            film.show(UPRIGHT, 1.0)
            film.show(LEANING, 1.0)
        assert film.state.calibration is Calibration.FAILED
        assert film.state.posture is not Posture.UPRIGHT
        film.monitor.calibrate()
        film.show(UPRIGHT, 6.0)
        assert film.state.calibration is Calibration.REQUESTED

    def test_a_failed_one_leaves_the_one_before_in_use(self):
        settings = CalibrationSettings(duration_s=3.0, timeout_s=5.0)
        film = Film(calibration=settings).calibrated()
        film.monitor.calibrate()
        film.show(NOBODY, 1.0)
        for _ in range(5):
            film.show(UPRIGHT, 1.0)
            film.show(LEANING, 1.0)
        assert film.state.calibration is Calibration.FAILED
        film.show(UPRIGHT, 4.0)
        assert film.state.posture is Posture.UPRIGHT

    def test_it_is_of_one_basis(self):
        """What an image tells is not compared with what three dimensions told."""
        film = Film().calibrated()
        film.show(sample_of(UPRIGHT, world=False), 4.0)
        assert math.isnan(film.state.slouch)
        assert film.state.posture in (Posture.UPRIGHT, Posture.UNKNOWN)

    def test_a_distance_measured_otherwise_is_not_compared(self):
        film = Film().calibrated()
        other = replace(seen(UPRIGHT), distance_source=DistanceSource.DEPTH)
        film.show(other, 1.0)
        assert math.isnan(film.state.moved_m[0])
        assert film.state.camera_distance_m > 0.0

    def test_who_was_away_for_long_is_forgotten(self):
        film = Film(window=WindowSettings(forget_after_s=20.0)).calibrated()
        film.show(NOBODY, 15.0)
        assert film.state.calibration is Calibration.AUTOMATIC
        film.show(NOBODY, 15.0)
        film.show(UPRIGHT, 0.1)
        assert film.state.calibration is Calibration.RUNNING
        assert film.state.observed_s == 0.0

    def test_other_thresholds_are_taken_over_without_forgetting(self):
        film = Film().calibrated()
        monitor = film.monitor
        film.show(replace(UPRIGHT, shoulder_tilt_rad=math.radians(6.0)), 4.0)
        assert film.state.posture is Posture.UPRIGHT
        rules = RuleSettings(shoulder_tilt_rad=math.radians(4.0))
        assert monitor.adopt(replace(monitor.settings, rules=rules))
        film.show(replace(UPRIGHT, shoulder_tilt_rad=math.radians(6.0)), 4.0)
        assert film.state.posture is Posture.TILTED
        other = replace(monitor.settings, smoothing=SmoothingSettings(angle_cutoff_hz=2.0))
        assert not monitor.adopt(other)
        successor = PostureMonitor(other)
        successor.continue_from(monitor)
        assert successor.upright is monitor.upright


class TestMissing:
    def test_nan_is_published_at_once_and_never_the_old_value(self):
        film = Film().calibrated()
        assert not math.isnan(film.state.angles.shoulder_tilt_rad)
        hidden = replace(seen(UPRIGHT), angles=PostureAngles(), eyes_m=(math.nan,) * 3)
        film.show(hidden, 0.1)
        for name in ANGLE_NAMES:
            assert math.isnan(getattr(film.state.angles, name)), name
        assert math.isnan(film.state.camera_distance_m)
        assert math.isnan(film.state.moved_m[0])
        assert film.state.posture is Posture.UPRIGHT  # for a moment
        film.show(hidden, 1.5)
        assert film.state.posture is Posture.UNKNOWN

    def test_nobody_is_unknown_and_then_away(self):
        film = Film().calibrated()
        states = film.show(NOBODY, 4.0)
        order = list(dict.fromkeys(state.posture for state in states))
        assert order == [Posture.UPRIGHT, Posture.UNKNOWN, Posture.AWAY]
        assert not film.state.sample.present

    def test_after_a_gap_nothing_is_smoothed_with_what_was_before(self):
        film = Film().calibrated()
        film.show(NOBODY, 2.0)
        film.show(TILTED, 0.1)
        assert film.state.angles.shoulder_tilt_rad == pytest.approx(
            TILTED.shoulder_tilt_rad, abs=0.001
        )

    def test_time_that_goes_back_starts_anew(self):
        film = Film().calibrated()
        film.now_s -= 500.0
        film.show(UPRIGHT, 0.1)
        assert film.state.calibration is Calibration.RUNNING
        assert film.state.observed_s == 0.0

    def test_the_same_image_again_changes_nothing(self):
        film = Film().calibrated()
        last_s = film.monitor.last_stamp_s
        assert film.monitor.update(last_s, seen(TILTED)) is film.state

    @pytest.mark.parametrize('stamp_s', [math.nan, math.inf])
    def test_a_stamp_is_a_number(self, stamp_s):
        with pytest.raises(ValueError, match='stamp_s'):
            PostureMonitor().update(stamp_s, NOBODY)


def wild(value):
    """Make a sample of which any number may be anything."""
    return replace(
        seen(UPRIGHT),
        angles=replace(seen(UPRIGHT).angles, shoulder_tilt_rad=value, forward_head_rad=value),
        eyes_m=(value, value, value),
        head_px=(value, value),
    )


STEPS = st.lists(
    st.tuples(
        st.one_of(st.floats(0.01, 0.3), st.floats(-3.0, 30.0)),
        st.one_of(
            st.sampled_from([UPRIGHT, LEANING, TILTED, NEAR, NOBODY]),
            st.floats(-1e6, 1e6).map(wild),
            st.sampled_from([math.nan, math.inf, -math.inf]).map(wild),
        ),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_whatever_comes_the_state_is_sound(steps):
    """Jumps, gaps, missing people, time that goes back, and numbers that are none."""
    film = Film(window=WindowSettings(window_s=20.0, min_observed_s=1.0))
    stamp_s, last = 1000.0, None
    for step_s, person in steps:
        stamp_s += step_s
        sample = seen(person)
        state = film.monitor.update(stamp_s, sample)
        assert 0.0 <= state.observed_s <= 20.0 + 1e-6
        assert state.good_s + state.poor_s == pytest.approx(state.observed_s)
        assert state.state_s >= 0.0
        assert not state.still_s < 0.0
        assert not state.too_close_s < 0.0
        assert 0.0 <= state.calibration_progress <= 1.0
        assert math.isnan(state.good_share) or 0.0 <= state.good_share <= 1.0
        for name in ANGLE_NAMES:
            raw, smooth = getattr(state.sample.angles, name), getattr(state.angles, name)
            assert math.isfinite(smooth) == math.isfinite(raw), name
        if state.posture is Posture.AWAY:
            assert not state.sample.present or last is Posture.AWAY
        last = state.posture


def true_height(person):
    points = person.points_m()
    return float((points[2] + points[5])[2] / 2)
