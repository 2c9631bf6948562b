# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from aitable_msgs.msg import Emotion, Fatigue
from aitable_ros.ros_support.messages.scalars import scalars_of, to_json


def test_numbers_truth_values_and_texts_come_by_their_names():
    fields = scalars_of(Fatigue(face_id='f1', level=3, eyes_closed=True), without=('face_id',))
    assert fields['level'] == 3
    assert fields['eyes_closed'] is True
    assert fields['level_reason'] == ''
    assert not {'header', 'head_position', 'face_id'} & set(fields)
    assert 'probabilities' not in scalars_of(Emotion())


def test_what_is_not_measured_is_null_at_any_depth():
    text = to_json({'a': math.nan, 'b': [1.0, -math.inf, {'c': (math.inf,)}]})
    assert text == '{"a":null,"b":[1.0,null,{"c":[null]}]}'


def test_stamps_stay_what_they_are():
    assert json.loads(to_json([1796022073.9943])) == [1796022073.9943]
    assert to_json('Zoë "1"') == '"Zoë \\"1\\""'
