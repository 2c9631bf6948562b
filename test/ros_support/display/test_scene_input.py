# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What an image is shown with: results of the same image where they come, else the last ones."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.context import Context

from aitable_msgs.msg import Emotion, Face, FaceArray, Fatigue
from aitable_ros.ros_support.display.scene_input import SceneInput

LONG_S = 10.0


def of_image(message, number):
    """Give a message that stands for the image taken at this second."""
    message.header.stamp.sec = number
    return message


def faces(number):
    return of_image(FaceArray(faces=[Face(face_id='f1')]), number)


@pytest.fixture
def found():
    context = Context()
    rclpy.init(context=context)
    node = rclpy.create_node('shows', context=context)
    for message_type, topic in (Emotion, 'emotion'), (Fatigue, 'fatigue'):
        node.create_publisher(message_type, topic, 1)
    yield SceneInput(node, lambda _: None)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_result_of_the_same_image_is_waited_for(found):
    found.take_fatigue(of_image(Fatigue(face_id='f1'), 6))

    def answer():
        found.take_fatigue(of_image(Fatigue(face_id='f1', blink_count=7), 7))

    threading.Timer(0.1, answer).start()
    assert found.scene(faces(7), 5.0, LONG_S).fatigues['f1'].blink_count == 7


def test_but_not_for_long(found):
    found.take_fatigue(of_image(Fatigue(face_id='f1', blink_count=6), 6))
    assert found.scene(faces(7), 5.0, 0.05).fatigues['f1'].blink_count == 6


def test_who_answers_now_and_then_is_waited_for_once(found):
    """As emotion does, which is read 5 times a second."""
    waited_s = []
    for number in range(7, 19):
        found.take_fatigue(of_image(Fatigue(face_id='f1'), number))
        if number % 6 == 0:
            found.take_emotion(of_image(Emotion(face_id='f1', label='happy'), number))
        begun_s = time.monotonic()
        scene = found.scene(faces(number), 30.0, 1.0)
        waited_s.append(time.monotonic() - begun_s)
    assert [waited > 0.9 for waited in waited_s] == [True] + 11 * [False]
    assert scene.emotions['f1'].label == 'happy'


def test_who_keeps_pace_again_is_waited_for_again(found):
    found.take_fatigue(of_image(Fatigue(face_id='f1'), 7))
    for number in range(7, 12):
        found.scene(faces(number), 30.0, 0.01)
        found.take_emotion(of_image(Emotion(face_id='f1'), number))
        found.take_fatigue(of_image(Fatigue(face_id='f1'), number))

    def answer():
        found.take_fatigue(of_image(Fatigue(face_id='f1'), 12))
        found.take_emotion(of_image(Emotion(face_id='f1', label='sad'), 12))

    threading.Timer(0.1, answer).start()
    assert found.scene(faces(12), 30.0, LONG_S).emotions['f1'].label == 'sad'
