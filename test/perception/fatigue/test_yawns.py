# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A yawn is a mouth that is wide open, steadily, for seconds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.fatigue.yawns import YawnDetector, YawnSettings


def run(mar_at, *, seconds=20.0, rate_hz=30.0):
    detector = YawnDetector()
    yawns = []
    for stamp_s in np.arange(0, seconds, 1 / rate_hz):
        if yawn := detector.update(float(stamp_s), mar_at(stamp_s)):
            yawns.append(yawn)
    return detector, yawns


def mouth(start_s, duration_s, peak=0.9, rise_s=1.0):
    def mar(t):
        inside = min(t - start_s, start_s + duration_s - t)
        return 0.02 + peak * min(max(inside / rise_s, 0.0), 1.0)

    return mar


@pytest.mark.parametrize('rate_hz', [5, 10, 15, 30, 60])
def test_a_yawn_is_found_at_every_rate(rate_hz):
    detector, (yawn,) = run(mouth(5.0, 5.0), rate_hz=rate_hz)
    assert detector.yawn_count == 1
    assert yawn.start_s == pytest.approx(5.59, abs=0.1)
    assert yawn.end_s == pytest.approx(9.52, abs=0.1)
    assert not yawn.truncated
    assert yawn.size == pytest.approx(0.92, abs=0.02)


def test_it_is_going_on_once_it_was_long_enough():
    detector = YawnDetector()
    yawning = {}
    for i in range(300):
        detector.update(i / 30, mouth(2.0, 5.0)(i / 30))
        yawning[i / 30] = detector.yawning
    assert not yawning[90 / 30]
    assert not yawning[120 / 30]
    assert yawning[135 / 30]
    assert not yawning[220 / 30]
    assert detector.yawn_duration_s == pytest.approx(3.93, abs=0.1)


@pytest.mark.parametrize('rate_hz', [5, 10, 15, 30, 60])
@pytest.mark.parametrize('peak', [0.4, 0.7, 0.9])
def test_talk_is_no_yawn(peak, rate_hz):
    """Syllables at 4 Hz that close the mouth."""
    _, yawns = run(
        lambda t: 0.05 + peak * (0.5 - 0.5 * math.cos(8 * math.pi * t)), rate_hz=rate_hz
    )
    assert not yawns


@pytest.mark.parametrize('rate_hz', [15, 30, 60])
def test_song_that_keeps_the_mouth_open_is_no_yawn(rate_hz):
    """Syllables at 3 Hz between half and wide open."""
    _, yawns = run(lambda t: 0.75 + 0.25 * math.sin(6 * math.pi * t), rate_hz=rate_hz)
    assert not yawns


def test_surprise_is_too_short():
    assert not run(mouth(5.0, 1.5, rise_s=0.2))[1]


def test_a_mouth_that_hangs_open_is_no_yawn():
    detector, yawns = run(mouth(2.0, 30.0), seconds=40.0)
    assert not yawns
    assert not detector.maybe_yawning


def test_a_mouth_slightly_open_is_no_yawn():
    assert not run(mouth(2.0, 8.0, peak=0.5))[1]


def test_a_yawn_that_leaves_the_picture_is_a_lower_bound():
    yawn = mouth(5.0, 5.0)
    _, (found,) = run(lambda t: yawn(t) if t < 8.0 else math.nan)
    assert found.truncated
    assert found.duration_s == pytest.approx(2.4, abs=0.1)


def test_the_rate_counts_observed_time_only():
    yawn = mouth(10.0, 5.0)
    detector, _ = run(lambda t: yawn(t % 60) if t < 60 else math.nan, seconds=120)
    assert detector.yawn_rate(120.0) == pytest.approx(1.0, rel=0.05)


def test_the_rate_is_not_valid_below_the_minimum():
    detector, _ = run(mouth(5.0, 5.0), seconds=20.0)
    assert math.isnan(detector.yawn_rate(20.0))


@given(
    st.lists(
        st.tuples(st.floats(1e-6, 4.0), st.one_of(st.floats(0, 3), st.just(math.nan))),
        max_size=100,
    )
)
def test_every_yawn_is_as_long_as_it_has_to_be(samples):
    settings = YawnSettings()
    detector = YawnDetector(settings)
    stamp_s, last_end_s = 0.0, -math.inf
    for step_s, mar in samples:
        stamp_s += step_s
        if yawn := detector.update(stamp_s, mar):
            assert last_end_s <= yawn.start_s
            assert settings.min_wide_s <= yawn.duration_s + 1e-9
            assert yawn.duration_s <= settings.max_yawn_s
            assert yawn.end_s <= stamp_s
            assert yawn.size >= settings.wide_mar
            last_end_s = yawn.end_s


@pytest.mark.parametrize(
    'settings',
    [
        {'wide_mar': 0.3},
        {'maybe_wide_s': 2.0},
        {'end_mar': 0.6},
        {'max_yawn_s': 1.0},
        {'min_observed_s': 400.0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match='need .*' + next(iter(settings))):
        YawnSettings(**settings)
