# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A turned face is brought to the front; the bands of neutral faces have their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from posed_faces import NEUTRAL_SHAPE, to_image

from aitable_ros.perception.emotion.face_measures import frontalise


def test_the_pose_is_measured():
    face = frontalise(to_image(NEUTRAL_SHAPE, yaw=0.4, pitch=0.2, eye_span_px=70.0))
    assert face.yaw_rad == pytest.approx(0.4, abs=0.02)
    assert face.pitch_rad == pytest.approx(0.2, abs=0.03)
    assert face.turn_rad == pytest.approx(math.acos(math.cos(0.4) * math.cos(0.2)), abs=0.02)
    assert face.eye_span_px == pytest.approx(70.0, rel=0.01)
    assert face.residual < 0.005
    np.testing.assert_allclose(
        list(face.points.values()), NEUTRAL_SHAPE[list(face.points)], atol=0.005
    )
