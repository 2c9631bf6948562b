# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from aitable_msgs.msg import Attention, Emotion, Fatigue
from aitable_ros.perception.maths.rotation import product, rotate
from aitable_ros.ros_support.display.face_markers import (
    AXES,
    DIRECTION,
    GAZE,
    GAZE_LENGTH_M,
    HEAD,
    HEAD_SIZE_M,
    LABEL,
    LABEL_ABOVE_M,
    NAMESPACES,
    FaceMarkers,
    label_text,
)
from aitable_ros.visualization.overlay.face_overlay import ZONE_COLOURS

# a face that looks against the camera's viewing direction, in the optical frame
FACING = (0.5, 0.5, -0.5, 0.5)


def header(stamp_s: int = 7) -> Header:
    result = Header(frame_id='camera_optical_frame')
    result.stamp.sec = stamp_s
    return result


def fatigue(face_id='f1', position_m=(0.1, -0.05, 0.6), orientation=FACING, **fields) -> Fatigue:
    message = Fatigue(header=header(), face_id=face_id, head_pose_valid=True, perclos=math.nan)
    point, q = message.head_position, message.head_orientation
    point.x, point.y, point.z = position_m
    q.x, q.y, q.z, q.w = orientation
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def emotion(face_id='f1', **fields) -> Emotion:
    given = {'expression': Emotion.HAPPY, 'label': 'happy', 'confidence': 0.6, **fields}
    return Emotion(header=header(), face_id=face_id, **given)


def update(markers, *fatigues, emotions=(), stamp_s=7):
    array = markers.update(
        header(stamp_s), {f.face_id: f for f in fatigues}, {e.face_id: e for e in emotions}
    )
    return array.markers


def by_namespace(markers):
    assert len({m.ns for m in markers}) == len(markers)
    return {m.ns: m for m in markers}


def colour(marker):
    return tuple(round(255 * v) for v in (marker.color.r, marker.color.g, marker.color.b))


def test_a_face_is_a_head_with_axes_a_direction_and_a_label():
    parts = by_namespace(update(FaceMarkers(), fatigue()))
    assert set(parts) == set(NAMESPACES)
    assert parts[HEAD].type == Marker.SPHERE
    assert parts[AXES].type == Marker.LINE_LIST
    assert parts[DIRECTION].type == Marker.ARROW
    assert parts[LABEL].type == Marker.TEXT_VIEW_FACING
    for marker in parts.values():
        assert marker.action == Marker.ADD
        assert marker.header == header()
        assert marker.color.a > 0.0 or marker.colors


def test_the_head_is_behind_the_face_and_the_label_above_it():
    """Seen from the camera, which looks along z with y down."""
    parts = by_namespace(update(FaceMarkers(), fatigue()))
    head, label = parts[HEAD].pose.position, parts[LABEL].pose.position
    assert head.x == pytest.approx(0.1)
    assert 0.6 < head.z < 0.6 + HEAD_SIZE_M[0]
    # the sellion lies on the ellipsoid, nearly
    assert head.z - HEAD_SIZE_M[0] / 2 == pytest.approx(0.6, abs=0.01)
    assert (label.x, label.z) == pytest.approx((0.1, 0.6))
    assert label.y == pytest.approx(-0.05 - LABEL_ABOVE_M)
    scale = parts[HEAD].scale
    assert (scale.x, scale.y, scale.z) == HEAD_SIZE_M


def test_axes_and_direction_are_those_of_the_face_frame():
    turned = product(from_yaw_pitch_roll(0.4, 0.1, -0.2), FACING)
    parts = by_namespace(update(FaceMarkers(), fatigue(orientation=turned)))
    for name in (AXES, DIRECTION):
        pose = parts[name].pose
        assert (pose.position.x, pose.position.y, pose.position.z) == (0.1, -0.05, 0.6)
        q = pose.orientation
        for axis in np.eye(3):
            np.testing.assert_allclose(
                rotate((q.x, q.y, q.z, q.w), axis), rotate(turned, axis), atol=1e-9
            )
    axes = parts[AXES]
    ends = np.array([(p.x, p.y, p.z) for p in axes.points]).reshape(3, 2, 3)
    np.testing.assert_array_equal(ends[:, 0], 0.0)
    np.testing.assert_array_equal(ends[:, 1] > 0.0, np.eye(3, dtype=bool))
    # RViz's colours: x red, y green, z blue
    strongest = [np.argmax((c.r, c.g, c.b)) for c in axes.colors]
    assert strongest == [0, 0, 1, 1, 2, 2]
    start, end = parts[DIRECTION].points
    assert (start.x, start.y, start.z) == (0.0, 0.0, 0.0)
    assert end.x > 0.2
    assert (end.y, end.z) == (0.0, 0.0)


def test_the_colour_of_the_head_tells_the_level_and_that_of_the_arrow_the_eyes():
    def colours(**fields):
        parts = by_namespace(update(FaceMarkers(), fatigue(**fields)))
        return colour(parts[HEAD]), colour(parts[DIRECTION])

    alert = colours(level=Fatigue.LEVEL_ALERT, eye_state=Fatigue.EYES_OPEN)
    asleep = colours(level=Fatigue.LEVEL_ASLEEP, eye_state=Fatigue.EYES_CLOSED, eyes_closed=True)
    unknown = colours()
    assert len({alert[0], asleep[0], unknown[0]}) == 3
    assert len({alert[1], asleep[1], unknown[1]}) == 3
    assert np.argmax(alert[0]) == 1
    assert np.argmax(asleep[0]) == np.argmax(asleep[1]) == 0


