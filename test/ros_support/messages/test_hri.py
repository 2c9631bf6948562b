# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Messages of ROS4HRI. What needs hri_msgs itself is in test/nodes/test_hri_node.py."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from euler_angles import from_yaw_pitch_roll

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from aitable_msgs.msg import Emotion, Face, Fatigue
from aitable_ros.perception.maths.rotation import product, rotate
from aitable_ros.ros_support.messages.hri import (
    EXPRESSIONS,
    cropped_face,
    expression_message,
    gaze_transform,
    roi_message,
    sleepiness,
)

# any type with the fields that are set
TYPES = SimpleNamespace(NormalizedRegionOfInterest2D=SimpleNamespace, Expression=SimpleNamespace)
FACING = (0.5, 0.5, -0.5, 0.5)


def face(x=100.0, y=60.0, width=80.0, height=100.0, **fields) -> Face:
    given = {'image_width': 640, 'image_height': 480, 'confidence': 0.75, **fields}
    return Face(face_id='f1', x=x, y=y, width=width, height=height, **given)


def emotion(**fields) -> Emotion:
    given = {'expression': Emotion.HAPPY, 'confidence': 0.5, 'valence': 0.25, 'arousal': -0.5}
    return Emotion(face_id='f1', **{**given, **fields})


def test_the_region_is_the_box_as_shares_of_the_image():
    roi = roi_message(TYPES, face())
    assert roi.xmin == pytest.approx(100.5 / 640)
    assert roi.ymin == pytest.approx(60.5 / 480)
    assert roi.xmax == pytest.approx(180.5 / 640)
    assert roi.ymax == pytest.approx(160.5 / 480)
    assert roi.c == 0.75


def test_the_region_ends_with_the_image():
    roi = roi_message(TYPES, face(x=-50.0, y=400.0, width=100.0, height=200.0))
    assert (roi.xmin, roi.ymax) == (0.0, 1.0)
    assert 0.0 < roi.xmax < roi.ymin < 1.0


def test_a_region_without_score_has_no_confidence():
    assert roi_message(TYPES, face(confidence=math.nan)).c == 0.0


def test_expressions_have_the_words_of_rep_155():
    words = {code: expression_message(TYPES, emotion(expression=code)) for code in EXPRESSIONS}
    assert {code: m.expression for code, m in words.items()} == {
        Emotion.NEUTRAL: 'neutral',
        Emotion.HAPPY: 'happy',
        Emotion.SAD: 'sad',
        Emotion.SURPRISE: 'surprised',
        Emotion.FEAR: 'scared',
        Emotion.DISGUST: 'disgusted',
        Emotion.ANGER: 'angry',
    }
    assert {m.confidence for m in words.values()} == {0.5}


@pytest.mark.parametrize('code', [Emotion.CONTEMPT, Emotion.UNKNOWN])
def test_what_has_no_word_has_valence_and_arousal_alone(code):
    message = expression_message(TYPES, emotion(expression=code))
    assert (message.expression, message.confidence) == ('', 0.0)
    assert (message.valence, message.arousal) == (0.25, -0.5)


def test_valence_and_arousal_that_were_not_measured_are_not_neutral():
    message = expression_message(TYPES, emotion(valence=math.nan, arousal=3.0))
    assert math.isnan(message.valence)
    assert message.arousal == 1.0


def test_sleep_takes_the_place_of_the_expression():
    message = expression_message(TYPES, emotion(), 'asleep', 0.9)
    assert (message.expression, message.confidence) == ('asleep', 0.9)
    assert message.valence == 0.25


@pytest.mark.parametrize(
    ('level', 'without_tired', 'with_tired'),
    [
        (Fatigue.LEVEL_UNKNOWN, '', ''),
        (Fatigue.LEVEL_ALERT, '', ''),
        (Fatigue.LEVEL_MILD, '', ''),
        (Fatigue.LEVEL_SEVERE, '', 'tired'),
        (Fatigue.LEVEL_MICROSLEEP, '', 'tired'),
        (Fatigue.LEVEL_ASLEEP, 'asleep', 'asleep'),
    ],
)
def test_levels_of_fatigue_as_expressions(level, without_tired, with_tired):
    assert sleepiness(Fatigue(level=level), tired=False) == without_tired
    assert sleepiness(Fatigue(level=level), tired=True) == with_tired
    assert sleepiness(None, tired=True) == ''


