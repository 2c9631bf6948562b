# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The attention node: where people look, events once each, alerts that late subscribers get."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.serialization import serialize_message
from ros_fixtures import set_parameter, until
from std_msgs.msg import Header
from table_scenes import ASIDE, FRONT, READING, asleep, blinking, rad

from aitable_msgs.msg import Alert, Attention, Event, FaceArray, Fatigue, Posture
from aitable_ros.bags import find_definition
from aitable_ros.bags.definitions import Canonical
from aitable_ros.nodes.attention_node import AttentionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.perception.faces.observer import SeenFaces
from aitable_ros.perception.images.seeing import Seeing
from aitable_ros.ros_support.messages.results import faces_to_message
from aitable_ros.simulation.looking_face import SIZE_PX, looking_face, looking_landmarks
from aitable_ros.tools.process_bag.offline_pipeline import OfflinePipeline

RATE_HZ = 15.0


def header(stamp_s: float) -> Header:
    message = Header(frame_id='camera')
    message.stamp.sec, message.stamp.nanosec = divmod(round(stamp_s * 1e9), 1_000_000_000)
    return message


def faces(stamp_s: float, people, seeing=Seeing.CLEAR) -> FaceArray:
    found = [
        looking_face(looking_landmarks(looking), face_id, stamp_s - 100.0)
        for face_id, looking in people.items()
    ]
    return faces_to_message(SeenFaces(stamp_s, SIZE_PX, found, 'test', seeing), header(stamp_s))


def scene(duration_s: float, looking_at) -> list[FaceArray]:
    return [
        faces(100.0 + i / RATE_HZ, looking_at(i / RATE_HZ))
        for i in range(round(duration_s * RATE_HZ))
    ]


@pytest.fixture
def node(graph):
    graph.make(FatigueNode)
    node = graph.make(AttentionNode)
    assert until(lambda: node.is_active, 30)
    return node


@pytest.fixture
def show(graph, node):
    """Publish faces one after the other, and wait until each has been worked on."""
    publisher = graph.peer.create_publisher(FaceArray, 'faces', 100)
    answers = graph.collect(Attention, 'attention', 1000)
    # fatigue, attention
    assert until(lambda: publisher.get_subscription_count() == 2)

    def show(messages: list[FaceArray]) -> list[Attention]:
        for message in messages:
            wanted = len(answers) + len(message.faces)
            publisher.publish(message)
            assert until(lambda wanted=wanted: len(answers) >= wanted)
        return answers

    return show


def test_gaze_and_zone_under_the_header_of_the_image(graph, node, show):
    (message,) = show([faces(100.0, {'f1': replace(FRONT, gaze_yaw_rad=rad(15))})])
    assert message.header == header(100.0)
    assert (message.face_id, message.backend) == ('f1', 'test')
    assert message.gaze_valid
    assert message.gaze_yaw == pytest.approx(rad(15), abs=rad(2))
    vector = message.gaze_direction
    assert math.hypot(vector.x, vector.y, vector.z) == pytest.approx(1.0)
    assert vector.x > 0.2
    assert (message.zone, message.source) == (Attention.FRONT, Attention.SOURCE_GAZE)
    assert message.zone_reason == 'from the eyes'
    assert math.isnan(message.front_share)
    assert message.natural == Attention.LEARNING


def test_without_fatigue_it_says_so(graph):
    node = graph.make(AttentionNode)
    assert until(lambda: node.is_active, 30)
    publisher = graph.peer.create_publisher(FaceArray, 'faces', 100)
    assert until(lambda: publisher.get_subscription_count() == 1)
    for i in range(20):
        publisher.publish(faces(100.0 + i / RATE_HZ, {'f1': FRONT}))
    assert until(lambda: dict(node.diagnostics())['faces without fatigue'] > 0)


def canonical(message) -> bytes:
    definition = find_definition(f'aitable_msgs/msg/{type(message).__name__}')
    return Canonical(definition)(serialize_message(message))


def naps(t: float):
    return {'f1': asleep(READING) if 9.0 <= t < 11.0 else blinking(READING, t)}


