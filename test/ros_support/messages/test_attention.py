# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Attention, events and alerts as messages; and faces brought together with their fatigue."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from std_msgs.msg import Header

from aitable_msgs.msg import Alert, Attention, Event, Face, FaceArray, Fatigue
from aitable_ros.perception.alerts.ladder import AlertLevel
from aitable_ros.perception.alerts.policy import AlertChange, Cause
from aitable_ros.perception.attention.gaze import GazeState
from aitable_ros.perception.attention.monitor import Source
from aitable_ros.perception.attention.natural_direction import Natural
from aitable_ros.perception.attention.zones import Zone
from aitable_ros.perception.events import EventKind, PersonEvent
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.perception.maths.rotation import rotate
from aitable_ros.ros_support.messages.alerts import (
    alert_to_message,
)
from aitable_ros.ros_support.messages.attention import (
    event_to_message,
    gaze_of,
    gaze_orientation,
    head_pose_from,
    time_of,
)
from aitable_ros.ros_support.messages.faces_with_fatigue import PATIENCE, FacesAndFatigue
from aitable_ros.ros_support.messages.hri import gaze_message
from aitable_ros.ros_support.messages.results import faces_from_message, faces_to_message
from aitable_ros.simulation.looking_face import (
    SIZE_PX,
    Looking,
    looking_face,
    looking_landmarks,
)

HEADER = Header(frame_id='camera')


@pytest.mark.parametrize(
    ('enumeration', 'message', 'prefix'),
    [
        (GazeState, Attention, ''),
        (Zone, Attention, ''),
        (Source, Attention, 'SOURCE_'),
        (Natural, Attention, ''),
        (EventKind, Event, ''),
        (Cause, Alert, ''),
        (AlertLevel, Alert, ''),
        (Seeing, FaceArray, ''),
    ],
)
def test_the_constants_are_those_of_the_observers(enumeration, message, prefix) -> None:
    for one in enumeration:
        assert getattr(message, prefix + one.name) == one


def test_an_event_has_its_start_in_header_time() -> None:
    event = PersonEvent(EventKind.NOD, 'f1', 1700000000.25, 1.5, 0.3, True)
    message = event_to_message(event, HEADER)
    assert (message.start.sec, message.start.nanosec) == (1700000000, 250000000)
    assert (message.person_id, message.kind, message.duration) == ('f1', Event.NOD, 1.5)
    assert message.truncated


def test_times_before_1970_and_unknown_ones() -> None:
    assert time_of(-1.5).sec == -2
    assert time_of(-1.5).nanosec == 500000000
    for no_time in (math.nan, math.inf, -math.inf, 1e30):
        assert time_of(no_time).sec == 0


def test_an_alert() -> None:
    change = AlertChange('f1', Cause.ASLEEP, AlertLevel.WARNING, 'eyes closed for 2 s', 5.0)
    message = alert_to_message(change, HEADER)
    assert (message.cause, message.level, message.since.sec) == (Alert.ASLEEP, Alert.WARNING, 5)
    assert not message.acknowledged


@pytest.mark.parametrize(
    'direction', [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (0.0, 0.6, -0.8), (0.0, 1.0, 0.0)]
)
def test_the_frame_of_a_gaze_looks_along_it_and_stands_level(direction) -> None:
    turn = gaze_orientation(direction)
    assert rotate(turn, (0.0, 0.0, 1.0)) == pytest.approx(direction, abs=1e-9)
    right, down = rotate(turn, (1.0, 0.0, 0.0)), rotate(turn, (0.0, 1.0, 0.0))
    assert right[1] == pytest.approx(0.0, abs=1e-9)
    assert down[1] >= -1e-9
    # who looks at the camera has their right on the image's left
    assert right[0] <= 0.0


def test_a_gaze_that_is_none() -> None:
    message = Attention(header=HEADER, gaze_valid=True)
    assert gaze_of(message) is None  # no direction
    message.gaze_direction.z = -1.0
    assert gaze_of(message, HEADER) == (0.0, 0.0, -1.0)
    other = Header()
    other.stamp.sec = 7
    assert gaze_of(message, other) is None
    message.gaze_valid = False
    assert gaze_of(message) is None
    assert gaze_of(None) is None


