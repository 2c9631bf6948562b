# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The generator gives what its truth says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitable_ros.perception.fatigue.eye_openness import eye_aspect_ratios, mouth_aspect_ratio
from aitable_ros.simulation.script import LidClosure, Person, Script, Span
from aitable_ros.simulation.synthetic_face import camera_stamps, face_landmarks, film


def test_landmarks_measure_what_was_asked_for():
    points = face_landmarks(0.31, 0.12, 0.65)
    assert points.shape == (468, 3)
    assert points.dtype == np.float32
    ears = eye_aspect_ratios(points)
    assert ears.left == pytest.approx(0.31, abs=1e-4)
    assert ears.right == pytest.approx(0.12, abs=1e-4)
    assert mouth_aspect_ratio(points) == pytest.approx(0.65, abs=1e-4)


def test_turning_foreshortens():
    pitch, yaw = math.radians(20), math.radians(30)
    pitched = eye_aspect_ratios(face_landmarks(0.3, 0.3, 0.0, 0.0, pitch))
    assert pitched.left == pytest.approx(0.3 * math.cos(pitch), abs=1e-4)
    turned = eye_aspect_ratios(face_landmarks(0.3, 0.3, 0.0, yaw, 0.0))
    assert turned.left == pytest.approx(0.3 / math.cos(yaw), abs=1e-4)


@pytest.mark.parametrize('duration_s', [0.08, 0.2, 0.4, 3.0])
def test_a_closure_is_closed_from_start_to_end(duration_s):
    closure = LidClosure(1.0, 1.0 + duration_s)
    times_s = np.arange(0, 5, 1e-4)
    closed = times_s[Script(5.0, blinks=(closure,)).openness(times_s) <= 0.2]
    assert closed[0] == pytest.approx(1.0, abs=2e-4)
    assert closed[-1] == pytest.approx(1.0 + duration_s, abs=2e-4)


def test_lids_have_their_speed():
    with pytest.raises(ValueError, match='lids cannot'):
        LidClosure(1.0, 1.05)


def test_stamps_have_rate_jitter_and_drops():
    rng = np.random.default_rng(0)
    stamps_s = camera_stamps(rng, 30.0, 100.0, start_s=5.0, jitter=0.3, drop=0.3)
    assert stamps_s.size == pytest.approx(2100, rel=0.05)
    steps_s = np.diff(stamps_s)
    assert (steps_s > 0).all()
    assert steps_s.min() < 0.5 / 30
    assert steps_s.max() > 3 / 30
    assert abs(stamps_s[0] - 5.0) < 0.2


def test_dropouts_have_no_landmarks():
    script = Script(2.0, dropouts=(Span(0.5, 1.0),))
    frames = list(film(script, Person(), np.arange(0, 2, 0.1), np.random.default_rng(0)))
    missing = [frame.stamp_s for frame in frames if frame.landmarks_px is None]
    assert missing == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9])


def test_a_script_knows_its_perclos():
    script = Script(duration_s=10.0, dropouts=(Span(5.0, 10.0),))
    assert script.perclos(0.0, 10.0, math.pi) == 0.0
    assert math.isnan(script.perclos(6.0, 9.0, math.pi))
