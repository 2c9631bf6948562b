# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is said of a small face, and what is not; docs/far_faces.md has the figures."""

from __future__ import annotations

import math
from contextlib import closing

import cv2
import numpy as np
import pytest

from aitable_ros.inference.selection import load_engine
from aitable_ros.perception.emotion.expression import UNKNOWN
from aitable_ros.perception.emotion.observer import EmotionObserver
from aitable_ros.perception.faces.observer import FaceObserver
from aitable_ros.perception.fatigue.blinks import EyeState
from aitable_ros.perception.fatigue.observer import FatigueObserver
from aitable_ros.perception.fatigue.visibility import Visibility

pytestmark = pytest.mark.models


@pytest.fixture(scope='module')
def faces(catalog, engines_dir):
    def load(names):
        return [load_engine(catalog[name], engines_dir=engines_dir) for name in names]

    with closing(FaceObserver.load(load)) as observer:
        yield observer


def read(faces, astronaut, width_px):
    """Read her face of 92 pixels, that wide in the middle of a picture."""
    scale = width_px / 92
    small = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.full((480, 640, 3), 110, np.uint8)
    x, y = round(320 - 225 * scale), round(240 - 115 * scale)
    height, width = min(small.shape[0], 480 - y), min(small.shape[1], 640 - x)
    image[y : y + height, x : x + width] = small[:height, :width]
    seen = faces.observe_still(image)
    (fatigue,) = FatigueObserver().observe_still(seen)
    (emotion,) = EmotionObserver().observe_still(seen, image)
    return fatigue, emotion.estimate


def test_of_a_face_of_40_pixels_box_and_head_pose_are_said_and_the_rest_is_unknown(
    faces, astronaut
):
    small, emotion = read(faces, astronaut, 40)
    full, _ = read(faces, astronaut, 92)
    assert small.face.xywh_px[2] == pytest.approx(40, abs=4)
    assert small.pose is not None
    turned_deg = math.degrees(abs(small.pose.yaw_rad - full.pose.yaw_rad))
    assert turned_deg < 8
    assert math.degrees(abs(small.pose.pitch_rad - full.pose.pitch_rad)) < 5
    state = small.state
    assert state.visibility is Visibility.TOO_SMALL
    assert state.eye_state is EyeState.UNKNOWN
    assert math.isnan(state.left_ear)
    assert math.isnan(state.mar)
    assert emotion.expression == UNKNOWN


def test_of_a_face_of_60_pixels_eyes_mouth_and_expression_are_said(faces, astronaut):
    middle, emotion = read(faces, astronaut, 60)
    full, of_full = read(faces, astronaut, 92)
    assert middle.state.visibility is Visibility.MEASURED
    assert middle.state.left_ear == pytest.approx(full.state.left_ear, abs=0.05)
    assert middle.state.mar == pytest.approx(full.state.mar, abs=0.06)
    assert emotion.expression == of_full.expression
