# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The real nodes survive random transitions and reloads without leaving anything behind."""

from __future__ import annotations

import random
import threading

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from resident_memory import rss_mb, steady_growth_mb
from ros_fixtures import until

from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.image_source_node import ImageSourceNode

pytestmark = pytest.mark.models

ROUNDS = 14
MAX_GROWTH_MB = 11
"""In half of the rounds; networks that stay behind take 8 MB and more per load."""

NEXT = {
    'unconfigured': ['configure'],
    'inactive': ['activate', 'cleanup'],
    'active': ['deactivate'],
}


@pytest.mark.parametrize(
    'node_class', [FaceDetectionNode, EmotionNode, FatigueNode, ImageSourceNode]
)
def test_rounds_through_all_states_with_reloads(graph, engines_dir, node_class):
    rng = random.Random(node_class.__name__)
    parameters = {'engines_dir': str(engines_dir)} if node_class is not ImageSourceNode else {}
    threads = threading.active_count()
    node = graph.make(node_class, autostart=False, **parameters)
    entities = [len(list(x)) for x in (node.subscriptions, node.publishers, node.timers)]
    measured = []
    for _ in range(ROUNDS):
        assert node.request_transition('configure').result(30)
        for _ in range(6):
            if node.state == 'unconfigured':
                break
            if rng.random() < 0.4:
                selections = node.selections()
                node.operations.submit(node.reload).result(30)
                assert all(selection.engine.closed for selection in selections)
            else:
                assert node.request_transition(rng.choice(NEXT[node.state])).result(30)
        selections = node.selections()
        for transition in ('deactivate', 'cleanup'):
            node.request_transition(transition).result(30)
        assert node.state == 'unconfigured'
        assert all(selection.engine.closed for selection in selections)
        assert entities == [
            len(list(x)) for x in (node.subscriptions, node.publishers, node.timers)
        ]
        measured.append(rss_mb())
    assert steady_growth_mb(measured[2:]) < MAX_GROWTH_MB, measured
    graph.remove(node)
    assert until(lambda: threading.active_count() <= threads)
