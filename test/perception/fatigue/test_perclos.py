# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""PERCLOS is the share of observed time, whatever the frame rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.fatigue.perclos import Perclos, PerclosSettings

SETTINGS = PerclosSettings(window_s=60.0, max_gap_s=0.5, min_observed_s=10.0, min_coverage=0.5)


def feed(stamps_s, closure_at, settings=SETTINGS):
    perclos = Perclos(settings)
    for stamp_s in stamps_s:
        perclos.add(float(stamp_s), closure_at(stamp_s))
    return perclos.value()


def closed_every_fifth_second(t):
    return 1.0 if t % 5.0 < 1.0 else 0.0


@pytest.mark.parametrize('rate_hz', [5, 10, 15, 30, 60])
def test_same_share_at_every_frame_rate(rate_hz):
    value = feed(np.arange(0, 60, 1 / rate_hz), closed_every_fifth_second)
    assert value.valid
    assert value.p80 == pytest.approx(0.2, abs=0.01)


def test_dropped_frames_do_not_shift_it():
    rng = np.random.default_rng(0)
    stamps_s = np.arange(0, 60, 1 / 30)
    kept = stamps_s[rng.random(stamps_s.size) > 0.3]
    assert feed(kept, closed_every_fifth_second).p80 == pytest.approx(0.2, abs=0.01)


def test_thresholds_of_p80_and_p70_and_the_square_of_em():
    value = feed(np.arange(0, 20, 0.1), lambda t: 0.75)
    assert value.p80 == 0.0
    assert value.p70 == pytest.approx(1.0)
    assert value.em == pytest.approx(0.75**2)
    # closure of exactly 0.8 is closed
    assert feed(np.arange(0, 20, 0.1), lambda t: 0.8).p80 == pytest.approx(1.0)


def test_only_the_window_counts_and_the_oldest_interval_is_clipped():
    # closed for 30 s, then open for 45 s: 15 s of the 60 s window are closed
    value = feed(np.arange(0, 75.01, 0.25), lambda t: 1.0 if t < 30 else 0.0)
    assert value.p80 == pytest.approx(15 / 60, abs=0.005)
    assert value.observed_s == pytest.approx(60.0, abs=0.01)


def test_not_valid_before_the_minimum_was_observed():
    value = feed(np.arange(0, 9.9, 0.1), lambda t: 1.0)
    assert not value.valid
    assert math.isnan(value.p80)
    assert math.isnan(value.p70)
    assert math.isnan(value.em)


def test_time_without_the_eyes_is_neither_open_nor_closed():
    # 12 s open, then 12 s unmeasured, then 12 s closed
    def closure(t):
        return 0.0 if t < 12 else (math.nan if t < 24 else 1.0)

    value = feed(np.arange(0, 36, 0.1), closure)
    assert value.p80 == pytest.approx(0.5, abs=0.01)
    assert value.coverage == pytest.approx(2 / 3, abs=0.01)


def test_low_coverage_is_not_valid():
    value = feed(np.arange(0, 60, 0.1), lambda t: 0.0 if t < 15 else math.nan)
    assert value.observed_s == pytest.approx(15.0, abs=0.2)
    assert not value.valid


def test_a_long_gap_counts_up_to_the_maximum_only():
    perclos = Perclos(SETTINGS)
    for t in np.arange(0, 20, 0.1):
        perclos.add(t, 0.0)
    perclos.add(20.0, 1.0)
    perclos.add(30.0, 0.0)  # nothing was seen for 10 s
    value = perclos.value()
    assert value.observed_s == pytest.approx(20.0 + SETTINGS.max_gap_s, abs=1e-6)
    assert value.p80 == pytest.approx(SETTINGS.max_gap_s / value.observed_s)


samples = st.lists(
    st.tuples(
        st.floats(0.001, 1.0),
        st.one_of(st.floats(0.0, 1.0), st.just(math.nan)),
    ),
    min_size=2,
    max_size=200,
)


