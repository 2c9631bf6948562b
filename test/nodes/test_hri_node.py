# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
ROS4HRI through real topics.

Most of it needs ``hri_msgs``, which is not on PyPI: install ros-<distro>-hri-msgs or build
github.com/ros4hri/hri_msgs (branch humble-devel) with colcon, and source it.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from diagnostic_msgs.msg import DiagnosticStatus
from ros_fixtures import image_message, until
from sensor_msgs.msg import Image

from aitable_msgs.msg import Attention, Emotion, Face, FaceArray, Fatigue
from aitable_ros.nodes.hri_node import HriNode
from aitable_ros.perception.images.decoding import image_to_rgb
from aitable_ros.ros_support.messages.hri import EXPRESSIONS
from aitable_ros.ros_support.messages.results import MAX_FACES

RELIABLE = {
    'qos_overrides__/image_raw__subscription__reliability': 'reliable',
    'qos_overrides__/image_raw__subscription__depth': 20,
}
TOPICS = ('roi', 'cropped', 'landmarks', 'expression')


@pytest.fixture
def hri():
    return pytest.importorskip(
        'hri_msgs.msg',
        reason='hri_msgs is not installed: ros-<distro>-hri-msgs, or build ros4hri/hri_msgs',
    )


def picture(width=640, height=480) -> np.ndarray:
    image = np.full((height, width, 3), 90, np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width)[None, :]
    image[:, :, 1] = np.linspace(0, 255, height)[:, None]
    return image


class Table:
    """Publishes what the other nodes would, and hears the hri node."""

    def __init__(self, graph, **parameters):
        self.graph = graph
        self.node = graph.make(HriNode, **RELIABLE, **parameters)
        peer = graph.peer
        self.faces, self.emotions, self.fatigues, self.camera = graph.run(
            lambda: [
                peer.create_publisher(FaceArray, 'faces', 20),
                peer.create_publisher(Emotion, 'emotion', 20),
                peer.create_publisher(Fatigue, 'fatigue', 20),
                peer.create_publisher(Image, 'image_raw', 20),
            ]
        )
        assert until(lambda: self.node.is_active)
        for publisher in (self.faces, self.emotions, self.fatigues):
            assert until(lambda p=publisher: p.get_subscription_count() > 0)

    def header(self, stamp_s):
        return image_message(np.zeros((1, 1, 3), np.uint8), stamp_s, 'camera_optical').header

    def face(self, face_id, stamp_s, **fields):
        landmarks = np.zeros((468, 3), np.float32)
        landmarks[:, 0] = 100.0 + np.arange(468) / 4
        landmarks[:, 1] = 50.0 + np.arange(468) / 5
        given = {'x': 100.0, 'y': 50.0, 'width': 120.0, 'height': 96.0, 'confidence': 0.75}
        given['landmarks'] = landmarks.reshape(-1).tolist()
        return Face(
            header=self.header(stamp_s),
            face_id=face_id,
            image_width=640,
            image_height=480,
            presence=0.5,
            **{**given, **fields},
        )

    def show(self, stamp_s, *face_ids, **fields):
        array = FaceArray(header=self.header(stamp_s), image_width=640, image_height=480)
        array.faces = [self.face(face_id, stamp_s, **fields) for face_id in face_ids]
        self.faces.publish(array)

    def listen(self, message_type, face_id, topic):
        """Hear a topic of a face; the face has to be there."""
        name = f'/humans/faces/{face_id}/{topic}'
        heard = self.graph.collect(message_type, name)
        topics = self.node._topics[face_id]
        assert until(lambda: getattr(topics, topic).get_subscription_count() > 0)
        return heard

    def appear(self, *face_ids):
        """Show faces until their topics are there."""
        self.show(1.0, *face_ids)
        assert until(lambda: set(self.node._topics) == set(face_ids))

    def published(self):
        """The topics of faces that the node publishes, as the graph knows them."""
        peer = self.graph.peer
        names = [n for n, _ in peer.get_topic_names_and_types() if n.startswith('/humans/faces/')]
        return {n for n in names if peer.count_publishers(n) and not n.endswith('/tracked')}


def test_without_hri_msgs_the_node_stays_unconfigured_and_says_so(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, 'hri_msgs', None)
    node = graph.make(HriNode)
    status = graph.status(lambda s: 'hri_msgs is not installed' in s.message)
    assert node.state == 'unconfigured'
    assert status.level == DiagnosticStatus.WARN  # an extra that is missing is no error
    assert 'ros-<distro>-hri-msgs' in status.message
    assert graph.peer.count_publishers('/humans/faces/tracked') == 0


