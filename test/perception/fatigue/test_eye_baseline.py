# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The references of an eye come from the person, and recover from a bad begin."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.fatigue.eye_baseline import (
    BaselineSettings,
    EyeBaseline,
    _FadingPercentile,
)

NOISE = 0.03


def watch(baseline, ear_at, *, start_s=0.0, seconds=30.0, rate_hz=30.0, pitch_rad=0.0, seed=0):
    rng = np.random.default_rng(seed)
    restarts = 0
    for stamp_s in np.arange(start_s, start_s + seconds, 1 / rate_hz):
        ear = ear_at(stamp_s) * (1 + rng.normal(0, NOISE))
        restarts += baseline.update(float(stamp_s), ear, pitch_rad)
    return restarts


def blinking(open_ear, closed_ear, every_s=3.0):
    """Close for 0.2 s, with lids on their way for 0.1 s before and after."""

    def ear(t):
        phase = t % every_s - 1.0
        shut = min(max((phase + 0.1) / 0.1, 0.0), max((0.3 - phase) / 0.1, 0.0), 1.0)
        return open_ear - (open_ear - closed_ear) * shut

    return ear


@pytest.mark.parametrize('open_ear', [0.15, 0.22, 0.30, 0.40])
def test_the_open_reference_is_the_open_eye(open_ear):
    baseline = EyeBaseline()
    watch(baseline, blinking(open_ear, 0.28 * open_ear))
    assert baseline.calibrated
    assert baseline.open_ear == pytest.approx(open_ear, rel=0.06)


@pytest.mark.parametrize('closed_ratio', [0.07, 0.28, 0.42])
def test_the_closed_reference_becomes_what_blinks_go_down_to(closed_ratio):
    """Without glasses, as photographs gave, and with glasses."""
    baseline = EyeBaseline()
    watch(baseline, blinking(0.3, closed_ratio * 0.3), seconds=60)
    assert baseline._closed_ratio * baseline.open_ear == pytest.approx(
        closed_ratio * 0.3, abs=0.012
    )
    assert baseline.openness(closed_ratio * 0.3) < 0.05


@pytest.mark.parametrize('percentile', [50.0, 90.0, 99.0])
def test_the_open_reference_is_the_percentile_of_what_fades(percentile):
    """Followed from sample to sample, it is what all samples give."""
    random = np.random.default_rng(7)
    memory_s, step_s, bin_ear = 10.0, 0.5, 0.8 / 160
    followed = _FadingPercentile(BaselineSettings(percentile=percentile, memory_s=memory_s))
    usual = 0.3
    weights = np.zeros(160)
    for _ in range(3000):
        usual = min(max(usual + random.normal(0.0, 0.01), 0.1), 0.9)
        ear = usual + random.normal(0.0, 0.02)
        followed.add(ear, step_s)
        weights *= math.exp(-step_s / memory_s)
        weights[min(int(ear / bin_ear), 159)] += step_s
        cumulative = np.cumsum(weights)
        target = cumulative[-1] * (percentile / 100)
        k = int(np.searchsorted(cumulative, target))
        expected = (k + 1 - (cumulative[k] - target) / weights[k]) * bin_ear
        assert followed.ear == pytest.approx(expected, abs=1e-8)


def test_all_of_the_samples_are_not_beyond_the_topmost_one():
    followed = _FadingPercentile(BaselineSettings(percentile=100.0, memory_s=10.0))
    random = np.random.default_rng(8)
    for ear in random.uniform(0.2, 0.4, 2000):
        followed.add(ear, 0.1)
        assert followed.ear <= 0.4 + 1e-9


def test_glances_down_do_not_become_the_closed_reference():
    """Lids at half their opening for 0.8 s, more often than blinks."""
    blink = blinking(0.3, 0.06, every_s=6.0)
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.17 if 2.0 < t % 3.0 < 2.8 else blink(t), seconds=60)
    assert baseline.openness(0.17) > 0.35


@pytest.mark.parametrize('closed_first_s', [0.3, 1.0, 5.0, 60.0])
def test_a_begin_with_closed_eyes_is_put_right(closed_first_s):
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.13 if t < closed_first_s else 0.3, seconds=closed_first_s + 4.0)
    assert baseline.calibrated
    assert baseline.open_ear == pytest.approx(0.3, rel=0.06)
    assert baseline.openness(0.13) < 0.35


def test_a_wrong_reference_is_dropped_once():
    baseline = EyeBaseline()
    assert watch(baseline, lambda t: 0.13 if t < 60 else 0.3, seconds=90) == 1