@given(samples)
def test_always_between_0_and_1_and_nan_unless_valid(steps):
    settings = PerclosSettings(window_s=10.0, min_observed_s=2.0, min_coverage=0.3)
    perclos = Perclos(settings)
    t = 0.0
    for step_s, closure in steps:
        t += step_s
        perclos.add(t, closure)
        value = perclos.value()
        assert 0.0 <= value.coverage <= 1.0
        if value.valid:
            assert 0.0 <= value.p80 <= value.p70 <= 1.0
            assert 0.0 <= value.em <= 1.0
            assert 0.0 <= value.long <= value.p80
            assert value.observed_s >= settings.min_observed_s
        else:
            assert math.isnan(value.p80)


@given(samples)
def test_splitting_an_interval_changes_nothing(steps):
    settings = PerclosSettings(window_s=10.0, min_observed_s=0.1, min_coverage=0.0, max_gap_s=1.0)
    whole, split = Perclos(settings), Perclos(settings)
    t = 0.0
    for step_s, closure in steps:
        whole.add(t, closure)
        split.add(t, closure)
        split.add(t + step_s / 2, closure)
        t += step_s
    whole.add(t, 0.0)
    split.add(t, 0.0)
    assert split.value().p80 == pytest.approx(whole.value().p80, abs=1e-9, nan_ok=True)
    assert split.value().em == pytest.approx(whole.value().em, abs=1e-9, nan_ok=True)


def test_more_than_the_window_cannot_be_observed():
    with pytest.raises(ValueError, match='need min_observed_s'):
        PerclosSettings(min_observed_s=61.0)


def closed_for(durations_s, period_s=10.0):
    """Close the eyes at the begin of each period, for each duration in turn."""
    return lambda t: float(t % period_s < durations_s[int(t // period_s) % len(durations_s)])


def test_long_closures_are_counted_apart_from_blinks():
    value = feed(np.arange(0, 60, 1 / 60), closed_for((0.2, 0.4, 2.0)))
    assert value.p80 == pytest.approx(2 * 2.6 / 60, abs=0.002)
    assert value.long == pytest.approx(2 * 2.0 / 60, abs=0.002)


def test_a_closure_counts_as_long_from_its_begin_once_it_is_long():
    perclos = Perclos(PerclosSettings(min_observed_s=1.0))
    longs = []
    for i in range(80):
        perclos.add(2.0 + i / 20, 1.0 if i >= 60 else 0.0)
        longs.append(perclos.value().long)
    assert longs[69] == 0.0
    assert longs[71] == pytest.approx(11 / 71)


def test_the_closure_as_an_event_may_be_given():
    """One frame above 0.2 does not end a closure with hysteresis, nor does it count as closed."""
    perclos = Perclos(PerclosSettings(min_observed_s=1.0, window_s=10.0))
    for i in range(201):
        in_closure = 100 <= i < 120
        open_for_a_frame = i in (108, 114)
        perclos.add(i / 20, 0.9 if in_closure and not open_for_a_frame else 0.0, in_closure)
    value = perclos.value()
    assert value.p80 == pytest.approx(18 / 200)
    assert value.long == pytest.approx(18 / 200)


def test_a_gap_does_not_make_two_blinks_one_long_closure():
    perclos = Perclos(PerclosSettings(min_observed_s=1.0, window_s=20.0, max_gap_s=0.3))
    for t in (*np.arange(0, 10, 0.05), 10.0, 10.1, 10.2, 12.0, 12.1, 12.2, 12.3):
        perclos.add(float(t), 1.0 if t >= 10 and t < 12.3 else 0.0)
    value = perclos.value()
    assert value.p80 > 0.05
    assert value.long == 0.0


@given(samples, st.integers(0, 199), st.floats(0, 1))
def test_never_less_with_more_closure(steps, k, more):
    settings = PerclosSettings(window_s=10.0, min_observed_s=1.0, min_coverage=0.1)
    once, twice = Perclos(settings), Perclos(settings)
    t = 0.0
    for i, (step_s, closure) in enumerate(steps):
        t += step_s
        once.add(t, closure)
        twice.add(t, max(closure, more) if i == k and closure == closure else closure)
        a, b = once.value(), twice.value()
        assert a.valid == b.valid
        if a.valid:
            assert b.p80 >= a.p80 - 1e-9
            assert b.p70 >= a.p70 - 1e-9
            assert b.em >= a.em - 1e-9
            assert b.long >= a.long - 1e-9