def test_there_may_be_no_topics_of_images(graph, hri):
    table = Table(graph, publish_images=False)
    table.appear('f1')
    expected = {f'/humans/faces/f1/{topic}' for topic in TOPICS if topic != 'cropped'}
    assert until(lambda: table.published() == expected)
    table.show(2.0)
    assert until(lambda: table.published() == set())


def test_every_word_is_one_of_rep_155(hri):
    words = {
        getattr(hri.Expression, name)
        for name in dir(hri.Expression)
        if name.isupper() and isinstance(getattr(hri.Expression, name), str)
    }
    assert {*EXPRESSIONS.values(), 'tired', 'asleep'} <= words
    assert set(EXPRESSIONS) == set(range(7))  # all but contempt, which it does not have
    assert 'contempt' not in ' '.join(words)


def test_the_list_of_faces_has_the_header_of_the_image(graph, hri):
    table = Table(graph)
    tracked = graph.collect(hri.IdsList, '/humans/faces/tracked')
    assert until(lambda: table.node._tracked.get_subscription_count() > 0)
    table.show(5.25, 'f1', 'f2')
    assert until(lambda: tracked)
    assert tracked[0].ids == ['f1', 'f2']
    assert tracked[0].header == table.header(5.25)
    table.show(6.0)
    assert until(lambda: len(tracked) == 2)
    assert tracked[1].ids == []


def test_topics_come_and_go_with_the_face(graph, hri):
    table = Table(graph)
    assert table.published() == set()
    table.appear('f1', 'f2')
    both = {f'/humans/faces/{f}/{t}' for f in ('f1', 'f2') for t in TOPICS}
    assert until(lambda: table.published() == both)
    table.show(2.0, 'f2')
    assert until(lambda: table.published() == {n for n in both if '/f2/' in n})
    table.show(3.0)
    assert until(lambda: table.published() == set())


def test_publishers_are_made_and_destroyed_in_the_executors_thread(graph, hri, monkeypatch):
    threads = set()
    for name in ('create_publisher', 'destroy_publisher'):
        method = getattr(HriNode, name)

        def noting(self, *args, _method=method, **kwargs):
            threads.add(threading.current_thread())
            return _method(self, *args, **kwargs)

        monkeypatch.setattr(HriNode, name, noting)
    node = graph.run(lambda: graph.make(HriNode))
    assert until(lambda: node.is_active)
    faces = graph.run(lambda: graph.peer.create_publisher(FaceArray, 'faces', 20))
    assert until(lambda: faces.get_subscription_count() > 0)
    message = FaceArray()
    message.faces = [Face(face_id='f1', image_width=640, image_height=480)]
    faces.publish(message)
    assert until(lambda: node._topics)
    faces.publish(FaceArray())
    assert until(lambda: not node._topics and not node._gone)
    assert threads == {graph._thread}


def test_region_and_landmarks(graph, hri):
    table = Table(graph)
    table.appear('f1')
    rois = table.listen(hri.NormalizedRegionOfInterest2D, 'f1', 'roi')
    landmarks = table.listen(hri.FacialLandmarks, 'f1', 'landmarks')
    table.show(7.5, 'f1')
    assert until(lambda: rois and landmarks)
    roi, points = rois[0], landmarks[0]
    assert roi.header == points.header == table.header(7.5)
    assert roi.xmin == pytest.approx(100.5 / 640)
    assert roi.ymax == pytest.approx(146.5 / 480)
    assert roi.c == 0.75
    assert (points.width, points.height) == (640, 480)
    assert len(points.landmarks) == 70
    # a named constant leads to FaceMesh's landmark of that place
    assert points.landmarks[hri.FacialLandmarks.NOSE].x == pytest.approx(101.5 / 640, abs=1e-6)
    assert points.landmarks[hri.FacialLandmarks.RIGHT_PUPIL].c == 0.0


def test_a_face_without_landmarks_has_a_region_all_the_same(graph, hri):
    table = Table(graph)
    table.appear('f1')
    rois = table.listen(hri.NormalizedRegionOfInterest2D, 'f1', 'roi')
    landmarks = table.listen(hri.FacialLandmarks, 'f1', 'landmarks')
    table.show(2.0, 'f1', landmarks=[])
    assert until(lambda: rois)
    assert landmarks == []
    assert table.node.meters.failures == 0


