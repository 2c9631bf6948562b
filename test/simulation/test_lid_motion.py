# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from aitable_ros.simulation import CLOSED_OPENNESS
from aitable_ros.simulation.lid_motion import (
    CLOSURES,
    PERIOD_S,
    SQUINTS,
    closures_until,
    openness_at,
)


def test_the_eyes_are_fully_open_between_closures_and_when_the_period_ends():
    motions = sorted(
        [(c.lids_start_s, c.lids_end_s) for c in CLOSURES]
        + [(s.start_s, s.end_s) for s in SQUINTS]
    )
    assert motions[0][0] > 1.0
    assert motions[-1][1] < PERIOD_S
    assert all(before[1] < after[0] for before, after in pairwise(motions))


def test_openness_passes_the_threshold_exactly_at_start_and_end():
    for closure in CLOSURES:
        assert closure.openness(closure.start_s) == pytest.approx(CLOSED_OPENNESS)
        assert closure.openness(closure.end_s) == pytest.approx(CLOSED_OPENNESS)


def test_the_eyes_are_closed_during_closures_and_at_no_other_time():
    closures = closures_until(2 * PERIOD_S)
    for time_s in np.arange(0, 2 * PERIOD_S, 0.0101):
        closed = any(c.start_s <= time_s <= c.end_s for c in closures)
        assert (openness_at(time_s, closures) <= CLOSED_OPENNESS) == closed


def test_the_schedule_repeats():
    twice = closures_until(2 * PERIOD_S)
    assert twice[:9] == CLOSURES
    assert [c.start_s - PERIOD_S for c in twice[9:]] == pytest.approx(
        [c.start_s for c in CLOSURES]
    )


def test_a_closure_that_the_end_would_cut_is_left_out():
    first = CLOSURES[0]
    assert closures_until(first.lids_end_s) == (first,)
    assert closures_until(first.lids_end_s - 0.001) == ()
    assert openness_at(first.start_s, ()) == 1
