# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Two sets of nodes on the same topics are noticed."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from diagnostic_msgs.msg import DiagnosticStatus
from ros_fixtures import until

from aitable_msgs.msg import FaceArray
from aitable_ros.nodes.fatigue_node import FatigueNode


@pytest.fixture
def node(graph):
    node = graph.make(FatigueNode)
    assert until(lambda: node.is_active)
    assert node.rivals() == ''
    return node


def test_a_second_node_of_the_name_is_warned_of(graph, node):
    second = graph.make(FatigueNode)
    status = graph.status(lambda s: '1 more of this name' in s.message)
    assert status.level == DiagnosticStatus.WARN
    graph.remove(second)
    assert until(lambda: node.rivals() == '')


def test_a_second_publisher_of_faces_is_warned_of(graph, node):
    for _ in range(2):
        graph.run(lambda: graph.peer.create_publisher(FaceArray, 'faces', 10))
    status = graph.status(lambda s: '2 publishers on /faces' in s.message)
    assert (status.name, status.level) == ('fatigue', DiagnosticStatus.WARN)
