# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Closures are events in header time, with hysteresis, told apart from winks and gaps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.fatigue.blinks import BlinkSettings, ClosureDetector, EyeState


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
    assert closure.size == pytest.approx(0.95)
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
    assert (detector.blink_count, detector.microsleep_count) == (0, 1)


def test_lids_that_do_not_move_together_are_no_wink():
    """One lid a frame earlier than the other, closing and opening."""
    states = []
    detector = ClosureDetector()
    for i in range(60):
        left = 0.05 if 20 <= i < 27 else 1.0
        right = 0.05 if 21 <= i < 28 else 1.0
        detector.update(i / 30, left, right)
        states.append(detector.state)
    assert set(states) == {EyeState.OPEN, EyeState.CLOSED}
    assert detector.blink_count == 1


def test_a_wink_shows_after_its_minimum_duration():
    detector = ClosureDetector(BlinkSettings(min_wink_s=0.2))
    winking_from_s = math.nan
    for i in range(60):
        detector.update(i / 30, 1.0, 0.05 if i >= 30 else 1.0)
        if detector.state is EyeState.WINK_RIGHT and math.isnan(winking_from_s):
            winking_from_s = i / 30
    assert winking_from_s == pytest.approx(1.2, abs=0.04)


def test_eyes_measured_a_little_differently_are_closed_together():
    """As on a real blink, where one eye was measured at 0 and the other at 0.24."""
    detector, (closure,) = run(
        shut_between(3.0, 3.2, shut=0.0), right_at=shut_between(3.0, 3.2, shut=0.24)
    )
    assert closure.duration_s == pytest.approx(0.2, abs=0.04)
    assert detector.blink_count == 1


def ramp(t, start_s, end_s, edge_s):
    """Linear lids, at openness 0.2 at start and end."""
    closing = 0.2 - (t - start_s) * 0.8 / edge_s
    opening = 0.2 + (t - end_s) * 0.8 / edge_s
    return min(max(closing, opening, 0.0), 1.0)


@pytest.mark.parametrize('rate_hz', [15, 30, 60])
def test_edges_lie_between_samples_where_openness_passes_the_threshold(rate_hz):
    _, (closure,) = run(lambda t: ramp(t, 3.011, 3.237, 0.12), rate_hz=rate_hz)
    assert closure.start_s == pytest.approx(3.011, abs=0.25 / rate_hz)
    assert closure.end_s == pytest.approx(3.237, abs=0.25 / rate_hz)


def test_a_quick_dip_that_no_sample_saw_closed_is_a_blink():
    detector, closures = run(lambda t: 0.33 if 2.99 < t < 3.01 else 1.0)
    assert not closures
    assert detector.blink_count == 1
    assert detector.last_blink.duration_s < 1 / 30
    assert detector.last_blink.size == pytest.approx(0.67, abs=0.01)


def test_lids_that_stay_half_down_for_long_are_no_blink():
    detector, _ = run(shut_between(3.0, 5.0, shut=0.33))
    assert detector.blink_count == 0


def test_lids_around_the_threshold_of_a_blink_give_no_blinks():
    rng = np.random.default_rng(0)
    detector, _ = run(lambda t: rng.uniform(0.3, 0.5) if t > 3 else 1.0)
    assert detector.blink_count == 0


def test_long_closures_and_microsleeps_are_counted_while_they_last():
    detector = ClosureDetector()
    counts = []
    for i in range(150):
        openness = 0.0 if i >= 30 else 1.0
        detector.update(i / 30, openness, openness)
        counts.append((detector.long_closure_count, detector.microsleep_count))
    assert counts[44] == (0, 0)
    assert counts[46] == (1, 0)
    assert counts[59] == (1, 0)
    assert counts[61] == (1, 1)
    assert counts[-1] == (1, 1)


def test_open_eyes_between_two_closures_make_them_two():
    detector, closures = run(lambda t: 0.05 if 2 <= t < 4 or 5 <= t < 7 else 1.0)
    assert len(closures) == 2
    assert detector.microsleep_count == 2


def test_a_short_loss_does_not_cut_a_closure():
    detector, (closure,) = run(
        lambda t: math.nan if 4.0 <= t < 4.3 else (0.05 if 3.0 <= t < 5.0 else 1.0)
    )
    assert not closure.truncated
    assert closure.duration_s == pytest.approx(2.0, abs=0.04)
    assert detector.microsleep_count == 1


