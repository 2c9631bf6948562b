# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The level of a node is the worst finding, and every finding is in the text."""

from __future__ import annotations

import math

import pytest

from aitable_ros.ros_support.node.health import HealthLimits, Level, Vitals, judge

GOOD = {
    'state': 'active',
    'idle_s': 0.03,
    'input_rate_hz': 30.0,
    'latency_s': 0.04,
    'inputs': 150,
    'outputs': 150,
}


def verdict(**changes):
    return judge(Vitals(**{**GOOD, **changes}), HealthLimits())


@pytest.mark.parametrize(
    ('changes', 'level', 'text'),
    [
        ({}, Level.OK, 'running'),
        ({'inputs': 0, 'outputs': 0, 'latency_s': math.nan}, Level.OK, 'waiting for input'),
        ({'inputs': 0, 'needs_input': False}, Level.OK, 'running'),
        ({'enabled': False, 'idle_s': 99.0}, Level.OK, 'disabled'),
        ({'state': 'inactive'}, Level.WARN, 'not active: inactive'),
        ({'state': 'inactive', 'enabled': False}, Level.WARN, 'not active: inactive'),
        ({'problem': 'no model'}, Level.ERROR, 'no model'),
        ({'problem': 'no model', 'problem_is_error': False}, Level.WARN, 'no model'),
        ({'idle_s': 4.0}, Level.WARN, 'no input for 4 s'),
        ({'idle_s': 4.0, 'needs_input': False}, Level.OK, 'running'),
        ({'input_rate_hz': 0.5}, Level.WARN, 'input comes at 0.5 Hz'),
        ({'input_rate_hz': 0.5, 'settled': False}, Level.OK, 'running'),
        ({'overtaken': 135}, Level.WARN, '90% of the inputs are overtaken'),
        ({'overtaken': 60}, Level.OK, 'running'),
        ({'latency_s': 0.7}, Level.WARN, 'latency 700 ms'),
        ({'latency_s': 2.5}, Level.ERROR, 'latency 2500 ms'),
        ({'latency_s': 1e8}, Level.WARN, 'stamps are not of this clock'),
        ({'latency_s': -1e8}, Level.WARN, 'stamps are not of this clock'),
        ({'malformed': 2}, Level.WARN, '2 malformed images'),
        ({'failures': 1, 'last_error': 'oops'}, Level.WARN, '1 inputs failed: oops'),
        ({'failures': 150, 'outputs': 0, 'last_error': 'GPU'}, Level.ERROR, 'failed: GPU'),
        ({'reload_problem': 'no file'}, Level.WARN, 'reload failed'),
        ({'notice': 'the camera is lost'}, Level.WARN, 'the camera is lost'),
    ],
)
def test_each_finding(changes, level, text):
    found, message = verdict(**changes)
    assert found == level
    assert text in message


def test_all_findings_are_said_the_worst_first():
    level, message = verdict(malformed=3, latency_s=3.0, overtaken=150)
    assert level == Level.ERROR
    assert message.split('; ') == [
        'latency 3000 ms',
        '3 malformed images',
        '100% of the inputs are overtaken',
    ]


def test_thresholds_are_those_that_are_given():
    vitals = Vitals(**{**GOOD, 'latency_s': 0.2, 'input_rate_hz': 8.0, 'idle_s': 1.5})
    limits = HealthLimits(warn_latency=0.1, error_latency=0.15, min_rate=10.0, stale_after=2.0)
    level, message = judge(vitals, limits)
    assert level == Level.ERROR
    assert message == 'latency 200 ms; input comes at 8.0 Hz'
    relaxed = HealthLimits(min_rate=0.0, stale_after=2.0)
    assert judge(vitals, relaxed) == (Level.OK, 'running')


def test_an_error_below_the_warning_is_refused():
    with pytest.raises(ValueError, match='error_latency'):
        HealthLimits(warn_latency=1.0, error_latency=0.5)
