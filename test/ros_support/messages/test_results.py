# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Which faces of a message are taken, and that what is not measured stays so."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from posed_faces import seen_face
from std_msgs.msg import Header

from aitable_msgs.msg import Face, FaceArray
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.ros_support.messages.results import (
    MAX_FACES,
    faces_from_message,
    faces_taken,
    faces_to_message,
    is_identifier,
    keep_for_takers,
)


@pytest.mark.parametrize('face_id', ['f1', 'f48213_1', 'f', 'Face_12', 'abc', 'f' * 64])
def test_identifiers_start_with_a_letter(face_id):
    assert is_identifier(face_id)


@pytest.mark.parametrize(
    'face_id', ['', '1', '1f', '_f', 'f-1', 'f/1', 'f 1', 'f1\n', 'é', 'f' * 65, 'f' * 1_000_000]
)
def test_what_no_topic_can_be_named_after_is_no_identifier(face_id):
    assert not is_identifier(face_id)


def test_no_more_faces_than_can_be_followed_and_only_those_with_an_id():
    message = FaceArray(faces=[Face(face_id=f'f{i}') for i in range(1000)])
    message.faces[0].face_id = '../f0'
    assert [face.face_id for face in faces_taken(message.faces)] == [
        f'f{i}' for i in range(1, MAX_FACES + 1)
    ]


def test_who_waits_is_told_apart_and_has_no_landmarks():
    waiting = replace(seen_face('f2'), landmarks_px=None, presence=math.nan)
    seen = SeenFaces(1.0, (640, 480), [seen_face('f1')], 'test', waiting=[waiting])
    message = faces_to_message(seen, Header(frame_id='camera'))
    assert [face.face_id for face in message.faces] == ['f1']
    (face,) = message.waiting
    assert (face.face_id, face.header.frame_id, len(face.landmarks)) == ('f2', 'camera', 0)
    back = faces_from_message(message)
    assert [one.face_id for one in back.faces] == ['f1']
    assert [one.face_id for one in back.waiting] == ['f2']
    assert back.waiting[0].landmarks_px is None
    assert math.isnan(back.waiting[0].presence)
    assert back.waiting[0].xywh_px == pytest.approx(waiting.xywh_px)


def test_what_a_message_was_made_from_is_what_is_read_in_it():
    seen = SeenFaces(1.25, (640, 480), [seen_face('f1'), seen_face('f2')], 'test')
    header = Header(frame_id='camera')
    header.stamp.sec, header.stamp.nanosec = 1, 250_000_000
    message = faces_to_message(seen, header)
    read = faces_from_message(message)
    assert read is not seen
    for face, original in zip(read.faces, seen.faces):
        for field in fields(face):
            value, expected = (getattr(one, field.name) for one in (face, original))
            np.testing.assert_array_equal(value, expected, err_msg=field.name)
    rest = {'faces': (), 'waiting': ()}
    assert repr(replace(read, **rest)) == repr(replace(seen, **rest))

    assert faces_from_message(keep_for_takers(message, seen)) is seen
    assert faces_from_message(faces_to_message(seen, header)) is not seen  # another message
