# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Eyes that cannot be seen well are unknown, with hysteresis."""

from __future__ import annotations

import math

import pytest

from aitable_ros.perception.fatigue.visibility import (
    FaceView,
    Visibility,
    VisibilityGate,
    VisibilitySettings,
)

GOOD = FaceView(presence=0.95, eye_distance_px=70.0, yaw_rad=0.0, pitch_rad=0.0)


def degrees(value):
    return math.radians(value)


@pytest.mark.parametrize(
    ('view', 'verdict'),
    [
        (GOOD, Visibility.MEASURED),
        (FaceView(), Visibility.MEASURED),
        (GOOD._replace(yaw_rad=math.nan, pitch_rad=math.nan), Visibility.MEASURED),
        (GOOD._replace(presence=math.nan), Visibility.NO_FACE),
        (GOOD._replace(presence=0.4), Visibility.LOW_PRESENCE),
        (GOOD._replace(eye_distance_px=15.0), Visibility.TOO_SMALL),
        (GOOD._replace(yaw_rad=degrees(35)), Visibility.TURNED),
        (GOOD._replace(yaw_rad=degrees(-35)), Visibility.TURNED),
        (GOOD._replace(pitch_rad=degrees(35)), Visibility.PITCHED),
        (GOOD._replace(pitch_rad=degrees(-35)), Visibility.PITCHED),
        (GOOD._replace(pitch_rad=degrees(20)), Visibility.MEASURED),
    ],
)
def test_verdicts(view, verdict):
    assert VisibilityGate().update(view) is verdict


@pytest.mark.parametrize(
    ('bad', 'between', 'good'),
    [
        ({'presence': 0.45}, {'presence': 0.55}, {'presence': 0.65}),
        ({'eye_distance_px': 19.0}, {'eye_distance_px': 21.0}, {'eye_distance_px': 23.0}),
        ({'yaw_rad': degrees(31)}, {'yaw_rad': degrees(28)}, {'yaw_rad': degrees(26)}),
        ({'yaw_rad': degrees(-31)}, {'yaw_rad': degrees(-28)}, {'yaw_rad': degrees(-26)}),
        ({'pitch_rad': degrees(29)}, {'pitch_rad': degrees(26)}, {'pitch_rad': degrees(24)}),
        ({'pitch_rad': degrees(-29)}, {'pitch_rad': degrees(-26)}, {'pitch_rad': degrees(-24)}),
    ],
)
def test_between_the_limits_the_last_verdict_stands(bad, between, good):
    gate = VisibilityGate()
    seen = [
        gate.update(GOOD._replace(**change)) is Visibility.MEASURED
        for change in (between, bad, between, good, between)
    ]
    assert seen == [True, False, False, True, True]


def test_a_margin_beyond_its_limit_is_refused():
    with pytest.raises(ValueError, match='need angle_margin_rad'):
        VisibilitySettings(max_yaw_rad=0.3, angle_margin_rad=0.4)