def test_live_events_and_alerts_are_those_of_process_bag_each_once(graph, node, show):
    events = graph.collect(Event, 'events', 1000)
    alerts = graph.collect(Alert, 'alerts', 1000)
    assert until(lambda: graph.peer.count_publishers('events') == 2)
    film = scene(16.0, naps)
    with OfflinePipeline(('fatigue', 'attention')) as pipeline:
        fed = [
            result
            for message in film
            for result in pipeline.feed(
                '/faces', 'aitable_msgs/msg/FaceArray', serialize_message(message)
            )
        ]
    offline = {
        kind: sorted(one.data for one in fed if one.type_name == f'aitable_msgs/msg/{kind}')
        for kind in ('Event', 'Alert')
    }
    show(film)
    assert until(lambda: len(events) == len(offline['Event']))
    assert until(lambda: len(alerts) == len(offline['Alert']))
    assert sorted(map(canonical, events)) == offline['Event']
    assert sorted(map(canonical, alerts)) == offline['Alert']
    kinds = [one.kind for one in events]
    assert kinds.count(Event.MICROSLEEP) == 1
    assert kinds.count(Event.CAME) == 1
    assert kinds.count(Event.BLINK) >= 2
    assert [(one.cause, one.level) for one in alerts] == [
        (Alert.ASLEEP, Alert.WARNING),
        (Alert.ASLEEP, Alert.NONE),
    ]
    microsleep = next(one for one in events if one.kind == Event.MICROSLEEP)
    assert microsleep.person_id == 'f1'
    assert microsleep.start.sec + microsleep.start.nanosec * 1e-9 == pytest.approx(109, abs=0.1)
    assert microsleep.duration == pytest.approx(2.0, abs=0.15)


def test_late_subscribers_get_the_alerts(graph, node, show):
    show(scene(12.0, naps))
    latched = QoSProfile(depth=32, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    got = []
    graph.run(lambda: graph.peer.create_subscription(Alert, 'alerts', got.append, latched))
    assert until(lambda: len(got) == 1)
    assert (got[0].level, got[0].reason) == (Alert.WARNING, 'eyes closed for 1.5 s')
    assert 'WARNING: eyes closed' in dict(node.diagnostics())['alerts']


def test_acknowledge(graph, node, show):
    alerts = graph.collect(Alert, 'alerts')
    assert graph.trigger('/attention/acknowledge').message == 'there is no alert'
    film = scene(12.0, naps)
    show(film[:-5])
    assert until(lambda: len(alerts) == 1)
    assert graph.trigger('/attention/acknowledge').success
    show(film[-5:])
    assert until(lambda: len(alerts) == 2)
    assert (alerts[1].level, alerts[1].acknowledged) == (Alert.WARNING, True)


def test_set_front(graph, node, show):
    assert not graph.trigger('/attention/set_front').success
    show(scene(2.0, lambda t: {'f1': ASIDE}))
    assert show([])[-1].zone == Attention.AWAY
    assert graph.trigger('/attention/set_front').success
    message = show(scene(4.0, lambda t: {'f1': ASIDE})[30:])[-1]
    assert (message.zone, message.natural) == (Attention.FRONT, Attention.SET)


def test_a_posture_is_enough_for_its_events_and_alerts(graph, node):
    events, alerts = graph.collect(Event, 'events'), graph.collect(Alert, 'alerts')
    publisher = graph.peer.create_publisher(Posture, 'posture', 10)
    assert until(lambda: publisher.get_subscription_count() == 1)
    for i in range(330):
        state = Posture.UPRIGHT if i < 10 else Posture.SLOUCHING
        message = Posture(header=header(100.0 + i / 5), person_id='f1', state=state)
        message.state_s = max(i - 10, 0) / 5
        publisher.publish(message)
        time.sleep(0.005)  # ten wait at most
    assert until(lambda: len(alerts) == 1)
    assert (alerts[0].cause, alerts[0].level) == (Alert.POOR_POSTURE, Alert.HINT)
    assert [(one.kind, one.value) for one in events] == [
        (Event.POSTURE_CHANGED, Posture.SLOUCHING)
    ]


def test_durations_are_changed_while_it_works(graph, node, show):
    alerts = graph.collect(Alert, 'alerts')
    assert set_parameter(node, 'alerts.looking_away.hint_s', 1.0).successful
    show(scene(4.0, lambda t: {'f1': ASIDE if t > 1.0 else FRONT}))
    assert until(lambda: len(alerts) == 1)
    assert alerts[0].cause == Alert.LOOKING_AWAY
    assert not set_parameter(node, 'window.min_observed_s', 1000.0).successful


def test_reset_forgets_everybody_and_ends_the_alerts(graph, node, show):
    alerts = graph.collect(Alert, 'alerts')
    film = scene(12.0, naps)
    show(film[:-5])
    assert until(lambda: len(alerts) == 1)
    assert graph.trigger('/attention/reset').success
    show(film[-5:])
    assert until(lambda: len(alerts) == 2)
    assert alerts[1].level == Alert.NONE


def test_the_camera_that_sees_nothing_has_a_name(graph, node, show):
    fatigue = graph.collect(Fatigue, 'fatigue')
    show([faces(100.0, {'f1': FRONT})])
    show([faces(100.1, {}, Seeing.COVERED)])
    assert until(lambda: len(fatigue) == 1)
    assert dict(node.diagnostics())['faces without fatigue'] == 0
