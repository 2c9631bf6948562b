# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from aitable_msgs.msg import Fatigue, Posture
from aitable_ros.perception.posture.body_keypoints import KEYPOINT_COUNT, BodyKeypoint
from aitable_ros.ros_support.display.posture_markers import (
    BODY,
    LABEL,
    PostureMarkers,
    body_points_m,
)

K = BodyKeypoint
HEADER = Header(frame_id='camera_optical_frame')
HEAD_M = (0.1, -0.2, 0.7)


def posture(**fields) -> Posture:
    """A body whose eyes are 0.4 m above the origin of its world, seen as a whole."""
    world = np.zeros((KEYPOINT_COUNT, 3), np.float32)
    world[K.NOSE] = (0.0, -0.38, -0.03)
    world[K.LEFT_EYE], world[K.RIGHT_EYE] = (0.03, -0.4, 0.0), (-0.03, -0.4, 0.0)
    world[K.LEFT_SHOULDER], world[K.RIGHT_SHOULDER] = (0.18, -0.2, 0.05), (-0.18, -0.2, 0.05)
    message = Posture(
        header=HEADER,
        state=Posture.SLOUCHING,
        keypoints=[100.0] * (2 * KEYPOINT_COUNT),
        visibility=[0.9] * KEYPOINT_COUNT,
        world=world.ravel().tolist(),
        camera_distance=0.7,
        eye_desk_distance=math.nan,
    )
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def fatigue(**fields) -> Fatigue:
    message = Fatigue(header=HEADER, face_id='f1', head_pose_valid=True)
    point = message.head_position
    point.x, point.y, point.z = HEAD_M
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def test_the_eyes_are_where_the_head_pose_has_them():
    points = body_points_m(posture(), fatigue())
    eyes = points[[K.LEFT_EYE, K.RIGHT_EYE]].mean(axis=0)
    np.testing.assert_allclose(eyes, HEAD_M, atol=1e-6)
    np.testing.assert_allclose(points[K.LEFT_SHOULDER] - eyes, (0.18, 0.2, 0.05), atol=1e-6)


def test_what_is_not_seen_is_left_out():
    seen = [0.9] * KEYPOINT_COUNT
    seen[K.LEFT_SHOULDER] = 0.3
    points = body_points_m(posture(visibility=seen), fatigue())
    assert np.isnan(points[K.LEFT_SHOULDER]).all()
    bones, label = PostureMarkers().update(HEADER, posture(visibility=seen), fatigue())
    whole, _ = PostureMarkers().update(HEADER, posture(), fatigue())
    # the left shoulder has lines to the other one, the elbow and the hip
    assert len(whole.points) - len(bones.points) == 2 * 3
    assert all(map(math.isfinite, (label.pose.position.x, label.pose.position.y)))


@pytest.mark.parametrize(
    ('body', 'face'),
    [
        (posture(), None),
        (posture(), fatigue(head_pose_valid=False)),
        (posture(world=[]), fatigue()),
        (posture(keypoints=[], visibility=[], world=[]), fatigue()),
        (posture(visibility=[0.1] * KEYPOINT_COUNT), fatigue()),
    ],
    ids=['no face', 'no head pose', 'two dimensions', 'nobody', 'hidden'],
)
def test_without_a_place_there_is_no_body(body, face):
    assert body_points_m(body, face) is None
    assert PostureMarkers().update(HEADER, body, face) == []


def test_markers_say_how_the_person_sits():
    bones, label = PostureMarkers(lifetime_s=0.5).update(HEADER, posture(), fatigue())
    assert (bones.ns, bones.type, bones.action) == (BODY, Marker.LINE_LIST, Marker.ADD)
    assert (label.ns, label.type) == (LABEL, Marker.TEXT_VIEW_FACING)
    assert label.text == 'slouching\ncamera 70 cm'
    assert label.pose.position.y > HEAD_M[1] + 0.2
    for marker in (bones, label):
        assert marker.header == HEADER
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (0, 500_000_000)
        assert marker.pose.orientation.w == 1.0
    assert bones.color == label.color


def test_who_left_is_deleted_once():
    markers = PostureMarkers()
    drawn = markers.update(HEADER, posture(), fatigue())
    gone = markers.update(HEADER, None, None)
    assert {(m.ns, m.id, m.action) for m in gone} == {(m.ns, m.id, Marker.DELETE) for m in drawn}
    assert markers.update(HEADER, None, None) == []