def test_what_began_unseen_is_a_lower_bound_and_no_blink():
    detector, (closure,) = run(lambda t: 0.05 if t < 0.2 else 1.0)
    assert closure.truncated
    assert detector.blink_count == 0


def test_lids_that_stay_between_the_thresholds_do_not_make_a_blink_long():
    detector, (closure,) = run(lambda t: 0.05 if 3 <= t < 3.2 else 0.3 if 3.2 <= t < 6 else 1.0)
    assert closure.duration_s == pytest.approx(0.2, abs=0.07)
    assert detector.long_closure_count == 0


def test_excused_time_does_not_count_for_a_microsleep():
    detector = ClosureDetector()
    for i in range(180):
        openness = 0.0 if i >= 30 else 1.0
        detector.update(i / 30, openness, openness, excused=i < 120)
        assert detector.microsleep_count == (i / 30 >= 119 / 30 + 1.0 - 1e-6)
    assert detector.long_closure_count == 1


@pytest.mark.parametrize(
    ('rate_hz', 'drop', 'valid'),
    [
        *((5, 0, False), (10, 0, False), (12, 0, False)),
        *((15, 0, True), (30, 0, True), (60, 0, True), (60, 0.5, True)),
        *((30, 0.3, True), (15, 0.5, False), (20, 0.5, False)),
    ],
)
def test_blinks_are_valid_from_fifteen_samples_a_second(rate_hz, drop, valid):
    """Whatever the jitter: it is the mean rate that counts."""
    rng = np.random.default_rng(rate_hz)
    stamps_s = np.arange(0, 60, 1 / rate_hz) + rng.uniform(-0.3, 0.3, 60 * rate_hz) / rate_hz
    detector = ClosureDetector()
    verdicts = []
    for stamp_s in stamps_s[rng.random(stamps_s.size) >= drop]:
        detector.update(float(stamp_s), 1.0, 1.0)
        if stamp_s > 2:
            verdicts.append(detector.blinks_valid)
    assert np.mean(verdicts) == pytest.approx(float(valid), abs=0.02)


def test_the_rate_of_blinks_counts_observed_time_only():
    """Ten blinks a minute, and the second half of the minute unseen."""
    detector, _ = run(
        lambda t: math.nan if t >= 30 else 0.0 if 3 <= t % 6 < 3.15 else 1.0, seconds=60
    )
    assert detector.blink_rate(60.0, 10.0) == pytest.approx(10.0, rel=0.05)
    assert math.isnan(detector.blink_rate(60.0, 40.0))


steps = st.lists(
    st.tuples(
        st.floats(1e-6, 3.0),
        st.one_of(st.floats(0, 1), st.just(math.nan)),
        st.one_of(st.floats(0, 1), st.just(math.nan)),
        st.booleans(),
    ),
    max_size=80,
)


@given(steps)
def test_closures_follow_each_other_and_counts_only_rise(samples):
    detector = ClosureDetector()
    stamp_s, last_end_s, counts = 0.0, -math.inf, (0, 0, 0)
    for step_s, left, right, excused in samples:
        stamp_s += step_s
        closure = detector.update(stamp_s, left, right, excused=excused)
        if closure:
            assert last_end_s <= closure.start_s <= closure.end_s <= stamp_s
            assert 0 <= closure.size <= 1
            last_end_s = closure.end_s
        assert not detector.closure_duration_s < 0
        unknown = math.isnan(left) or math.isnan(right)
        assert (detector.state is EyeState.UNKNOWN) == unknown
        if detector.state is EyeState.CLOSED:
            assert max(left, right) <= detector.settings.reopen_openness + 0.2
        now = (detector.blink_count, detector.long_closure_count, detector.microsleep_count)
        assert all(a <= b for a, b in zip(counts, now))
        assert now[1] >= now[2]
        counts = now


@given(st.permutations(range(4)))
def test_thresholds_are_checked(order):
    values = dict(
        zip(('close_openness', 'blink_openness', 'reopen_openness', 'blink_edge_openness'), order)
    )
    scaled = {name: value / 4 for name, value in values.items()}
    if list(scaled.values()) == sorted(scaled.values()):
        BlinkSettings(**scaled)
    else:
        with pytest.raises(ValueError, match='openness'):
            BlinkSettings(**scaled)
