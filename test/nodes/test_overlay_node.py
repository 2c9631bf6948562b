# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The overlay node: overlay and markers through real topics, each only when somebody looks."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.parameter import Parameter
from ros_fixtures import image_message, until
from sensor_msgs.msg import CompressedImage, Image
from visualization_msgs.msg import Marker, MarkerArray

from aitable_msgs.msg import Emotion, Face, FaceArray, Fatigue, Posture
from aitable_ros.nodes.overlay_node import OverlayNode
from aitable_ros.perception.faces.people import MAX_PEOPLE
from aitable_ros.perception.images.decoding import image_to_rgb
from aitable_ros.ros_support.frames.frame_hub import Frame, stamp_to_ns

RELIABLE = {
    'qos_overrides__/image_raw__subscription__reliability': 'reliable',
    'qos_overrides__/image_raw__subscription__depth': 20,
}
GREY = np.full((240, 320, 3), 60, np.uint8)
FACING = (0.5, 0.5, -0.5, 0.5)


class PatientNode(OverlayNode):
    """On a busy machine messages of one image may take long to come together."""

    RESULTS_WAIT_S = 5.0

    def sees_posture_of(self, stamp_s):
        with self.found._arrived:
            stamps = [message.header.stamp for message in self.found._postures.values()]
        return round(stamp_s * 1e9) in map(stamp_to_ns, stamps)


