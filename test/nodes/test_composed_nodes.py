# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The nodes together, on the built-in sample: real topics from image to emotion and fatigue."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import image_message, until
from sensor_msgs.msg import Image

from aitable_msgs.msg import Emotion, FaceArray, Fatigue
from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.overlay_node import OverlayNode
from aitable_ros.simulation import AstronautSequence

pytestmark = pytest.mark.models

RELIABLE = {
    'qos_overrides__/image_raw__subscription__reliability': 'reliable',
    'qos_overrides__/image_raw__subscription__depth': 20,
}


@pytest.fixture
def system(graph, engines_dir):
    """All nodes in one process, and an image publisher that waits for each answer."""
    folder = {'engines_dir': str(engines_dir)}
    nodes = [
        graph.make(FaceDetectionNode, **folder, **RELIABLE),
        graph.make(EmotionNode, **folder, **RELIABLE, max_rate=0.0),
        graph.make(FatigueNode, **folder, **RELIABLE),
        graph.make(OverlayNode, **RELIABLE),
    ]
    assert until(lambda: all(node.is_active for node in nodes), 30)
    return System(graph, nodes)


class System:
    def __init__(self, graph, nodes):
        self.graph = graph
        self.nodes = nodes
        self.faces = graph.collect(FaceArray, 'faces')
        self.emotions = graph.collect(Emotion, 'emotion')
        self.fatigues = graph.collect(Fatigue, 'fatigue')
        self.camera = graph.peer.create_publisher(Image, 'image_raw', 20)
        assert until(lambda: self.camera.get_subscription_count() > 0)

    def show(self, image, stamp_s):
        count = len(self.faces), len(self.fatigues), len(self.emotions)
        self.camera.publish(image_message(image, stamp_s))
        assert until(lambda: len(self.faces) > count[0])
        people = len(self.faces[-1].faces)
        assert until(
            lambda: (
                len(self.fatigues) == count[1] + people and len(self.emotions) == count[2] + people
            )
        )


def test_every_output_carries_the_header_of_its_image(system):
    sequence = AstronautSequence()
    for i in range(10):
        system.show(sequence.frame(i), 50.0 + i / 30)
    stamps = [m.header.stamp for m in system.faces]
    assert len(stamps) == 10
    assert [m.header.stamp for m in system.emotions] == stamps
    assert [m.header.stamp for m in system.fatigues] == stamps
    for message in (*system.emotions, *system.fatigues):
        assert message.header.frame_id == 'camera'
        assert message.face_id == system.faces[0].faces[0].face_id
    emotion = system.emotions[-1]
    assert (emotion.reading, emotion.backend) == ('expression', 'litert')
    assert emotion.expression == Emotion.HAPPY
    assert sum(emotion.probabilities) == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(emotion.probabilities) == emotion.expression
    assert -1 <= emotion.valence <= 1
    assert -1 <= emotion.arousal <= 1
    fatigue = system.fatigues[-1]
    assert (
        fatigue.backend
        == 'face_detection: litert, face_attention: litert, face_detection_back: litert'
    )
    assert fatigue.visibility == Fatigue.MEASURED
    assert 0.25 < fatigue.left_ear < 0.5
    assert 0.25 < fatigue.right_ear < 0.5
    assert not fatigue.perclos_valid
    assert math.isnan(fatigue.perclos)
    assert math.isnan(fatigue.left_openness)  # calibrating: not measured is never 0
    assert fatigue.head_pose_valid
    assert not fatigue.head_pose_calibrated
    assert 0.2 < fatigue.head_position.z < 3.0
    assert abs(fatigue.head_yaw) < 0.5


def test_one_deserialisation_per_image_for_all_nodes(system):
    sequence = AstronautSequence()
    overlays = system.graph.collect(Image, 'overlay')  # makes the overlay node receive, too
    assert until(lambda: system.nodes[3].found._subscriptions)
    for i in range(5):
        system.show(sequence.frame(i), 60.0 + i / 30)
    assert until(lambda: len(overlays) == 5)
    assert system.graph.peer.count_subscribers('image_raw') == 1
