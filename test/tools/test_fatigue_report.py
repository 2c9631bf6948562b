# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The analysis of fatigue reaches its goals on synthetic landmarks; a part of the report."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.analysis.fatigue_level import FatigueLevel
from aitable_ros.analysis.synthetic import Person, Script, Span
from aitable_ros.tools.fatigue_report import (
    PEOPLE,
    eyes,
    level_shares,
    looking_down_script,
    main,
    match,
    nodding_off_script,
    record,
    same_minutes,
    score,
    two_people,
    verdict,
)


@pytest.mark.parametrize('rate_hz', [15.0, 30.0, 60.0])
def test_events_are_found_and_timed(rate_hz):
    scores = score(rate_hz, PEOPLE, duration_s=240.0)
    assert scores.blinks.hits > 150
    assert scores.blinks.f1 >= 0.98
    assert scores.blinks.error_quantile(0.95) <= 1.0
    assert scores.microsleeps.hits > 5
    assert scores.microsleeps.f1 >= 0.99
    assert scores.yawns.hits > 4
    assert scores.yawns.f1 >= 0.99


@pytest.mark.parametrize(
    ('rate_hz', 'drop', 'points'),
    [(5.0, 0.0, 3.0), (5.0, 0.3, 3.0), (10.0, 0.0, 1.0), (10.0, 0.3, 1.0), (30.0, 0.3, 1.0)],
)
def test_perclos_is_right_at_every_rate_and_with_drops(rate_hz, drop, points):
    scores = score(rate_hz, PEOPLE[:3], drop=drop, duration_s=480.0, seed=1)
    assert len(scores.perclos_errors) == 3
    assert np.abs(scores.perclos_errors).max() <= points


def test_narrow_and_wide_eyes_with_and_without_glasses_get_the_same_verdict():
    verdicts = {verdict(same_minutes(person).last) for person in eyes()}
    assert len(verdicts) == 1


@pytest.mark.parametrize('kind', ['slightly', 'far', 'eyes only'])
def test_a_minute_of_looking_down_is_not_closed_eyes(kind):
    script, person = looking_down_script(kind)
    recording = record(script, person, 30.0, seed=0)
    values = [state.perclos for stamp_s, state in recording.states if stamp_s >= 30]
    assert max(value.p80 for value in values if value.valid) < 0.02
    assert recording.last.microsleep_count == 0
    # Far down nothing is claimed; otherwise the eyes are seen all the time.
    assert recording.last.perclos.valid == (kind != 'far')
    if kind != 'far':
        assert recording.last.level is FatigueLevel.ALERT


def test_blinks_are_seen_while_looking_down():
    script, person = looking_down_script('slightly')
    recording = record(script, person, 30.0, seed=0)
    true = [blink for blink in script.blinks if blink.start_s > 31]
    found = [blink for blink in recording.blinks if blink.start_s > 31]
    assert len(true) == len(found) > 3


def test_looking_down_without_a_head_pose_keeps_perclos_low():
    script, person = looking_down_script('slightly')
    recording = record(script, person, 30.0, seed=0, knows_pose=False)
    assert recording.last.perclos.p80 < 0.02


def test_nodding_off_with_the_head_down_is_sleep():
    recording = record(nodding_off_script(), Person(), 30.0, seed=0)
    levels = [level for _, level, _ in recording.levels]
    assert levels[:4] == [
        FatigueLevel.UNKNOWN,
        FatigueLevel.ALERT,
        FatigueLevel.MICROSLEEP,
        FatigueLevel.ASLEEP,
    ]
    assert recording.last.microsleep_count == 1


def test_two_people_side_by_side_do_not_mix():
    for script, recording in two_people(rate_hz=20.0):
        state = recording.last
        truth = script.perclos(script.duration_s - 60, script.duration_s, math.pi)
        assert state.perclos.p80 == pytest.approx(truth, abs=0.01)
        assert state.microsleep_count == len(script.microsleeps)


def test_matching_is_one_to_one():
    true = [Span(1.0, 1.2), Span(2.0, 2.2), Span(3.0, 3.2)]
    found = [(1.0, 1.3), (1.05, 1.1), (3.4, 3.5), (5.0, 5.1)]
    result = match(true, found, [Span(4.9, 5.2)], tolerance_s=0.1, interval_s=0.1)
    assert (result.hits, result.missed, result.false) == (1, 2, 2)
    assert result.errors == [pytest.approx(1.0)]
    assert result.precision == pytest.approx(1 / 3)
    assert result.recall == pytest.approx(1 / 3)
    assert result.f1 == pytest.approx(1 / 3)


def test_a_script_knows_its_perclos():
    script = Script(duration_s=10.0, dropouts=(Span(5.0, 10.0),))
    assert script.perclos(0.0, 10.0, math.pi) == 0.0
    assert math.isnan(script.perclos(6.0, 9.0, math.pi))


def test_the_report_is_printed(capsys):
    assert main(['--only', 'down']) == 0
    out = capsys.readouterr().out
    assert 'all goals met' in out
    assert '| far |' in out


@pytest.mark.parametrize(('who', 'above'), [('awake', (0.0, 0.01)), ('tired', (0.7, 1.0))])
def test_levels_tell_awake_from_tired(who, above):
    shares = level_shares(who, Person(), 300.0, seed=4)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)
    assert above[0] <= sum(shares[FatigueLevel.MILD :]) <= above[1]
    assert shares[FatigueLevel.UNKNOWN] < 0.15
