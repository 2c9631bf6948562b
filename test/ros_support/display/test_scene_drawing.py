# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What is drawn of who is in a message, and what is hidden."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from posed_faces import seen_face
from std_msgs.msg import Header

from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.ros_support.display.scene_input import Scene, draw
from aitable_ros.ros_support.messages.results import faces_to_message
from aitable_ros.visualization.overlay.privacy import LastPlaces
from aitable_ros.visualization.overlay.privacy_modes import BLUR, NONE

PARAMETERS = {'draw_mesh': False, 'draw_axes': False, 'draw_posture': False}


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (480, 640, 3), dtype=np.uint8)


def drawn(image, privacy, *, waits):
    face = seen_face()
    if waits:
        waiting = [replace(face, landmarks_px=None, presence=math.nan)]
        seen = SeenFaces(1.0, (640, 480), [], '', waiting=waiting)
    else:
        seen = SeenFaces(1.0, (640, 480), [face])
    message = faces_to_message(seen, Header())
    x, y, width, height = face.xywh_px.astype(int).tolist()
    shown = draw(
        message, image, Scene({}, {}, None, {}), LastPlaces(), {**PARAMETERS, 'privacy': privacy}
    )
    return shown, np.s_[y : y + height, x : x + width]


@pytest.mark.parametrize('waits', [False, True])
def test_a_face_is_marked_whether_it_was_measured_or_waits(image, waits):
    shown, _ = drawn(image, NONE, waits=waits)
    assert (shown != image).any()


@pytest.mark.parametrize('waits', [False, True])
def test_a_face_is_blurred_whether_it_was_measured_or_waits(image, waits):
    shown, face = drawn(image, BLUR, waits=waits)
    assert (
        np.diff(shown[face].astype(int), axis=1).std()
        < 0.5 * np.diff(image[face].astype(int), axis=1).std()
    )