def test_expression(graph, hri):
    table = Table(graph)
    table.appear('f1', 'f2')
    heard = table.listen(hri.Expression, 'f2', 'expression')
    emotion = Emotion(header=table.header(3.0), face_id='f1', expression=Emotion.SAD)
    table.emotions.publish(emotion)
    emotion.face_id, emotion.expression = 'f2', Emotion.FEAR
    emotion.confidence, emotion.valence, emotion.arousal = 0.5, -0.75, 0.25
    table.emotions.publish(emotion)
    assert until(lambda: heard)
    (message,) = heard
    assert message.header == table.header(3.0)
    assert message.expression == hri.Expression.SCARED
    assert (message.valence, message.arousal, message.confidence) == (-0.75, 0.25, 0.5)


@pytest.mark.parametrize(
    ('choice', 'level', 'word'),
    [
        ('asleep', Fatigue.LEVEL_ASLEEP, 'asleep'),
        ('asleep', Fatigue.LEVEL_SEVERE, 'happy'),
        ('tired', Fatigue.LEVEL_SEVERE, 'tired'),
        ('none', Fatigue.LEVEL_ASLEEP, 'happy'),
    ],
)
def test_who_sleeps_has_no_other_expression(graph, hri, choice, level, word):
    table = Table(graph, sleepy_expressions=choice)
    table.appear('f1')
    heard = table.listen(hri.Expression, 'f1', 'expression')
    table.fatigues.publish(Fatigue(header=table.header(2.0), face_id='f1', level=level))
    assert until(lambda: 'f1' in table.node._fatigues)
    table.emotions.publish(
        Emotion(header=table.header(2.0), face_id='f1', expression=Emotion.HAPPY, confidence=0.25)
    )
    assert until(lambda: heard)
    assert heard[0].expression == word
    # how sure it is that there is a face at all, where the network was not asked
    assert heard[0].confidence == (0.25 if word == 'happy' else 0.5)


def test_cropped_faces_and_images_only_on_demand(graph, hri):
    table = Table(graph)
    table.appear('f1')
    assert graph.peer.count_subscribers('image_raw') == 0
    cropped = table.listen(Image, 'f1', 'cropped')
    assert until(lambda: table.camera.get_subscription_count() > 0)
    table.camera.publish(image_message(picture(), 9.0, 'camera_optical'))
    assert until(lambda: len(table.node.frames._frames) == 1)
    table.show(9.0, 'f1')
    assert until(lambda: cropped)
    (message,) = cropped
    assert (message.width, message.height, message.encoding) == (128, 128, 'rgb8')
    assert message.header == table.header(9.0)
    crop = image_to_rgb(message)
    np.testing.assert_allclose(crop[64, 64], picture()[98, 160], atol=4)
    assert not crop[:10].any()  # wider than high: black above and below
    table.show(10.0, 'f1')  # its image never came
    assert until(lambda: dict(table.node.diagnostics())['faces without their image'] == 1)
    subscription = graph.peer.subscriptions
    crops = [s for s in subscription if s.topic_name.endswith('/cropped')]
    graph.run(lambda: [graph.peer.destroy_subscription(s) for s in crops])
    assert until(lambda: table.camera.get_subscription_count() == 0)
    assert table.node.meters.failures == 0


def test_gaze_frames(graph, hri):
    tf = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed: it is in ros-base')
    table = Table(graph)
    heard = graph.collect(tf.TFMessage, '/tf')
    assert until(lambda: table.node._tf.get_subscription_count() > 0)
    table.appear('f1')
    fatigue = Fatigue(header=table.header(1.0), face_id='f1', head_pose_valid=True)
    fatigue.head_position.z = 0.6
    fatigue.head_orientation.w = 1.0
    table.fatigues.publish(fatigue)
    assert until(lambda: heard)
    (transform,) = heard[0].transforms
    assert transform.header == table.header(1.0)
    assert transform.child_frame_id == 'gaze_f1'
    assert transform.transform.translation.z == 0.6


@pytest.mark.parametrize('face_id', ['', '7', 'a b', 'f-1', '~f', 'f1/x'])
def test_ids_that_no_topic_can_be_named_after_are_left_out(graph, hri, face_id):
    table = Table(graph)
    tracked = graph.collect(hri.IdsList, '/humans/faces/tracked')
    assert until(lambda: table.node._tracked.get_subscription_count() > 0)
    table.show(1.0, face_id, 'f2')
    assert until(lambda: tracked)
    assert tracked[0].ids == ['f2']
    assert set(table.node._topics) == {'f2'}


