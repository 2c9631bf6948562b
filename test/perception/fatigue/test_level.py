# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The verdict follows a small rule, with hysteresis and minimum data."""

from __future__ import annotations

import math

import pytest

from aitable_ros.perception.fatigue.level import (
    FatigueLevel,
    FatigueSigns,
    LevelRule,
    LevelSettings,
)
from aitable_ros.perception.fatigue.perclos import PerclosValue


def perclos(p80, observed_s=60.0):
    valid = not math.isnan(p80)
    return PerclosValue(p80, p80, p80, 0.0, valid, 60.0, observed_s, observed_s / 60)


AWAKE = FatigueSigns(
    unseen_s=0.0, unseen_why='', calibrated=True, perclos=perclos(0.03), closure_s=0.0
)


def verdict(**signs):
    return LevelRule().update(0.0, AWAKE._replace(**signs))


@pytest.mark.parametrize(
    ('signs', 'level'),
    [
        ({}, FatigueLevel.ALERT),
        ({'perclos': perclos(0.09)}, FatigueLevel.ALERT),
        ({'perclos': perclos(0.11)}, FatigueLevel.MILD),
        ({'perclos': perclos(0.16)}, FatigueLevel.SEVERE),
        ({'yawns': 2}, FatigueLevel.ALERT),
        ({'yawns': 3}, FatigueLevel.MILD),
        ({'nods': 1}, FatigueLevel.MILD),
        ({'nods': 3}, FatigueLevel.SEVERE),
        ({'long_closures': 2}, FatigueLevel.ALERT),
        ({'long_closures': 3}, FatigueLevel.MILD),
        ({'microsleeps': 1}, FatigueLevel.MILD),
        ({'microsleeps': 2}, FatigueLevel.SEVERE),
        ({'closure_s': 0.9}, FatigueLevel.ALERT),
        ({'closure_s': 1.0}, FatigueLevel.MICROSLEEP),
        ({'closure_s': 3.0}, FatigueLevel.ASLEEP),
        ({'closure_s': 3.0, 'perclos': perclos(math.nan, 5.0)}, FatigueLevel.ASLEEP),
        ({'closure_s': math.nan}, FatigueLevel.ALERT),
        ({'calibrated': False, 'yawns': 5}, FatigueLevel.UNKNOWN),
        ({'perclos': perclos(math.nan, 5.0)}, FatigueLevel.UNKNOWN),
        ({'perclos': perclos(0.03, 20.0)}, FatigueLevel.UNKNOWN),
        ({'perclos': perclos(0.30, 20.0)}, FatigueLevel.UNKNOWN),
        ({'perclos': perclos(0.03, 20.0), 'microsleeps': 2}, FatigueLevel.SEVERE),
        ({'unseen_s': 6.0, 'unseen_why': 'head turned'}, FatigueLevel.UNKNOWN),
    ],
)
def test_the_rule(signs, level):
    assert verdict(**signs) is level


@pytest.mark.parametrize(
    ('signs', 'text'),
    [
        ({'closure_s': 3.27}, '3.2 s'),
        ({'perclos': perclos(0.16)}, 'PERCLOS 16.0%'),
        ({'microsleeps': 1}, '1 microsleep in 5 min'),
        ({'microsleeps': 2}, '2 microsleeps in 5 min'),
        ({'unseen_s': 6.0, 'unseen_why': 'head turned'}, 'head turned'),
        ({'calibrated': False}, 'learned'),
        ({'perclos': perclos(0.03, 20.0)}, '20 s of the last 60 s'),
    ],
)
def test_the_reason_names_the_sign(signs, text):
    rule = LevelRule()
    rule.update(0.0, AWAKE._replace(**signs))
    assert text in rule.reason


def levels(rule, signs, seconds, *, start_s):
    return [rule.update(start_s + i / 10, signs) for i in range(round(seconds * 10))]


def test_a_higher_level_is_taken_at_once_and_a_lower_one_after_a_while():
    rule = LevelRule(LevelSettings(lower_s=15.0))
    levels(rule, AWAKE, 10, start_s=0)
    tired = AWAKE._replace(perclos=perclos(0.12))
    assert levels(rule, tired, 1, start_s=10)[0] is FatigueLevel.MILD
    recovering = levels(rule, AWAKE, 20, start_s=11)
    assert recovering[149] is FatigueLevel.MILD
    assert recovering[151] is FatigueLevel.ALERT


def test_perclos_about_a_threshold_does_not_make_the_level_flicker():
    rule = LevelRule(LevelSettings(lower_s=0.0))
    seen = [
        rule.update(i / 10, AWAKE._replace(perclos=perclos(0.09 if i % 2 else 0.105)))
        for i in range(100)
    ]
    assert set(seen) == {FatigueLevel.MILD}
    assert rule.update(10.0, AWAKE._replace(perclos=perclos(0.07))) is FatigueLevel.ALERT


def test_sleep_is_left_soon_after_the_eyes_open():
    rule = LevelRule()
    levels(rule, AWAKE, 1, start_s=0)
    asleep = AWAKE._replace(closure_s=4.0)
    assert levels(rule, asleep, 1, start_s=1)[-1] is FatigueLevel.ASLEEP
    after = levels(rule, AWAKE._replace(microsleeps=1), 5, start_s=2)
    assert after[25] is FatigueLevel.ASLEEP
    assert after[31] is FatigueLevel.MILD


def test_a_moment_unseen_changes_nothing():
    rule = LevelRule()
    levels(rule, AWAKE, 1, start_s=0)
    assert rule.update(3.0, AWAKE._replace(unseen_s=2.0)) is FatigueLevel.ALERT
    unseen = AWAKE._replace(unseen_s=6.0, unseen_why='no face')
    assert rule.update(7.0, unseen) is FatigueLevel.UNKNOWN


def test_a_line_of_the_rule_can_be_turned_off():
    rule = LevelRule(LevelSettings(mild_yawns=0))
    assert rule.update(0.0, AWAKE._replace(yawns=9)) is FatigueLevel.ALERT


@pytest.mark.parametrize('settings', [{'mild_perclos': 0.2}, {'asleep_s': 0.5}])
def test_contradicting_settings_are_refused(settings):
    with pytest.raises(ValueError, match='need .*' + next(iter(settings))):
        LevelSettings(**settings)
