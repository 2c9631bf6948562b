# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Rates, latencies and recent counts, on a clock that the tests set."""

from __future__ import annotations

import math

import pytest

from aitable_ros.ros_support.node.statistics import LatencyMeter, RateMeter, RecentCounts


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def test_rate_and_time_since_the_last_event(clock):
    meter = RateMeter(5.0, clock)
    assert meter.rate() == 0.0
    assert meter.idle_s() == math.inf
    for _ in range(51):
        meter.tick()
        clock.now_s += 0.1
    assert meter.rate() == pytest.approx(10.0, rel=0.05)
    clock.now_s += 1.9
    assert meter.idle_s() == pytest.approx(2.0)
    assert meter.rate() < 8.0  # a stream that stopped slows down at once
    clock.now_s += 10.0
    assert meter.rate() == 0.0
    assert meter.count == 51


def test_latency_quantiles_and_clearing():
    meter = LatencyMeter()
    assert math.isnan(meter.quantiles(0.5)[0])
    for milliseconds in range(101):
        meter.add(milliseconds * 1e-3)
    assert meter.quantiles(0.5, 0.99) == pytest.approx((0.05, 0.099))
    meter.clear()
    assert math.isnan(meter.quantiles(0.5)[0])


def test_counts_of_the_window_only(clock):
    recent = RecentCounts(5.0, clock)
    growth = []
    for total in (3, 4, 4, 4, 4, 4, 4, 4, 9):
        growth.append(recent.since({'failures': total})['failures'])
        clock.now_s += 1.0
    assert growth == [3, 4, 4, 4, 4, 1, 0, 0, 5]
    recent.restart({'failures': 9})
    assert recent.since({'failures': 10}) == {'failures': 1}