def test_an_image_without_size_does_no_harm(graph, hri):
    table = Table(graph)
    table.appear('f1')
    rois = table.listen(hri.NormalizedRegionOfInterest2D, 'f1', 'roi')
    array = FaceArray(header=table.header(2.0))
    array.faces = [Face(header=table.header(2.0), face_id='f1', x=math.nan)]
    table.faces.publish(array)
    table.show(3.0, 'f1')
    assert until(lambda: rois)
    assert len(rois) == 1
    assert table.node.meters.failures == 0


def test_a_coming_and_going_leaves_nothing_behind(graph, hri):
    table = Table(graph)
    before = len(list(table.node.publishers))
    for i in range(60):
        table.show(1.0 + i, *(f'f{i + k}' for k in range(i % 3)))
        table.emotions.publish(Emotion(header=table.header(1.0 + i), face_id=f'f{i}'))
        table.fatigues.publish(Fatigue(header=table.header(1.0 + i), face_id=f'f{i}'))
    table.show(99.0)
    assert until(lambda: not table.node._topics and not table.node._gone)
    assert len(list(table.node.publishers)) == before
    assert table.node.meters.failures == 0
    assert until(lambda: table.published() == set())


def test_a_pause_takes_the_topics_back(graph, hri):
    table = Table(graph)
    table.appear('f1')
    assert until(lambda: len(table.published()) == len(TOPICS))
    table.node.trigger_deactivate()
    assert until(lambda: table.published() == set())
    assert graph.peer.count_publishers('/humans/faces/tracked') == 0
    table.node.trigger_activate()
    assert until(lambda: table.faces.get_subscription_count() > 0)
    table.appear('f1')
    assert until(lambda: len(table.published()) == len(TOPICS))
    table.node.trigger_deactivate()
    table.node.trigger_cleanup()
    assert table.node.state == 'unconfigured'


def test_no_more_faces_than_can_be_followed_get_topics(graph):
    """Without hri_msgs: any message will do for a topic."""
    node = graph.make(HriNode, autostart=False)
    node.loaded = SimpleNamespace(
        NormalizedRegionOfInterest2D=Image, FacialLandmarks=Image, Expression=Image
    )
    for names in (range(750), range(1000, 1750)):
        message = FaceArray(faces=[Face(face_id=f'x{i}') for i in names])
        message.faces[0].face_id = 'x' * 300
        graph.run(lambda m=message: node._take_faces(m))
        graph.run(node._follow_demand)
        topics = {p.topic_name for p in node.publishers if '/humans/' in p.topic_name}
        assert len(topics) == 4 * MAX_FACES


def test_there_is_no_gaze_frame_of_a_wrong_stamp(graph):
    """Without hri_msgs and tf2_msgs: only what is asked of them."""
    node = graph.make(HriNode, autostart=False)
    node._tf, node._tf_message = 'tf', lambda transforms: transforms

    def gazes(stamp_s):
        header = image_message(picture(8, 8), stamp_s).header
        list(node._face_results(FaceArray(header=header, faces=[Face(face_id='f1')])))
        fatigue = Fatigue(header=header, face_id='f1', head_pose_valid=True)
        fatigue.head_orientation.w = 1.0
        return len(list(node._fatigue_results(fatigue)))

    assert [gazes(stamp_s) for stamp_s in (50.0, 3650.0, 0.0, 50.1)] == [1, 0, 0, 1]


def test_who_looks_at_the_table(graph, hri):
    table = Table(graph)
    table.appear('f1')
    heard = graph.collect(hri.Gaze, '/humans/interactions/gaze')
    attention = graph.run(lambda: graph.peer.create_publisher(Attention, 'attention', 20))
    assert until(lambda: attention.get_subscription_count() > 0)
    assert until(lambda: table.node._gaze.get_subscription_count() > 0)
    for zone in (Attention.DESK, Attention.FRONT):
        attention.publish(Attention(header=table.header(2.0), face_id='f1', zone=zone))
    attention.publish(Attention(header=table.header(2.0), face_id='nobody', zone=Attention.FRONT))
    assert until(lambda: len(heard) == 1)
    assert (heard[0].sender, heard[0].receiver) == ('f1', '')
    assert heard[0].header == table.header(2.0)
    time.sleep(0.3)
    assert len(heard) == 1
