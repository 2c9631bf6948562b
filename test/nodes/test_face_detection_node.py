# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The face detection node publishes who is in each image, under the image's own header."""

from __future__ import annotations

import math
import re
import shutil
import time

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_fixtures import image_message, set_parameter, until
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from aitable_msgs.msg import FaceArray
from aitable_ros.model_zoo import loading
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.ros_support.frames.image_conversion import rgb_to_compressed
from aitable_ros.ros_support.messages.results import landmarks_of
from aitable_ros.simulation import AstronautSequence

pytestmark = pytest.mark.models

BACKENDS = 'face_detection: litert, face_attention: litert, face_detection_back: litert'


@pytest.fixture(scope='module')
def sequence():
    return AstronautSequence()


@pytest.fixture
def node(graph, engines_dir):
    node = graph.make(FaceDetectionNode, engines_dir=str(engines_dir))
    assert until(lambda: node.is_active, 30)
    return node


@pytest.fixture
def faces(graph):
    return graph.collect(FaceArray, 'faces')


@pytest.fixture
def camera(graph):
    return graph.peer.create_publisher(Image, 'image_raw', 10)


def show(camera, faces, image, stamp_s):
    """Publish one image and wait for its answer."""
    assert until(lambda: camera.get_subscription_count() > 0)
    count = len(faces)
    camera.publish(image_message(image, stamp_s))
    assert until(lambda: len(faces) > count)
    return faces[-1]


def test_header_id_box_and_landmarks(graph, node, faces, camera, sequence):
    for i in range(5):
        answer = show(camera, faces, sequence.frame(i), 10.0 + i / 30)
    assert answer.header.stamp.sec == 10
    assert answer.header.stamp.nanosec == pytest.approx(4 / 30 * 1e9, abs=2)
    assert answer.header.frame_id == 'camera'
    assert (answer.image_width, answer.image_height) == (640, 480)
    (face,) = answer.faces
    assert re.fullmatch(r'f\d{5}_1', face.face_id)
    assert face.header == answer.header
    assert face.backend == BACKENDS
    assert face.presence > 0.9
    assert face.confidence > 0.5
    assert face.tracked_s == pytest.approx(4 / 30, abs=1e-3)
    head = sequence.head(4)
    middle = (face.x + face.width / 2, face.y + face.height / 2)
    assert middle == pytest.approx(head.center_px, abs=0.15 * head.face_width_px)
    landmarks = landmarks_of(face)
    # left and right are the subject's own: the left eye lies right in the image
    assert landmarks[263, 0] > landmarks[362, 0] > landmarks[133, 0] > landmarks[33, 0]


def test_an_image_without_a_face_is_answered_too(graph, node, faces, camera):
    answer = show(camera, faces, np.full((480, 640, 3), 127, np.uint8), 1.0)
    assert list(answer.faces) == []
    assert answer.image_width == 640


def test_a_malformed_image_is_dropped_and_counted_and_the_node_goes_on(
    graph, node, faces, camera, sequence
):
    show(camera, faces, sequence.frame(0), 1.0)
    message = image_message(sequence.frame(1), 2.0)
    message.height = 481
    camera.publish(message)
    assert until(lambda: node.meters.malformed == 1)
    answer = show(camera, faces, sequence.frame(2), 3.0)
    assert len(answer.faces) == 1
    assert [m.header.stamp.sec for m in faces] == [1, 3]
    assert node.meters.failures == 0


def test_compressed_images(graph, engines_dir, faces, sequence):
    node = graph.make(
        FaceDetectionNode, engines_dir=str(engines_dir), image_transport='compressed'
    )
    assert until(lambda: node.is_active, 30)
    camera = graph.peer.create_publisher(CompressedImage, 'image_raw/compressed', 10)
    assert until(lambda: camera.get_subscription_count() > 0)
    header = image_message(sequence.frame(0), 7.0).header
    camera.publish(rgb_to_compressed(sequence.frame(0), header))
    assert until(lambda: faces)
    assert len(faces[0].faces) == 1
    assert faces[0].header.stamp.sec == 7


@pytest.mark.parametrize('backend', ['litert', 'onnxruntime'])
def test_a_named_backend_runs_and_is_named_in_every_message(
    graph, engines_dir, faces, camera, sequence, backend
):
    node = graph.make(FaceDetectionNode, engines_dir=str(engines_dir), backend=backend)
    assert until(lambda: node.is_active, 30)
    answer = show(camera, faces, sequence.frame(0), 1.0)
    assert answer.backend == BACKENDS.replace('litert', backend)
    assert answer.faces[0].backend == answer.backend


