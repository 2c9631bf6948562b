# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Faces go from node to node inside a process; everybody else gets them by the topic."""

from __future__ import annotations

import time

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile
from ros_fixtures import until

from aitable_msgs.msg import Face
from aitable_ros.ros_support.node.hand_over import FOUND_S, Taker, give, publish


def said(name, sec=1):
    message = Face(face_id=name)
    message.header.stamp = Time(sec=sec)
    return message


class Taking:
    """A taker on the test's node, and what it got."""

    def __init__(self, graph):
        self.graph = graph
        self.got = []
        self.taker = graph.run(lambda: Taker(graph.peer, Face, 'said', self.got.append))

    def refresh(self):
        self.graph.run(self.taker.refresh)
        return self.taker.straight


@pytest.fixture
def giving(graph):
    publisher = graph.run(lambda: graph.peer.create_publisher(Face, 'said', 10))
    return publisher, graph.run(lambda: give(graph.peer, publisher))


def test_takers_of_the_process_get_the_message_itself(graph, giving):
    taking = [Taking(graph), Taking(graph)]
    message = said('hello')
    publish(giving[0], message)
    assert all(one.got == [message] and one.got[0] is message for one in taking)
    assert graph.run(lambda: graph.peer.count_subscribers('/said')) == 0


def test_others_get_it_by_the_topic_once(graph, giving):
    taking = Taking(graph)
    heard = graph.collect(Face, 'said')
    assert until(lambda: giving[0].get_subscription_count() == 1)
    publish(giving[0], said('hello'))
    assert until(lambda: heard)
    assert [one.face_id for one in heard] == [one.face_id for one in taking.got] == ['hello']


def test_a_stranger_who_publishes_is_heard_and_nobody_twice(graph, giving):
    taking = Taking(graph)
    stranger = graph.run(lambda: graph.peer.create_publisher(Face, 'said', 10))
    assert until(lambda: not taking.refresh())
    assert until(lambda: stranger.get_subscription_count() == 1)
    assert until(lambda: giving[0].get_subscription_count() == 1)
    publish(giving[0], said('own'))
    stranger.publish(said('strange', 2))
    assert until(lambda: len(taking.got) == 2)
    assert sorted(one.face_id for one in taking.got) == ['own', 'strange']
    graph.run(lambda: graph.peer.destroy_publisher(stranger))
    assert until(taking.refresh)


def test_nothing_is_lost_or_taken_twice_when_a_stranger_comes(graph, giving):
    taking = Taking(graph)
    graph.run(lambda: graph.peer.create_publisher(Face, 'said', 10))
    count = 0
    for _ in range(3):
        graph.run(taking.taker.refresh)
        for _ in range(5):
            count += 1
            publish(giving[0], said('own', count))
        time.sleep(FOUND_S)
    assert until(lambda: len(taking.got) == count)
    assert [one.header.stamp.sec for one in taking.got] == list(range(1, count + 1))
    assert not taking.taker.straight


def test_the_topic_is_listened_to_as_soon_as_nobody_hands_over(graph, giving):
    publisher, end = giving
    taking = Taking(graph)
    graph.run(end)
    graph.run(end)
    assert not taking.taker.straight
    assert until(lambda: publisher.get_subscription_count() == 1)
    publish(publisher, said('hello'))
    assert until(lambda: [one.face_id for one in taking.got] == ['hello'])


def test_a_taker_that_is_closed_gets_nothing(graph, giving):
    taking = Taking(graph)
    for _ in range(2):
        graph.run(taking.taker.close)
    publish(giving[0], said('hello'))
    graph.run(giving[1])
    assert not taking.got
    assert not taking.refresh()


def test_what_is_kept_for_latecomers_is_sent_though_nobody_listens_yet(graph):
    kept = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = graph.run(lambda: graph.peer.create_publisher(Face, 'kept', kept))
    publish(publisher, said('hello'))
    heard = []
    graph.run(lambda: graph.peer.create_subscription(Face, 'kept', heard.append, kept))
    assert until(lambda: [one.face_id for one in heard] == ['hello'])


def test_composed_nodes_take_faces_straight_and_separate_ones_by_the_topic(graph, engines_dir):
    from aitable_ros.nodes.face_detection_node import FaceDetectionNode
    from aitable_ros.nodes.fatigue_node import FatigueNode

    fatigue = graph.make(FatigueNode)
    assert until(lambda: fatigue.is_active)
    assert graph.run(lambda: graph.peer.count_subscribers('/faces')) == 1
    faces = graph.make(FaceDetectionNode, engines_dir=str(engines_dir))
    assert until(lambda: faces.is_active)
    assert graph.run(lambda: graph.peer.count_subscribers('/faces')) == 0
    faces.trigger_deactivate()
    assert until(lambda: graph.run(lambda: graph.peer.count_subscribers('/faces')) == 1)
