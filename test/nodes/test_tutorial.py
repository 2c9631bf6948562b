# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The reaction of docs/tutorial.md: lights go down while somebody is tired."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import until
from std_msgs.msg import Float32

from aitable_msgs.msg import Alert
from aitable_ros.nodes.attention_node import AttentionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.image_source_node import ImageSourceNode

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = runpy.run_path(str(ROOT / 'docs' / 'examples' / 'dim_lights.py'))
ASLEEP, TIRED = Alert.ASLEEP, Alert.TIRED


@pytest.fixture
def lamp(graph):
    """What the lamp was told."""
    graph.make(EXAMPLE['DimLights'], dimmed=0.25)
    return graph.collect(Float32, 'light/brightness')


@pytest.mark.parametrize(
    ('alerts', 'told'),
    [
        ([('a', TIRED, 1), ('a', TIRED, 0)], [0.25, 1.0]),
        ([('a', ASLEEP, 2), ('a', ASLEEP, 3), ('a', ASLEEP, 0)], [0.25, 1.0]),
        ([('a', TIRED, 1), ('b', ASLEEP, 2), ('a', TIRED, 0), ('b', ASLEEP, 0)], [0.25, 1.0]),
        ([('a', Alert.POOR_POSTURE, 2), ('a', TIRED, 1)], [0.25]),
        ([('a', TIRED, 0), ('b', TIRED, 1)], [0.25]),
    ],
    ids=['tired', 'worse', 'two people', 'another cause', 'over before it began'],
)
def test_the_lights_follow_the_alerts(graph, lamp, alerts, told):
    publisher = graph.run(lambda: graph.peer.create_publisher(Alert, 'alerts', EXAMPLE['KEPT']))
    assert until(lambda: publisher.get_subscription_count() == 1)
    for person, cause, level in alerts:
        publisher.publish(Alert(person_id=person, cause=cause, level=level, reason='as said'))
    assert until(lambda: len(lamp) == len(told))
    assert [message.data for message in lamp] == told


@pytest.mark.models
def test_closed_eyes_of_the_sample_lower_them(graph, lamp, engines_dir):
    """From the camera to the lamp; here a blink suffices."""
    engines = {'engines_dir': str(engines_dir)}
    graph.make(FaceDetectionNode, **engines)
    graph.make(FatigueNode)
    graph.make(AttentionNode, alerts__asleep__warning_s=0.1)
    graph.make(ImageSourceNode, source='sample')
    assert until(lambda: lamp, 60.0)
    assert lamp[0].data == 0.25
