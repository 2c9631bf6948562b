# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What a table says reaches the building as the same bytes; what its camera sees does not."""

from __future__ import annotations

import os

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import until
from sensor_msgs.msg import Image

from aitable_msgs.msg import Alert, FaceArray, Fatigue
from aitable_ros.tools.bridge_results import Bridge, main

LATCHED = QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture
def sides():
    """A node in each of two domains, spun by hand."""
    own = int(os.environ.get('ROS_DOMAIN_ID', '0'))
    domains = (own, (own + 50) % 101)
    made = []
    for domain in domains:
        context = Context()
        rclpy.init(context=context, domain_id=domain)
        node = Node('peer', context=context, use_global_arguments=False)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        made.append((node, executor, context))
    yield domains, [node for node, _, _ in made], [executor for _, executor, _ in made]
    for node, executor, context in made:
        executor.shutdown()
        node.destroy_node()
        context.try_shutdown()


def test_results_cross_and_images_stay(sides):
    domains, (table, building), (_, executor) = sides
    heard = {'fatigue': [], 'alerts': []}
    with Bridge(*domains, 'table_a') as bridge:
        assert '/table_a/emotion' in bridge.topics
        fatigue = table.create_publisher(Fatigue, '/table_a/fatigue', 10)
        alerts = table.create_publisher(Alert, '/table_a/alerts', LATCHED)
        table.create_publisher(FaceArray, '/table_a/faces', 10)
        table.create_publisher(Image, '/table_a/image_raw', 10)
        alerts.publish(Alert(level=Alert.WARNING, reason='level severe'))
        building.create_subscription(Fatigue, '/table_a/fatigue', heard['fatigue'].append, 10)
        said = Fatigue(face_id='f1_1', level=3, perclos=0.25)

        def say():
            fatigue.publish(said)
            executor.spin_once(timeout_sec=0.1)
            return heard['fatigue']

        assert until(say, 20.0)
        assert heard['fatigue'][0] == said
        # who comes late is told of the alerts that are on
        building.create_subscription(Alert, '/table_a/alerts', heard['alerts'].append, LATCHED)
        assert until(lambda: executor.spin_once(timeout_sec=0.1) or heard['alerts'], 20.0)
        assert heard['alerts'][0].reason == 'level severe'
        topics = {name for name, _ in building.get_topic_names_and_types()}
        assert '/table_a/fatigue' in topics
        assert not topics & {'/table_a/faces', '/table_a/image_raw'}


def test_a_domain_cannot_be_bridged_with_itself(capsys):
    assert main(['--namespace', 'a', '--table-domain', '3', '--building-domain', '3']) == 1
    assert 'the same' in capsys.readouterr().err
