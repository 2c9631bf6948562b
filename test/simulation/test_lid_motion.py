# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from aitable_ros.simulation.lid_motion import (
    CLOSED_OPENNESS,
    CLOSURES,
    PERIOD_S,
    SHORTEST_CLOSURE_S,
    SQUINTS,
    Closure,
    Squint,
    closures_until,
    openness_at,
)


def test_there_are_eight_blinks_and_one_long_closure():
    durations_s = sorted(closure.duration_s for closure in CLOSURES)
    assert len(durations_s) == 9
    assert durations_s[0] == pytest.approx(0.1)
    assert durations_s[7] == pytest.approx(0.4)
    assert durations_s[8] == pytest.approx(2.0)


def test_the_eyes_are_fully_open_between_closures_and_when_the_period_ends():
    motions = sorted(
        [(c.lids_start_s, c.lids_end_s) for c in CLOSURES]
        + [(s.start_s, s.end_s) for s in SQUINTS]
    )
    assert motions[0][0] > 1.0
    assert motions[-1][1] < PERIOD_S
    assert all(before[1] < after[0] for before, after in pairwise(motions))


@pytest.mark.parametrize('closure', CLOSURES)
def test_openness_passes_the_threshold_exactly_at_start_and_end(closure: Closure):
    assert closure.openness(closure.start_s) == pytest.approx(CLOSED_OPENNESS)
    assert closure.openness(closure.end_s) == pytest.approx(CLOSED_OPENNESS)


@pytest.mark.parametrize('closure', CLOSURES)
def test_the_lids_close_quickly_shut_and_open_slowly(closure: Closure):
    times_s = np.linspace(closure.lids_start_s - 0.05, closure.lids_end_s + 0.05, 2001)
    openness = np.array([closure.openness(t) for t in times_s])
    assert openness[0] == openness[-1] == 1
    shut_s = times_s[openness == 0]
    assert len(shut_s) > 0
    closing, opening = times_s < shut_s[0], times_s > shut_s[-1]
    assert (np.diff(openness[closing]) <= 0).all()
    assert (np.diff(openness[opening]) >= 0).all()
    assert np.abs(np.diff(openness)).max() < 0.03  # no jumps
    down_s = shut_s[0] - closure.lids_start_s
    up_s = closure.lids_end_s - shut_s[-1]
    assert up_s == pytest.approx(2 * down_s, rel=0.05)


def test_the_eyes_are_closed_during_closures_and_at_no_other_time():
    closures = closures_until(2 * PERIOD_S)
    for time_s in np.arange(0, 2 * PERIOD_S, 0.0101):
        closed = any(c.start_s <= time_s <= c.end_s for c in closures)
        assert (openness_at(time_s, closures) <= CLOSED_OPENNESS) == closed


def test_squints_narrow_the_eyes_without_closing_them():
    for squint in SQUINTS:
        middle_s = (squint.start_s + squint.end_s) / 2
        assert openness_at(middle_s, CLOSURES) == pytest.approx(squint.openness_min)
        assert openness_at(middle_s + PERIOD_S, ()) == pytest.approx(squint.openness_min)
        assert squint.openness_min > 0.5
        assert openness_at(squint.start_s, CLOSURES) == 1
        assert openness_at(squint.end_s, CLOSURES) == 1


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


def test_impossible_motions_are_refused():
    with pytest.raises(ValueError, match='closure takes at least'):
        Closure(1.0, 1.0 + 0.99 * SHORTEST_CLOSURE_S)
    with pytest.raises(ValueError, match='closure takes at least'):
        Closure(1.0, float('nan'))
    with pytest.raises(ValueError, match='not a squint'):
        Squint(1.0, 2.0, openness_min=CLOSED_OPENNESS)
    with pytest.raises(ValueError, match='not a squint'):
        Squint(2.0, 1.0, openness_min=0.7)