def test_missing_models_leave_it_unconfigured_and_diagnostics_say_why(graph, tmp_path):
    catalog = tmp_path / 'models.yaml'
    catalog.write_text('models: {face_attention: {required: true, primary: litert}}')
    node = graph.make(FaceDetectionNode, models_file=str(catalog))
    status = graph.status(lambda s: s.level == DiagnosticStatus.ERROR)
    assert 'face_detection' in status.message
    assert until(lambda: node.state == 'unconfigured')


def test_reload_under_a_stream_loses_no_frame_and_keeps_the_ids(graph, engines_dir, sequence):
    node = graph.make(
        FaceDetectionNode,
        engines_dir=str(engines_dir),
        **{
            'qos_overrides__/image_raw__subscription__reliability': 'reliable',
            'qos_overrides__/image_raw__subscription__depth': 50,
        },
    )
    assert until(lambda: node.is_active, 30)
    faces = graph.collect(FaceArray, 'faces')
    camera = graph.peer.create_publisher(Image, 'image_raw', 50)
    show(camera, faces, sequence.frame(0), 1.0)
    before = node.loaded
    client = graph.run(lambda: graph.peer.create_client(Trigger, 'face_detection/reload'))
    assert client.wait_for_service(10.0)
    reply = client.call_async(Trigger.Request())
    sent = 1
    while not (reply.done() and sent >= 20):
        assert sent < 500, 'no reply'
        camera.publish(image_message(sequence.frame(sent % 20), 1.0 + sent / 30))
        sent += 1
        time.sleep(1 / 30)
    assert reply.result().success, reply.result().message
    assert 'face_attention runs on litert' in reply.result().message
    assert node.loaded is not before
    # those that a slow machine lets be overtaken are counted: none is lost otherwise
    assert until(lambda: len(faces) + node.overtaken >= sent, 20)
    assert len(faces) + node.overtaken == sent
    assert len({face.face_id for message in faces for face in message.faces}) == 1
    tracked = [message.faces[0].tracked_s for message in faces]
    assert tracked == sorted(tracked)


def test_reload_with_a_backend_that_does_not_load_keeps_the_old(
    graph, node, faces, camera, sequence, tmp_path
):
    show(camera, faces, sequence.frame(0), 1.0)
    set_parameter(node, 'backend', 'pytorch')
    reply = graph.trigger('face_detection/reload')
    assert not reply.success
    assert 'pytorch' in reply.message
    answer = show(camera, faces, sequence.frame(1), 1.1)
    assert answer.faces[0].face_id.endswith('_1')
    assert answer.faces[0].backend == BACKENDS


def test_thresholds_change_between_two_frames_and_the_face_stays_the_same(
    graph, node, faces, camera, sequence
):
    for i in range(3):
        show(camera, faces, sequence.frame(i), 1.0 + i / 30)
    # above any presence: what is followed is no face any more
    set_parameter(node, 'min_presence', 1.0)
    set_parameter(node, 'min_followed_presence', 1.0)
    assert not show(camera, faces, sequence.frame(3), 1.1).faces
    set_parameter(node, 'min_presence', 0.5)
    set_parameter(node, 'min_followed_presence', 0.25)
    (face,) = show(camera, faces, sequence.frame(4), 1.2).faces
    assert face.face_id.endswith('_1')  # within memory
    set_parameter(node, 'memory', 0.0)
    show(camera, faces, np.full((480, 640, 3), 127, np.uint8), 1.3)
    (face,) = show(camera, faces, sequence.frame(5), 1.5).faces
    assert face.face_id.endswith('_2')


def test_reset_makes_everybody_a_stranger(graph, node, faces, camera, sequence):
    show(camera, faces, sequence.frame(0), 1.0)
    assert graph.trigger('face_detection/reset').success
    (face,) = show(camera, faces, sequence.frame(1), 1.1).faces
    assert face.face_id.endswith('_2')
    assert face.tracked_s == 0.0