def test_ids_stay_with_the_face():
    markers = FaceMarkers()
    first = update(markers, fatigue('f1'), fatigue('f2'))
    ids = {m.id for m in first}
    assert len(ids) == 2
    assert {(m.ns, m.id) for m in first} == {(ns, i) for ns in NAMESPACES for i in ids}
    again = update(markers, fatigue('f2'), fatigue('f1'))
    place = {m.id: m.pose.position for m in first if m.ns == HEAD}
    assert {m.id: m.pose.position for m in again if m.ns == HEAD} == place
    assert all(m.action == Marker.ADD for m in again)


def test_a_face_that_left_is_deleted_once():
    markers = FaceMarkers()
    (left,) = {m.id for m in update(markers, fatigue('f1'))}
    deleted = update(markers, stamp_s=8)
    assert {(m.ns, m.id, m.action) for m in deleted} == {
        (ns, left, Marker.DELETE) for ns in NAMESPACES
    }
    assert all(m.header == header(8) for m in deleted)
    assert update(markers) == []
    assert {m.id for m in update(markers, fatigue('f2'))}.isdisjoint({left})


def test_a_face_without_pose_has_no_place():
    markers = FaceMarkers()
    update(markers, fatigue('f1'))
    lost = update(markers, fatigue('f1', head_pose_valid=False))
    assert {m.action for m in lost} == {Marker.DELETE}
    assert update(markers) == []


@pytest.mark.parametrize(
    'broken',
    [
        {'position_m': (math.nan, 0.0, 0.6)},
        {'position_m': (math.inf, 0.0, 0.6)},
        {'orientation': (math.nan, 0.0, 0.0, 1.0)},
        {'orientation': (0.0, 0.0, 0.0, 0.0)},
    ],
)
def test_a_pose_that_is_none_is_not_drawn(broken):
    assert update(FaceMarkers(), fatigue(**broken)) == []


@pytest.mark.parametrize(('lifetime_s', 'expected'), [(1.0, (1, 0)), (0.25, (0, 250_000_000))])
def test_markers_end_by_themselves(lifetime_s, expected):
    for marker in update(FaceMarkers(lifetime_s), fatigue()):
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == expected


def test_the_label_says_what_is_known():
    assert label_text(fatigue(), None) == 'f1'
    assert label_text(fatigue(), emotion()) == 'f1  happy 60%'
    assert label_text(fatigue(), emotion(expression=Emotion.UNKNOWN, label='unknown')) == 'f1'
    assert label_text(fatigue(), emotion(confidence=math.nan)) == 'f1  happy'
    known = fatigue(perclos=0.123, level=Fatigue.LEVEL_MILD)
    assert label_text(known, emotion()) == 'f1  happy 60%\nPERCLOS 12%\nmild'


def test_the_label_is_of_the_same_face():
    markers = update(
        FaceMarkers(),
        fatigue('f1'),
        fatigue('f2'),
        emotions=[emotion('f2'), emotion('f9', label='sad')],
    )
    assert {m.text for m in markers if m.ns == LABEL} == {'f1', 'f2  happy 60%'}


def attention(face_id='f1', **fields) -> Attention:
    given = {'gaze_valid': True, 'zone': Attention.DESK, **fields}
    message = Attention(header=header(), face_id=face_id, **given)
    vector = message.gaze_direction
    vector.x, vector.y, vector.z = 0.0, 0.6, -0.8
    return message


def test_the_gaze_is_an_arrow_along_it_while_it_is_known():
    markers, header_7 = FaceMarkers(), header()
    looks = {'f1': attention()}
    parts = by_namespace(markers.update(header_7, {'f1': fatigue()}, {}, looks).markers)
    begin, end = parts[GAZE].points
    assert (begin.x, begin.y, begin.z) == pytest.approx((0.1, -0.05, 0.6))
    along = np.array((end.x - begin.x, end.y - begin.y, end.z - begin.z)) / GAZE_LENGTH_M
    assert along == pytest.approx((0.0, 0.6, -0.8))
    assert colour(parts[GAZE]) == ZONE_COLOURS['desk']
    unknown = {'f1': attention(gaze_valid=False)}
    (gone,) = (
        m for m in markers.update(header_7, {'f1': fatigue()}, {}, unknown).markers if m.ns == GAZE
    )
    assert gone.action == Marker.DELETE
    again = markers.update(header_7, {'f1': fatigue()}, {}, unknown).markers
    assert {m.ns for m in again} == set(NAMESPACES)


def test_with_a_face_its_gaze_is_deleted():
    markers = FaceMarkers()
    markers.update(header(), {'f1': fatigue()}, {}, {'f1': attention()})
    left = markers.update(header(), {}, {}).markers
    assert {m.ns for m in left} == {*NAMESPACES, GAZE}
    assert {m.action for m in left} == {Marker.DELETE}