def test_poses_that_are_none() -> None:
    message = Fatigue(head_pose_valid=True)
    assert head_pose_from(message) is None  # a quaternion of zeros
    message.head_orientation.w = 1.0
    assert head_pose_from(message) is None  # not before the camera
    message.head_position.z = 0.5
    pose = head_pose_from(message)
    assert pose is not None
    assert pose.distance_m == 0.5
    message.head_pose_valid = False
    assert head_pose_from(message) is None


def test_ros4hri_hears_of_looks_at_the_table() -> None:
    types = SimpleNamespace(Gaze=SimpleNamespace)
    gaze = gaze_message(types, Attention(face_id='f1', zone=Attention.FRONT))
    assert (gaze.sender, gaze.receiver) == ('f1', '')
    assert gaze_message(types, Attention(face_id='f1', zone=Attention.DESK)) is None
    assert gaze_message(SimpleNamespace(), Attention(zone=Attention.FRONT)) is None


class TestFacesAndFatigue:
    def header(self, stamp: int) -> Header:
        header = Header()
        header.stamp.sec = stamp
        return header

    def faces(self, stamp: int, *ids: str) -> FaceArray:
        return FaceArray(header=self.header(stamp), faces=[Face(face_id=i) for i in ids])

    def fatigue(self, stamp: int, face_id: str) -> Fatigue:
        return Fatigue(header=self.header(stamp), face_id=face_id)

    def test_an_image_waits_for_all_of_its_faces(self) -> None:
        pairs = FacesAndFatigue()
        assert list(pairs.faces(self.faces(1, 'f1', 'f2'))) == []
        assert list(pairs.fatigue(self.fatigue(1, 'f2'))) == []
        (found,) = pairs.fatigue(self.fatigue(1, 'f1'))
        assert set(found.fatigues) == {'f1', 'f2'}

    def test_an_image_without_faces_waits_for_those_before_it_alone(self) -> None:
        pairs = FacesAndFatigue()
        assert len(list(pairs.faces(self.faces(1)))) == 1
        assert list(pairs.faces(self.faces(2, 'f1'))) == []
        assert list(pairs.faces(self.faces(3))) == []
        stamps = [f.stamp_ns for f in pairs.fatigue(self.fatigue(2, 'f1'))]
        assert stamps == [2_000_000_000, 3_000_000_000]

    def test_fatigue_may_come_first(self) -> None:
        pairs = FacesAndFatigue()
        assert list(pairs.fatigue(self.fatigue(1, 'f1'))) == []
        assert len(list(pairs.faces(self.faces(1, 'f1')))) == 1

    def test_what_is_missing_for_long_is_left_out(self) -> None:
        pairs, found = FacesAndFatigue(), []
        found += pairs.faces(self.faces(0, 'f1'))
        for stamp in range(1, PATIENCE + 5):
            found += pairs.faces(self.faces(stamp, 'f1'))
            found += pairs.fatigue(self.fatigue(stamp, 'f1'))
        assert pairs.incomplete == 1
        assert [one.faces.header.stamp.sec for one in found] == list(range(1, PATIENCE + 5))

    def test_faces_that_nobody_takes_are_not_waited_for(self) -> None:
        assert len(list(FacesAndFatigue().faces(self.faces(1, 'not an id')))) == 1

    def test_images_of_one_stamp_have_each_their_own(self) -> None:
        pairs, found = FacesAndFatigue(), []
        for _ in range(2):
            found += pairs.faces(self.faces(1, 'f1'))
        for _ in range(2):
            found += pairs.fatigue(self.fatigue(1, 'f1'))
        assert len(found) == 2


def test_seeing_conditions_go_with_the_faces() -> None:
    face = looking_face(looking_landmarks(Looking()))
    dark = replace(face, views=replace(face.views, seeing=Seeing.TOO_DARK))
    message = faces_to_message(SeenFaces(1.0, SIZE_PX, [dark], '', Seeing.GLARE), HEADER)
    assert (message.seeing, message.faces[0].seeing) == (FaceArray.GLARE, FaceArray.TOO_DARK)
    seen = faces_from_message(message)
    assert (seen.seeing, seen.faces[0].views.seeing) == (Seeing.GLARE, Seeing.TOO_DARK)
    message.seeing = message.faces[0].seeing = 200  # of another version
    seen = faces_from_message(message)
    assert (seen.seeing, seen.faces[0].views.seeing) == (Seeing.CLEAR, Seeing.CLEAR)
