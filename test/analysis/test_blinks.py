# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Closures are events in header time, with hysteresis, told apart from winks and gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.analysis.blinks import BlinkSettings, ClosureDetector, EyeState


def run(openness_at, *, seconds=10.0, rate_hz=30.0, right_at=None, settings=None):
    detector = ClosureDetector(settings)
    closures = []
    for stamp_s in np.arange(0, seconds, 1 / rate_hz):
        left = openness_at(stamp_s)
        right = left if right_at is None else right_at(stamp_s)
        if closure := detector.update(float(stamp_s), left, right):
            closures.append(closure)
    return detector, closures


def shut_between(start_s, end_s, shut=0.05):
    return lambda t: shut if start_s <= t < end_s else 1.0


@pytest.mark.parametrize('rate_hz', [15, 30, 60])
@pytest.mark.parametrize('duration_s', [0.1, 0.2, 0.4])
def test_a_blink_is_timed_within_one_frame(rate_hz, duration_s):
    detector, closures = run(shut_between(3.0, 3.0 + duration_s), rate_hz=rate_hz)
    (closure,) = closures
    assert closure.start_s == pytest.approx(3.0, abs=1 / rate_hz)
    assert closure.duration_s == pytest.approx(duration_s, abs=1.001 / rate_hz)
    assert closure.amplitude == pytest.approx(0.95)
    assert not closure.truncated
    assert detector.blink_count == 1
    assert detector.blinks_valid


def test_a_long_closure_is_no_blink():
    detector, closures = run(shut_between(3.0, 5.0))
    assert [c.duration_s for c in closures] == [pytest.approx(2.0, abs=0.04)]
    assert detector.blink_count == 0


def test_flicker_between_the_thresholds_is_one_closure():
    def openness(t):
        return (0.15 if int(t * 30) % 2 else 0.35) if 3.0 <= t < 3.3 else 1.0

    _, closures = run(openness)
    assert len(closures) == 1


def test_half_closed_eyes_are_open():
    detector, closures = run(shut_between(3.0, 5.0, shut=0.3))
    assert not closures
    assert detector.state is EyeState.OPEN


def test_a_wink_is_no_closure():
    detector, closures = run(shut_between(3.0, 11.0), right_at=lambda t: 1.0)
    assert not closures
    assert detector.state is EyeState.WINK_LEFT
    detector, _ = run(lambda t: 1.0, right_at=shut_between(3.0, 11.0))
    assert detector.state is EyeState.WINK_RIGHT


def test_the_current_closure_grows_with_header_time():
    detector, _ = run(shut_between(3.0, 11.0))
    assert detector.state is EyeState.CLOSED
    assert detector.closure_duration_s == pytest.approx(7.0, abs=0.07)
    assert not detector.closure_truncated


def test_a_gap_cuts_a_closure_and_says_so():
    def openness(t):
        return math.nan if 4.0 <= t < 6.0 else (0.05 if 3.0 <= t < 8.0 else 1.0)

    detector, closures = run(openness)
    before, after = closures
    assert before.truncated
    assert before.duration_s == pytest.approx(1.0, abs=0.07)
    assert after.truncated
    assert after.duration_s == pytest.approx(2.0, abs=0.07)
    assert detector.blink_count == 0


def test_unmeasured_eyes_are_unknown():
    detector, _ = run(lambda t: math.nan)
    assert detector.state is EyeState.UNKNOWN
    assert math.isnan(detector.closure_duration_s)


def test_blinks_are_not_valid_at_a_rate_that_misses_them():
    detector, _ = run(lambda t: 1.0, rate_hz=5)
    assert not detector.blinks_valid


def test_going_back_in_time_starts_anew_and_equal_stamps_are_harmless():
    detector, _ = run(shut_between(3.0, 3.2))
    assert detector.blink_count == 1
    detector.update(9.9999, 1.0, 1.0)
    detector.update(9.9999, 0.0, 0.0)
    assert detector.state is EyeState.OPEN
    detector.update(1.0, 1.0, 1.0)
    assert detector.blink_count == 0


def test_thresholds_have_to_be_in_order():
    with pytest.raises(ValueError, match='close_openness < reopen_openness'):
        BlinkSettings(close_openness=0.5, reopen_openness=0.4)
