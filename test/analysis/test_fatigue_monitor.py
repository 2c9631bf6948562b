# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""One person's fatigue from EARs: relative to the person's own eyes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.analysis.blinks import EyeState
from aitable_ros.analysis.eye_baseline import BaselineSettings, EyeBaseline
from aitable_ros.analysis.fatigue_monitor import FatigueMonitor


def run(monitor, ear_at, *, start_s=0.0, seconds=30.0, rate_hz=30.0):
    state = None
    for stamp_s in np.arange(start_s, start_s + seconds, 1 / rate_hz):
        ear = ear_at(stamp_s)
        state = monitor.update(float(stamp_s), ear, ear)
    return state


def blinking(open_ear, closed_ear=None):
    """Shut for 0.2 s every 4 s, from the third second on."""
    shut = open_ear * 0.2 if closed_ear is None else closed_ear
    return lambda t: shut if t % 4.0 < 0.2 and t > 2 else open_ear


@pytest.mark.parametrize('open_ear', [0.15, 0.22, 0.3, 0.4])
def test_same_verdict_for_narrow_and_wide_eyes(open_ear):
    state = run(FatigueMonitor(), blinking(open_ear))
    assert state.calibrated
    assert state.left_ear_baseline == pytest.approx(open_ear, abs=0.005)
    assert state.blink_count == 7
    assert state.perclos.p80 == pytest.approx(7 * 0.2 / 28, abs=0.01)
    assert state.eye_state is EyeState.OPEN


def test_nothing_is_claimed_before_calibration():
    monitor = FatigueMonitor()
    state = run(monitor, lambda t: 0.3, seconds=1.5)
    assert not state.calibrated
    assert math.isnan(state.left_openness)
    assert state.eye_state is EyeState.UNKNOWN
    assert not state.perclos.valid


def test_one_unmeasured_eye_makes_the_sample_unknown():
    monitor = FatigueMonitor()
    run(monitor, lambda t: 0.3, seconds=15.0)
    before = monitor.update(15.01, 0.3, 0.3)
    for i in range(60):
        state = monitor.update(15.05 + i / 30, math.nan, 0.05)
    assert state.eye_state is EyeState.UNKNOWN
    assert state.perclos.observed_s == pytest.approx(before.perclos.observed_s, abs=0.1)


def test_going_back_in_time_forgets_the_person():
    monitor = FatigueMonitor()
    run(monitor, lambda t: 0.3, start_s=100.0)
    state = monitor.update(1.0, 0.3, 0.3)
    assert not state.calibrated
    assert state.perclos.observed_s == 0.0


def test_the_baseline_freezes_while_the_eyes_are_closed():
    baseline = EyeBaseline(BaselineSettings(memory_s=10.0))
    for t in np.arange(0, 10, 0.1):
        baseline.update(t, 0.3)
    for t in np.arange(10, 60, 0.1):
        baseline.update(t, 0.06)
    assert baseline.open_ear == pytest.approx(0.3, abs=0.005)
    assert baseline.openness(0.06) == pytest.approx(0.0)


def test_the_baseline_follows_a_lasting_change():
    baseline = EyeBaseline(BaselineSettings(memory_s=10.0))
    for t in np.arange(0, 20, 0.1):
        baseline.update(t, 0.3)
    for t in np.arange(20, 80, 0.1):
        baseline.update(t, 0.24)
    assert baseline.open_ear == pytest.approx(0.24, abs=0.01)


def test_single_wild_values_do_not_move_the_baseline():
    baseline = EyeBaseline()
    for i, t in enumerate(np.arange(0, 20, 0.1)):
        baseline.update(t, 0.7 if i % 20 == 0 else 0.3)
    assert baseline.open_ear == pytest.approx(0.3, abs=0.005)