@pytest.mark.parametrize(
    ('first', 'second'),
    [((0.38, 0.11), (0.15, 0.03)), ((0.36, 0.06), (0.15, 0.03)), ((0.40, 0.05), (0.15, 0.03))],
)
def test_narrower_eyes_that_blink_are_somebody_elses_and_found_out_within_a_minute(first, second):
    baseline = EyeBaseline()
    watch(baseline, blinking(*first), seconds=60.0)
    assert watch(baseline, blinking(*second, every_s=4.0), start_s=60.0, seconds=60.0) == 1
    assert baseline.open_ear == pytest.approx(second[0], rel=0.08)


@pytest.mark.parametrize('closed_ear', [0.03, 0.06, 0.13])
def test_closed_eyes_are_not_taken_for_somebody_elses(closed_ear):
    baseline = EyeBaseline()
    watch(baseline, blinking(0.31, closed_ear), seconds=60.0)
    assert watch(baseline, lambda t: closed_ear, start_s=60.0, seconds=600.0) == 0


def test_eyes_that_never_open_are_not_calibrated():
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.09, seconds=60)
    assert not baseline.calibrated
    assert math.isnan(baseline.openness(0.09))


def test_single_wild_values_do_not_restart_it():
    baseline = EyeBaseline()
    assert watch(baseline, lambda t: 0.7 if int(t * 30) % 20 == 0 else 0.3, seconds=60) == 0
    assert baseline.open_ear == pytest.approx(0.3, rel=0.06)


def test_eyes_opened_wide_do_not_restart_it():
    baseline = EyeBaseline()
    assert watch(baseline, lambda t: 0.37 if t > 20 else 0.3, seconds=30) == 0


def test_closed_eyes_do_not_lower_it():
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.3 if t < 20 else 0.04, seconds=320)
    assert baseline.open_ear == pytest.approx(0.3, rel=0.06)
    assert baseline.openness(0.04) < 0.05


def test_lids_that_droop_for_minutes_do_not_pass_for_normal():
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.3 if t < 120 else 0.2, seconds=420, rate_hz=10)
    assert baseline.openness(0.2) < 0.7


def test_nothing_is_learned_from_a_turned_head():
    baseline = EyeBaseline()
    for i in range(300):
        baseline.update(i / 30, 0.3, 0.0, math.radians(25))
    assert not baseline.calibrated


def test_looking_down_is_judged_by_its_own_reference():
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.3, seconds=20)
    pitch_rad = math.radians(20)
    assert baseline.openness(0.21, pitch_rad) > 0.6  # before it was ever seen
    watch(baseline, lambda t: 0.21, start_s=20.0, seconds=20, pitch_rad=pitch_rad)
    assert baseline.openness(0.21, pitch_rad) > 0.9
    assert baseline.openness(0.21) < 0.7  # an upright head's lids at this height do droop


def test_eyes_closed_with_the_head_down_do_not_become_its_reference():
    """Nodding off: the posture is new, and the eyes are closed in it."""
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.3, seconds=20)
    pitch_rad = math.radians(20)
    watch(baseline, lambda t: 0.04, start_s=20.0, seconds=60, pitch_rad=pitch_rad)
    assert baseline.openness(0.04, pitch_rad) < 0.1


def test_a_person_who_only_ever_looks_down_is_calibrated():
    baseline = EyeBaseline()
    watch(baseline, lambda t: 0.2, seconds=10, pitch_rad=math.radians(20))
    assert baseline.calibrated
    assert baseline.openness(0.2, math.radians(20)) > 0.9
    assert 0.2 < baseline.open_ear < 0.35


def test_going_back_in_time_teaches_nothing():
    baseline = EyeBaseline()
    for stamp_s in (10.0, 5.0, 5.0, 1.0, 1.0):
        baseline.update(stamp_s, 0.3)
    assert not baseline.calibrated


@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.one_of(st.floats(0, 3), st.just(math.nan)),
            st.one_of(st.floats(-2, 2), st.just(math.nan)),
        ),
        max_size=100,
    )
)
def test_openness_is_a_share_or_unknown(samples):
    baseline = EyeBaseline()
    stamp_s = 0.0
    for step_s, ear, pitch_rad in samples:
        stamp_s += step_s
        baseline.update(stamp_s, ear, pitch_rad)
        openness = baseline.openness(ear, pitch_rad)
        if math.isnan(ear) or not baseline.calibrated:
            assert math.isnan(openness)
        else:
            assert 0 <= openness <= 1


@pytest.mark.parametrize('settings', [{'min_closed_ratio': 0.6}, {'frontal_pitch_rad': 1.0}])
def test_contradicting_settings_are_refused(settings):
    with pytest.raises(ValueError, match='need ' + next(iter(settings))):
        BaselineSettings(**settings)
