# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Sums over a sliding window are those of the intervals within it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitable_ros.perception.maths.sliding_window import SlidingSums

intervals = st.lists(
    st.tuples(st.floats(0, 2.0), st.floats(1e-4, 3.0), st.floats(0, 5)), min_size=1, max_size=100
)


@given(intervals, st.floats(0, 10))
def test_equals_the_sum_of_the_clipped_intervals(steps, later_s):
    window_s = 7.0
    sums = SlidingSums(window_s, 2)
    now_s, added = 0.0, []
    for gap_s, duration_s, rate in steps:
        start_s = now_s + gap_s
        now_s = start_s + duration_s
        sums.add(start_s, now_s, 1.0, rate)
        added.append((start_s, now_s, rate))
    now_s += later_s
    clipped = [(max(end - max(start, now_s - window_s), 0.0), rate) for start, end, rate in added]
    observed_s, total = sums.sums(now_s)
    # intervals put together are clipped as one: wrong by one of them at most
    assert observed_s == pytest.approx(sum(s for s, _ in clipped), abs=0.002)
    assert total == pytest.approx(sum(s * rate for s, rate in clipped), abs=0.01)


def test_memory_is_bounded_at_any_rate():
    sums = SlidingSums(1.0, 1)
    for i in range(50_000):
        sums.add(i * 1e-5, (i + 1) * 1e-5, 1.0)
    assert len(sums) <= 8192
    assert sums.sums(0.5)[0] == pytest.approx(0.5, abs=1e-6)


def test_an_interval_that_does_not_end_after_its_begin_is_nothing():
    sums = SlidingSums(1.0, 1)
    sums.add(1.0, 1.0, 1.0)
    sums.add(1.0, 0.5, 1.0)
    sums.add(1.0, math.nan, 1.0)
    assert sums.sums(1.0) == [0.0]


@pytest.mark.parametrize(('window_s', 'channels'), [(0.0, 1), (-1.0, 1), (math.nan, 1), (1.0, 0)])
def test_impossible_windows_are_refused(window_s, channels):
    with pytest.raises(ValueError, match='must be'):
        SlidingSums(window_s, channels)
