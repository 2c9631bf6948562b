# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Events and PERCLOS reach their goals on synthetic landmarks; how found and true ones match."""

from __future__ import annotations

import numpy as np
import pytest

from aitable_ros.simulation.script import Span
from aitable_ros.tools.fatigue_report.scoring import EventScore, score
from aitable_ros.tools.fatigue_report.situations import PEOPLE


@pytest.mark.parametrize(('rate_hz', 'people'), [(15.0, PEOPLE), (60.0, PEOPLE[::2])])
def test_events_are_found_and_timed(rate_hz, people):
    scores = score(rate_hz, people, duration_s=240.0)
    assert scores.blinks.hits > 25 * len(people)
    assert scores.blinks.f1 >= 0.98
    assert scores.blinks.error_quantile(0.95) <= 1.0
    assert scores.microsleeps.hits >= len(people)
    assert scores.microsleeps.f1 >= 0.99
    assert scores.yawns.hits > 0.6 * len(people)
    assert scores.yawns.f1 >= 0.99


@pytest.mark.parametrize(('rate_hz', 'points'), [(5.0, 3.0), (10.0, 1.0), (30.0, 1.0)])
def test_perclos_is_right_at_every_rate_and_with_drops(rate_hz, points):
    scores = score(rate_hz, PEOPLE[:3], drop=0.3, duration_s=480.0, seed=1)
    assert len(scores.perclos_errors) == 3
    assert np.abs(scores.perclos_errors).max() <= points


def test_matching_is_one_to_one():
    true = [Span(1.0, 1.2), Span(2.0, 2.2), Span(3.0, 3.2)]
    found = [(1.0, 1.3), (1.05, 1.1), (3.4, 3.5), (5.0, 5.1)]
    result = EventScore()
    result.add(true, found, [Span(4.9, 5.2)], interval_s=0.1, tolerance_s=0.1)
    assert (result.hits, result.missed, result.false) == (1, 2, 2)
    assert result.errors == [pytest.approx(1.0)]
    assert result.precision == pytest.approx(1 / 3)
    assert result.recall == pytest.approx(1 / 3)
    assert result.f1 == pytest.approx(1 / 3)
