# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest

from aitable_ros.perception.emotion.expression import EmotionEstimate
from aitable_ros.perception.faces.pipeline import TrackedFace
from aitable_ros.perception.fatigue.monitor import FatigueMonitor, FatigueSample
from aitable_ros.perception.fatigue.observer import FatigueReading
from aitable_ros.perception.posture.measure import PostureSample
from aitable_ros.perception.posture.monitor import PostureMonitor
from aitable_ros.perception.posture.observer import PostureReading
from aitable_ros.tools.support.tables import ReadingTable, columns

FACE = TrackedFace(
    'f1',
    np.array((1, 2, 30, 40), np.float32),
    0.9,
    0.8,
    np.zeros((6, 2), np.float32),
    None,
    0.0,
)
STATE = FatigueMonitor().update(0.0, FatigueSample(math.nan, math.nan))
FATIGUE = FatigueReading(FACE, STATE, None, '').fields()
POSTURE = PostureReading(PostureMonitor().update(0.0, PostureSample()), None, 'f1', (640, 480), '')


def rows_of(*, extra=(), source='here', **image):
    file = io.StringIO()
    table = ReadingTable(file, extra)
    table.add_image(source, 1_700_000_000.125, **image)
    return list(csv.DictReader(io.StringIO(file.getvalue())))


def test_a_face_is_a_row_in_the_words_of_the_messages():
    (row,) = rows_of(
        faces=[FACE],
        emotions={'f1': EmotionEstimate.unknown('geometry')},
        fatigues={'f1': FATIGUE},
        posture=POSTURE.fields(),
        extra=('note',),
        note='x',
    )
    assert tuple(row) == (*columns(), 'note')
    assert (row['source'], row['stamp'], row['note']) == ('here', '1700000000.125000000', 'x')
    assert (row['face_id'], row['x'], row['height'], row['confidence']) == ('f1', '1', '40', '0.9')
    assert (row['expression'], row['visibility'], row['level']) == (
        'unknown',
        'measured',
        'unknown',
    )
    assert (row['posture_state'], row['posture_person_id']) == ('unknown', 'f1')
    assert (row['perclos'], row['perclos_valid'], row['blink_count']) == ('', '0', '0')


def test_what_was_not_read_of_an_image_is_empty():
    (row,) = rows_of(faces=[FACE], emotions={}, fatigues={})
    assert {row[name] for name in columns()[9:]} == {''}


def test_a_body_without_a_face_has_a_row_of_its_own():
    alone = replace(POSTURE, person_id='f7').fields()
    face, body = rows_of(faces=[FACE], emotions={}, fatigues={}, posture=alone)
    assert (face['face_id'], face['posture_state']) == ('f1', '')
    assert (body['face_id'], body['posture_state']) == ('', 'unknown')


def test_a_file_s_name_need_not_be_valid_utf_8():
    (row,) = rows_of(source='\udcff.jpg', faces=[FACE], emotions={}, fatigues={})
    assert row['source'] == r'\udcff.jpg'


def test_a_message_gives_the_same_fields():
    pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')
    from std_msgs.msg import Header

    from aitable_ros.ros_support.messages.posture import posture_to_message
    from aitable_ros.ros_support.messages.results import fatigue_to_message
    from aitable_ros.tools.support.tables import message_fields

    reading = FatigueReading(FACE, STATE, None, '')
    of_message = message_fields(fatigue_to_message(reading, Header()))
    assert list(of_message) == list(FATIGUE)
    assert [str(int(v)) if v == v else 'nan' for v in map(_number, of_message.values())] == [
        str(int(v)) if v == v else 'nan' for v in map(_number, FATIGUE.values())
    ]
    assert list(message_fields(posture_to_message(POSTURE, Header()))) == list(POSTURE.fields())


def _number(value):
    return 0.0 if isinstance(value, str) else float(value)