def fatigue(orientation=FACING, valid=True) -> Fatigue:
    message = Fatigue(face_id='f1', head_pose_valid=valid)
    message.header.frame_id = 'camera_optical_frame'
    point, q = message.head_position, message.head_orientation
    point.x, point.y, point.z = 0.1, 0.2, 0.6
    q.x, q.y, q.z, q.w = orientation
    return message


def test_gaze_is_an_optical_frame_along_the_heads_x_axis():
    orientation = product(from_yaw_pitch_roll(0.3, -0.2, 0.1), FACING)
    transform = gaze_transform(fatigue(orientation))
    assert transform.header.frame_id == 'camera_optical_frame'
    assert transform.child_frame_id == 'gaze_f1'
    place = transform.transform.translation
    assert (place.x, place.y, place.z) == (0.1, 0.2, 0.6)
    q = transform.transform.rotation
    gaze = (q.x, q.y, q.z, q.w)
    ahead, left, up = np.eye(3)
    for axis, of_face in (((0, 0, 1), ahead), ((1, 0, 0), -left), ((0, 1, 0), -up)):
        np.testing.assert_allclose(rotate(gaze, axis), rotate(orientation, of_face), atol=1e-9)


def test_without_head_pose_there_is_no_gaze():
    assert gaze_transform(fatigue(valid=False)) is None
    assert gaze_transform(fatigue((0.0, 0.0, 0.0, 0.0))) is None
    lost = fatigue()
    lost.head_position.x = math.nan
    assert gaze_transform(lost) is None


IMAGE = np.full((480, 640, 3), 90, np.uint8)
IMAGE[:, :, 0] = np.arange(640)[None, :] * 255 // 639
IMAGE[:, :, 1] = np.arange(480)[:, None] * 255 // 479


def filled(picture):
    """Columns and rows of what is not black: first and after the last."""
    rows, columns = np.nonzero(picture.any(axis=2))
    return columns.min(), columns.max() + 1, rows.min(), rows.max() + 1


@pytest.mark.parametrize('size_px', [(128, 128), (64, 96), (200, 50)])
def test_a_face_is_scaled_to_fit_and_centred(size_px):
    picture = cropped_face(IMAGE, face(), size_px)
    width, height = size_px
    assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
    scale = min(width / 80, height / 100)
    left, right, top, bottom = filled(picture)
    assert right - left == pytest.approx(80 * scale, abs=1)
    assert bottom - top == pytest.approx(100 * scale, abs=1)
    assert left + right == pytest.approx(width, abs=1.5)
    assert top + bottom == pytest.approx(height, abs=1.5)
    centre = picture[(top + bottom) // 2, (left + right) // 2].astype(float)
    np.testing.assert_allclose(centre, IMAGE[110, 140], atol=4)


def test_what_lies_outside_of_the_image_is_black():
    """The left half of the box is outside: the right half of the crop is filled."""
    picture = cropped_face(IMAGE, face(x=-40.0, width=80.0, height=80.0), (128, 128))
    left, right, top, bottom = filled(picture)
    assert (left, right) == pytest.approx((64, 128), abs=1)
    assert (top, bottom) == (0, 128)
    np.testing.assert_allclose(picture[64, 66], IMAGE[100, 1], atol=4)


@pytest.mark.parametrize(
    'box',
    [
        (700.0, 60.0, 80.0, 80.0),
        (-200.0, 60.0, 80.0, 80.0),
        (100.0, 60.0, 0.0, 80.0),
        (100.0, 60.0, -5.0, 80.0),
        (math.nan, 60.0, 80.0, 80.0),
        (100.0, 60.0, math.inf, 80.0),
    ],
)
def test_a_box_without_image_is_all_black(box):
    assert not cropped_face(IMAGE, face(*box), (128, 128)).any()


@pytest.mark.parametrize('box', [(100.0, 60.0, 0.4, 300.0), (0.0, 0.0, 640.0, 1.0)])
def test_thin_boxes_are_cropped_all_the_same(box):
    assert cropped_face(IMAGE, face(*box), (128, 128)).shape == (128, 128, 3)
