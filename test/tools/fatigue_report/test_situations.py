# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The analysis of fatigue gets single situations right, filmed with synthetic people."""

from __future__ import annotations

import pytest

from aitable_ros.perception.fatigue.level import FatigueLevel
from aitable_ros.simulation.script import Person
from aitable_ros.tools.fatigue_report.recording import record
from aitable_ros.tools.fatigue_report.situations import (
    eyes,
    level_shares,
    looking_down_script,
    nodding_off_script,
    same_minutes,
    verdict,
)


def test_narrow_and_wide_eyes_with_and_without_glasses_get_the_same_verdict():
    verdicts = {verdict(same_minutes(person).last) for person in eyes()[::2]}
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


@pytest.mark.parametrize(('who', 'above'), [('awake', (0.0, 0.01)), ('tired', (0.7, 1.0))])
def test_levels_tell_awake_from_tired(who, above):
    shares = level_shares(who, Person(), 300.0, seed=4)
    assert sum(shares) == pytest.approx(1.0, abs=0.01)
    assert above[0] <= sum(shares[FatigueLevel.MILD :]) <= above[1]
    assert shares[FatigueLevel.UNKNOWN] < 0.15
