# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The time of a recording at another rate, and standing still."""

from __future__ import annotations

import pytest
from string_bags import START_NS

from aitable_ros.tools.replay.pace import Pace


class TestPace:
    def test_due_times_follow_the_rate(self) -> None:
        now_s = 100.0
        pace = Pace(2.0, now=lambda: now_s)
        pace.begin(START_NS)
        assert pace.due_in_s(START_NS + 3 * 10**9) == pytest.approx(1.5)
        now_s = 101.0
        assert pace.due_in_s(START_NS + 10**9) == pytest.approx(-0.5)
        assert pace.bag_time_ns() == START_NS + 2 * 10**9

    def test_time_stands_still_while_paused(self) -> None:
        now_s = 0.0
        pace = Pace(1.0, now=lambda: now_s)
        pace.begin(START_NS)
        now_s = 1.0
        pace.pause()
        now_s = 5.0
        assert pace.paused
        assert pace.due_in_s(START_NS + 2 * 10**9) == pytest.approx(1.0)
        assert pace.stood_s == pytest.approx(4.0)
        pace.resume()
        now_s = 5.5
        assert pace.due_in_s(START_NS + 2 * 10**9) == pytest.approx(0.5)
        assert pace.stood_s == pytest.approx(4.0)
        pace.resume()
        assert pace.stood_s == pytest.approx(4.0)

    def test_beginning_paused(self) -> None:
        now_s = 0.0
        pace = Pace(1.0, now=lambda: now_s)
        pace.pause()
        now_s = 7.0
        pace.begin(START_NS)
        now_s = 9.0
        pace.resume()
        assert pace.due_in_s(START_NS) == pytest.approx(0.0)
