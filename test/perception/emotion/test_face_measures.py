# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""A turned face is brought to the front; the bands of neutral faces have their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from posed_faces import NEUTRAL_SHAPE, to_image

from aitable_ros.perception.emotion.face_measures import NeutralBand, frontalise


def test_the_pose_is_measured():
    face = frontalise(to_image(NEUTRAL_SHAPE, yaw=0.4, pitch=0.2, eye_span_px=70.0))
    assert face.yaw_rad == pytest.approx(0.4, abs=0.02)
    assert face.pitch_rad == pytest.approx(0.2, abs=0.03)
    assert face.turn_rad == pytest.approx(math.acos(math.cos(0.4) * math.cos(0.2)), abs=0.02)
    assert face.eye_span_px == pytest.approx(70.0, rel=0.01)
    assert face.residual < 0.005
    np.testing.assert_allclose(face.points, NEUTRAL_SHAPE, atol=0.005)


@pytest.mark.parametrize('edges', [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf)])
def test_a_band_needs_edges_in_order(edges):
    with pytest.raises(ValueError, match='finite low < high'):
        NeutralBand(*edges)
