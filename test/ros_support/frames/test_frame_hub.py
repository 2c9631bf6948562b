# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""In one process an image is received, deserialised and converted once for all nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.qos import QoSProfile
from ros_fixtures import image_message, until
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from aitable_ros.perception.images.decoding import MalformedImageError
from aitable_ros.ros_support.frames import frame_hub
from aitable_ros.ros_support.frames.frame_hub import Frame, InProcessPublisher, share_frames
from aitable_ros.ros_support.frames.image_conversion import rgb_to_image

RELIABLE = QoSProfile(depth=50)
PICTURE = np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3)


class Listener:
    def __init__(self, graph, name, qos=RELIABLE):
        self.frames = []
        self.node = graph.add(rclpy.create_node(name, context=graph.context))
        self.graph = graph
        self.share = graph.run(
            lambda: share_frames(self.node, Image, 'image_raw', qos, self.frames.append)
        )

    def leave(self):
        self.graph.run(self.share.close)


@pytest.fixture
def publish(graph):
    publisher = graph.peer.create_publisher(Image, 'image_raw', RELIABLE)

    def publish(count, first=0):
        assert until(lambda: publisher.get_subscription_count() > 0)
        for i in range(first, first + count):
            publisher.publish(image_message(PICTURE, 1.0 + i))

    return publish


@pytest.mark.parametrize('listeners', [1, 2, 5])
def test_deserialised_once_per_frame_whatever_the_number_of_nodes(graph, publish, listeners):
    nodes = [Listener(graph, f'listener_{i}') for i in range(listeners)]
    publish(20)
    assert until(lambda: all(len(x.frames) == 20 for x in nodes))
    # nobody has a subscription beside the shared one
    assert graph.peer.count_subscribers('image_raw') == 1
    for frames in zip(*(x.frames for x in nodes)):
        assert len({id(frame) for frame in frames}) == 1


def test_converted_once(graph, publish, monkeypatch):
    conversions = []

    def count(message, **how):
        conversions.append(message)
        return real(message, **how)

    real = frame_hub.message_to_rgb
    monkeypatch.setattr(frame_hub, 'message_to_rgb', count)
    nodes = [Listener(graph, f'listener_{i}') for i in range(3)]
    publish(4)
    assert until(lambda: all(len(x.frames) == 4 for x in nodes))
    assert not conversions  # not before somebody asks
    for listener in nodes:
        for frame in listener.frames:
            np.testing.assert_array_equal(frame.rgb(), PICTURE)
            assert not frame.rgb().flags.writeable
    assert len(conversions) == 4


def test_who_keeps_frames_gets_them_before_anybody_works_on_them(graph, publish):
    order = []
    for name, first in (('works', False), ('keeps', True)):
        node = graph.add(rclpy.create_node(name, context=graph.context))

        def note(frame, name=name):
            order.append(name)

        graph.run(
            lambda node=node, note=note, first=first: share_frames(
                node, Image, 'image_raw', RELIABLE, note, first=first
            )
        )
    publish(1)
    assert until(lambda: len(order) == 2)
    assert order == ['keeps', 'works']


def test_bgr_is_converted_only_for_those_who_need_rows():
    frame = Frame(rgb_to_image(PICTURE, Header(), 'bgr8'))
    pixels = frame.pixels()
    np.testing.assert_array_equal(pixels, PICTURE)
    assert np.shares_memory(pixels, np.frombuffer(frame.message.data, np.uint8))
    assert not pixels.flags.writeable
    assert frame.rgb().flags.c_contiguous
    assert frame.pixels() is frame.rgb()


def test_the_others_go_on_when_the_node_that_receives_leaves(graph, publish):
    first, second, third = (Listener(graph, f'listener_{i}') for i in range(3))
    publish(1)
    assert until(lambda: third.frames)
    first.leave()
    first.leave()
    graph.remove(first.node)
    assert until(lambda: graph.peer.count_subscribers('image_raw') == 1)
    publish(3, first=10)
    assert until(lambda: len(second.frames) == 4 and len(third.frames) == 4)
    assert len(first.frames) == 1


def test_nothing_is_received_once_everybody_left(graph, publish):
    listener = Listener(graph, 'listener')
    publish(1)
    assert until(lambda: listener.frames)
    listener.leave()
    assert until(lambda: graph.peer.count_subscribers('image_raw') == 0)


def test_leaving_one_after_the_other_while_the_process_ends(graph, publish):
    listeners = [Listener(graph, f'listener_{i}') for i in range(3)]
    publish(1)
    assert until(lambda: all(x.frames for x in listeners))
    graph.stop_spinning()
    graph.context.shutdown()
    for listener in listeners:
        listener.share.close()


def test_another_qos_gets_a_subscription_of_its_own(graph, publish):
    a = Listener(graph, 'a')
    b = Listener(graph, 'b', QoSProfile(depth=7))
    publish(1)
    assert until(lambda: a.frames and b.frames)
    assert graph.peer.count_subscribers('image_raw') == 2


def test_a_malformed_image_is_the_same_error_for_everyone(graph):
    a, b = Listener(graph, 'a'), Listener(graph, 'b')
    publisher = graph.peer.create_publisher(Image, 'image_raw', RELIABLE)
    assert until(lambda: publisher.get_subscription_count() > 0)
    message = image_message(PICTURE, 1.0)
    message.height = 4000
    publisher.publish(message)
    assert until(lambda: a.frames and b.frames)
    errors = []
    for frame in (a.frames[0], b.frames[0]):
        with pytest.raises(MalformedImageError) as caught:
            frame.rgb()
        errors.append(caught.value)
    assert errors[0] is errors[1]


def test_without_a_topic_only_this_process_gets_it(graph):
    nodes = [Listener(graph, f'listener_{i}') for i in range(2)]
    sender = InProcessPublisher(graph.peer, 'image_raw')
    sender.publish(image_message(PICTURE, 1.0))
    assert until(lambda: all(len(x.frames) == 1 for x in nodes))
    assert nodes[0].frames[0] is nodes[1].frames[0]
    assert graph.peer.count_publishers('image_raw') == 0
    nodes[0].leave()
    sender.publish(image_message(PICTURE, 2.0))
    assert until(lambda: len(nodes[1].frames) == 2)
    assert len(nodes[0].frames) == 1


def test_without_a_topic_a_busy_process_gets_the_newest(graph):
    listener = Listener(graph, 'listener')
    sender = InProcessPublisher(graph.peer, 'image_raw')

    def send():  # in the executor's thread: it delivers nothing meanwhile
        for i in range(5):
            sender.publish(image_message(PICTURE, 1.0 + i))

    graph.run(send)
    assert until(lambda: listener.frames)
    assert [frame.stamp_ns for frame in listener.frames] == [5_000_000_000]


def test_without_a_topic_others_get_nothing(graph):
    listener = Listener(graph, 'listener')
    InProcessPublisher(graph.peer, 'other').publish(image_message(PICTURE, 1.0))
    alone = rclpy.create_node('alone', context=graph.context)
    InProcessPublisher(alone, 'image_raw').publish(image_message(PICTURE, 1.0))  # nobody spins it
    alone.destroy_node()
    InProcessPublisher(graph.peer, 'image_raw').publish(image_message(PICTURE, 2.0))
    assert until(lambda: listener.frames)
    assert [frame.stamp_ns for frame in listener.frames] == [2_000_000_000]