class Table:
    """Publishes what the other nodes would."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.node = graph.make(PatientNode, **RELIABLE, **parameters)
        peer = graph.peer
        self.faces, self.emotions, self.fatigues, self.postures, self.camera = graph.run(
            lambda: [
                peer.create_publisher(FaceArray, 'faces', 20),
                peer.create_publisher(Emotion, 'emotion', 20),
                peer.create_publisher(Fatigue, 'fatigue', 20),
                peer.create_publisher(Posture, 'posture', 20),
                peer.create_publisher(Image, 'image_raw', 20),
            ]
        )
        assert until(lambda: self.node.is_active)

    def listen(self, message_type, topic):
        heard = self.graph.collect(message_type, topic)
        assert until(lambda: self.faces.get_subscription_count() > 0)
        assert until(lambda: self.fatigues.get_subscription_count() > 0)
        return heard

    def leave(self, topic):
        peer = self.graph.peer
        for subscription in [s for s in peer.subscriptions if s.topic_name == topic]:
            self.graph.run(lambda s=subscription: peer.destroy_subscription(s))

    def header(self, stamp_s):
        return image_message(GREY[:1, :1], stamp_s, 'camera_optical').header

    def image(self, stamp_s):
        assert until(lambda: self.camera.get_subscription_count() > 0)
        self.camera.publish(image_message(GREY, stamp_s, 'camera_optical'))
        stamp_ns = round(stamp_s * 1e9)
        assert until(lambda: self.node.frames.get(stamp_ns) is not None)

    def fatigue(self, stamp_s, face_id='f1', **fields):
        message = Fatigue(header=self.header(stamp_s), face_id=face_id, head_pose_valid=True)
        message.head_position.z = 0.6
        q = message.head_orientation
        q.x, q.y, q.z, q.w = FACING
        message.perclos = math.nan
        for name, value in fields.items():
            setattr(message, name, value)
        self.fatigues.publish(message)

    def emotion(self, stamp_s, face_id='f1'):
        self.emotions.publish(
            Emotion(
                header=self.header(stamp_s),
                face_id=face_id,
                expression=Emotion.HAPPY,
                label='happy',
                confidence=0.6,
            )
        )

    def posture(self, stamp_s, person_id='f1'):
        assert until(lambda: self.postures.get_subscription_count() > 0)
        self.postures.publish(
            Posture(
                header=self.header(stamp_s),
                person_id=person_id,
                state=Posture.SLOUCHING,
                keypoints=[120.0, 100.0] * 33,
                visibility=[0.9] * 33,
                world=[0.1, -0.4, 0.0] * 33,
                camera_distance=0.6,
                eye_desk_distance=math.nan,
            )
        )
        assert until(lambda: self.node.sees_posture_of(stamp_s))

    def show(self, stamp_s, *face_ids):
        array = FaceArray(header=self.header(stamp_s), image_width=320, image_height=240)
        array.faces = [
            Face(
                header=array.header,
                face_id=face_id,
                x=30.0 + 150.0 * i,
                y=60.0,
                width=90.0,
                height=110.0,
                image_width=320,
                image_height=240,
            )
            for i, face_id in enumerate(face_ids)
        ]
        self.faces.publish(array)

    def show_all(self, stamp_s, *face_ids):
        for face_id in face_ids:
            self.emotion(stamp_s, face_id)
            self.fatigue(stamp_s, face_id)
        self.show(stamp_s, *face_ids)


def labels(array):
    return {m.text for m in array.markers if m.type == Marker.TEXT_VIEW_FACING}


def test_nobody_looks_and_nothing_is_received(graph):
    table = Table(graph)
    table.show_all(1.0, 'f1')
    for publisher in (table.faces, table.emotions, table.fatigues, table.camera):
        assert publisher.get_subscription_count() == 0
    assert table.node.input_rate.count == 0
    assert dict(table.node.diagnostics())['subscribers of overlay'] == 0


def test_markers_need_no_images(graph):
    table = Table(graph)
    heard = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1', 'f2')
    assert until(lambda: heard)
    assert table.camera.get_subscription_count() == 0
    (array,) = heard
    assert labels(array) == {'f1  happy 60%', 'f2  happy 60%'}
    for marker in array.markers:
        assert marker.action == Marker.ADD
        assert marker.header == table.header(5.0)
        assert marker.lifetime.sec == 1


def test_markers_of_a_face_that_left_are_deleted(graph):
    table = Table(graph)
    heard = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1')
    assert until(lambda: len(heard) == 1)
    table.show(6.0)
    assert until(lambda: len(heard) == 2)
    assert {m.action for m in heard[1].markers} == {Marker.DELETE}
    assert {(m.ns, m.id) for m in heard[1].markers} == {(m.ns, m.id) for m in heard[0].markers}
    table.show(6.5)  # nothing to say
    table.show_all(7.0, 'f2')
    assert until(lambda: len(heard) == 3)
    assert labels(heard[2]) == {'f2  happy 60%'}


def test_markers_live_as_long_as_results_are_shown(graph):
    table = Table(graph, max_age=2.5)
    heard = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1')
    assert until(lambda: heard)
    assert {(m.lifetime.sec, m.lifetime.nanosec) for m in heard[0].markers} == {(2, 500_000_000)}
    graph.run(lambda: table.node.set_parameters([Parameter('max_age', value=0.0)]))
    table.show_all(6.0, 'f1')
    assert until(lambda: len(heard) == 2)
    lifetimes = {(m.lifetime.sec, m.lifetime.nanosec) for m in heard[1].markers}
    assert lifetimes == {(0, 100_000_000)}  # 0 would be for ever


def test_the_overlay_is_drawn_on_the_very_image(graph):
    table = Table(graph)
    heard = table.listen(Image, 'overlay')
    table.image(5.0)
    table.image(5.1)
    table.show_all(5.0, 'f1')
    assert until(lambda: heard)
    (overlay,) = heard
    assert overlay.header == table.header(5.0)
    changed = (image_to_rgb(overlay) != GREY).any(axis=2)
    assert 0.02 < changed.mean() < 0.6
    table.show_all(9.0, 'f1')  # its image never came
    table.show_all(5.1, 'f1')
    assert until(lambda: len(heard) == 2)
    assert heard[1].header == table.header(5.1)
    assert table.node.meters.failures == 0


def test_small_pictures_are_made_only_while_somebody_listens_to_them(graph):
    table = Table(graph)
    heard = table.listen(CompressedImage, 'overlay/compressed')
    table.image(5.0)
    table.show_all(5.0, 'f1')
    assert until(lambda: heard)
    (small,) = heard
    assert small.format == 'rgb8; jpeg compressed bgr8'  # as image_transport has it
    assert small.header == table.header(5.0)
    changed = (np.abs(image_to_rgb(small).astype(int) - GREY) > 20).any(axis=2)
    assert 0.02 < changed.mean() < 0.6
    large = table.listen(Image, 'overlay')
    table.leave('/overlay/compressed')
    table.image(5.1)
    table.show_all(5.1, 'f1')
    assert until(lambda: large)
    assert len(heard) == 1


@pytest.mark.parametrize('privacy', ['mesh', 'no_image'])
def test_where_privacy_shows_no_image_none_is_received(graph, privacy):
    table = Table(graph, privacy=privacy)
    pictures = table.listen(Image, 'overlay')
    arrays = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1')
    assert until(lambda: arrays)
    assert table.camera.get_subscription_count() == 0
    if privacy == 'no_image':
        assert pictures == []
    else:
        assert until(lambda: pictures)
        rgb = image_to_rgb(pictures[0])
        assert rgb.shape == GREY.shape
        assert (rgb[200:, 280:] == rgb[-1, -1]).all()  # plain ground


def test_there_may_be_no_topics_of_images(graph):
    table = Table(graph, publish_images=False)
    heard = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1')
    assert until(lambda: heard)
    names = {name for name, _ in graph.peer.get_topic_names_and_types()}
    assert not {name for name in names if name.startswith('/overlay') and 'tra' not in name}
    refused = graph.run(
        lambda: table.node.set_parameters([Parameter('publish_images', value=True)])
    )
    assert not refused[0].successful


def test_the_posture_of_one_of_the_last_images_is_shown(graph):
    table = Table(graph)
    pictures = table.listen(Image, 'overlay')
    arrays = table.listen(MarkerArray, 'markers')
    table.posture(4.9)
    table.image(5.0)
    table.show_all(5.0, 'f1')
    assert until(lambda: pictures and arrays)
    assert {'slouching\ncamera 60 cm'} < labels(arrays[0])
    assert {marker.header.stamp.sec for marker in arrays[0].markers} == {5}
    graph.run(lambda: table.node.set_parameters([Parameter('draw_posture', value=False)]))
    table.image(5.1)
    table.show_all(5.1, 'f1')
    assert until(lambda: len(pictures) == 2)
    with_it, without = ((image_to_rgb(p) != GREY).any(axis=2).sum() for p in pictures)
    assert with_it > without
    # too old by now
    table.show_all(8.0, 'f1')
    assert until(lambda: len(arrays) == 3)
    body = [m for m in arrays[2].markers if m.ns == 'body']
    assert [m.action for m in body] == [Marker.DELETE]


def test_images_are_given_back_when_nobody_looks(graph):
    table = Table(graph)
    table.listen(Image, 'overlay')
    heard = table.listen(MarkerArray, 'markers')
    table.image(5.0)
    table.leave('/overlay')
    assert until(lambda: table.camera.get_subscription_count() == 0)
    assert table.node.frames.get(5_000_000_000) is None
    table.show_all(6.0, 'f1')
    assert until(lambda: heard)
    table.leave('/markers')
    assert until(lambda: table.faces.get_subscription_count() == 0)


class Offline:
    """The node as a tool uses it that feeds it by itself, without spinning it."""

    def __init__(self, graph, **parameters):
        self.node = graph.make(OverlayNode, autostart=False, **parameters)
        self.node.trigger_configure()

    def header(self, stamp_s):
        return image_message(GREY[:1, :1], stamp_s, 'camera_optical').header

    def fatigue(self, stamp_s, perclos=math.nan):
        message = Fatigue(header=self.header(stamp_s), face_id='f1', head_pose_valid=True)
        message.head_position.z = 0.6
        message.perclos = perclos
        self.node.found.take_fatigue(message)

    def show(self, stamp_s):
        """Give what the node makes of one face: message by topic."""
        array = FaceArray(header=self.header(stamp_s), image_width=320, image_height=240)
        array.faces = [
            Face(header=array.header, face_id='f1', x=30.0, y=60.0, width=90.0, height=110.0)
        ]
        return {p.topic_name: message for p, message in self.node.results_of(array)}


def actions(results):
    return {marker.action for marker in results['/markers'].markers}


def test_what_is_too_old_is_not_shown(graph):
    offline = Offline(graph, max_age=0.5)
    offline.fatigue(5.0)
    assert actions(offline.show(5.4)) == {Marker.ADD}
    assert actions(offline.show(5.6)) == {Marker.DELETE}
    assert offline.show(5.7) == {}


def test_results_from_before_the_time_was_set_back_are_not_shown(graph):
    offline = Offline(graph)
    offline.fatigue(100.0)
    assert actions(offline.show(100.0)) == {Marker.ADD}
    assert actions(offline.show(5.0)) == {Marker.DELETE}
    offline.fatigue(5.1, perclos=0.5)
    results = offline.show(5.1)
    assert actions(results) == {Marker.ADD}
    assert labels(results['/markers']) == {'f1\nPERCLOS 50%'}


def test_a_reset_forgets_the_results(graph):
    table = Table(graph)
    heard = table.listen(MarkerArray, 'markers')
    table.show_all(5.0, 'f1')
    assert until(lambda: heard)
    table.node.reset_now()
    assert table.node.found._fatigues == {}
    assert table.node.found._emotions == {}


def test_offline_tools_get_both_without_subscribers(graph):
    offline = Offline(graph)
    frame = Frame(image_message(GREY, 5.0, 'camera_optical'))
    offline.node.frames.add(frame)
    offline.fatigue(5.0)
    results = offline.show(5.0)
    assert set(results) == {'/overlay', '/overlay/compressed', '/markers'}
    assert results['/overlay'].header == frame.header
    assert len(results['/markers'].markers) == 4


def test_results_of_so_many_people_are_kept_at_most(graph):
    node = graph.make(OverlayNode, autostart=False)
    for i in range(3 * MAX_PEOPLE):
        node.found.take_fatigue(Fatigue(face_id=f'x{i}'))
        node.found.take_emotion(Emotion(face_id=f'x{i}'))
    assert len(node.found._fatigues) == len(node.found._emotions) == MAX_PEOPLE
    assert f'x{3 * MAX_PEOPLE - 1}' in node.found._fatigues