def test_diagnostics_tell_backend_file_rates_latency_and_faces(
    graph, node, faces, camera, sequence
):
    heard = graph.collect(DiagnosticArray, '/diagnostics')
    show(camera, faces, sequence.frame(0), 1.0)
    assert until(
        lambda: [v for m in heard for s in m.status for v in s.values if v.key == 'faces']
    )
    assert until(lambda: {v.key: v.value for v in heard[-1].status[0].values}['outputs'] == '1', 5)
    values = {v.key: v.value for v in heard[-1].status[0].values}
    assert values['faces'] == '1'
    assert values['face_attention backend'] == 'litert'
    assert values['face_attention file'].endswith('face_attention.tflite')
    assert any(key.startswith('face_attention skipped') for key in values) == bool(
        node.selections()[1].skipped
    )
    for key in ('input rate [Hz]', 'latency p50 [ms]', 'latency p99 [ms]', 'overtaken'):
        float(values[key])
    # the stamps are of 1970
    assert 'stamps are not of this clock' in heard[-1].status[0].message
    assert not [key for key in values if 'GPU' in key]


def test_a_reload_does_not_give_up_the_network_of_the_eyes(
    graph, engines_dir, tmp_path, monkeypatch
):
    for file in (*engines_dir.glob('face_*.tflite'), *engines_dir.glob('face_*.json')):
        shutil.copy(file, tmp_path)
    node = graph.make(FaceDetectionNode, 'keen', engines_dir=str(tmp_path))
    assert until(lambda: node.is_active, 30)
    assert not node.loaded.why_unrefined
    for file in tmp_path.glob('face_attention.*'):
        file.unlink()
    monkeypatch.setattr(loading, 'fetch_if_possible', lambda *_, **__: 'no route to host')
    reply = graph.trigger('keen/reload')
    assert not reply.success
    assert 'face_attention.tflite is missing' in reply.message
    assert not node.loaded.why_unrefined
    assert set_parameter(node, 'refine_eyes', False).successful
    assert graph.trigger('keen/reload').success  # as was asked for
    assert node.loaded.why_unrefined == 'refine_eyes is false'


def test_late_images_keep_the_face_and_are_counted(graph, node, faces, camera, sequence):
    stamps_s = (50.0, 50.03, 50.02, 0.0, -3.5, 3650.0, 50.06)
    found = [show(camera, faces, sequence.frame(i), stamp_s) for i, stamp_s in enumerate(stamps_s)]
    assert len({answer.faces[0].face_id for answer in found}) == 1
    assert [answer.header.stamp.sec for answer in found] == [50, 50, 50, 0, -4, 3650, 50]
    assert dict(node.diagnostics())['late images'] == 4
    assert node.meters.failures == 0


def test_images_of_a_second_camera_are_left_out_and_warned_of(
    graph, node, faces, camera, sequence
):
    for i in range(5):
        first = show(camera, faces, sequence.frame(i), 50.0 + i / 30)
        camera.publish(image_message(sequence.frame(i + 10), 50.01 + i / 30, 'other'))
        assert until(lambda n=i + 1: dict(node.diagnostics())['images of other cameras'] == n)
    assert len(faces) == 5
    assert first.faces[0].tracked_s > 0.1
    assert 'two cameras on one topic: images of other' in node.health()[1]


def test_faces_take_turns_within_the_budget_and_diagnostics_say_what_looks(
    graph, engines_dir, faces, camera, sequence
):
    # far less than one face takes: one an image
    node = graph.make(FaceDetectionNode, engines_dir=str(engines_dir), budget_ms=0.01)
    assert until(lambda: node.is_active, 30)
    half = sequence.frame(0)[:, 160:480]
    two = np.ascontiguousarray(np.concatenate([half, half[:, ::-1]], axis=1))
    answers = [show(camera, faces, two, 5.0 + i / 30) for i in range(12)]
    for answer in answers[4:]:
        assert (len(answer.faces), len(answer.waiting)) == (1, 1)
        (waiting,) = answer.waiting
        assert (waiting.header, len(waiting.landmarks)) == (answer.header, 0)
        assert math.isnan(waiting.presence)
    measured = {answer.faces[0].face_id for answer in answers[4:]}
    assert measured == {answer.waiting[0].face_id for answer in answers[4:]}
    assert len(measured) == 2
    status = graph.status(lambda s: any(v.key == 'detector' for v in s.values))
    said = {value.key: value.value for value in status.values}
    assert said['faces'] == '2'
    assert said['measured faces'].startswith('1 in an image, ')
    assert said['detector'].startswith('face_detection_back: finds faces from 27 px on')


def test_the_short_range_detector_alone_where_it_was_asked_for(
    graph, engines_dir, faces, camera, sequence
):
    node = graph.make(FaceDetectionNode, engines_dir=str(engines_dir), detector='short')
    assert until(lambda: node.is_active, 30)
    answer = show(camera, faces, sequence.frame(0), 1.0)
    assert answer.backend == 'face_detection: litert, face_attention: litert'
