# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The emotion node: EmoNet where its weights are, the landmarks where not, and it says which."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from ros_fixtures import image_message, set_parameter, until
from sensor_msgs.msg import Image

from aitable_msgs.msg import Emotion, Face, FaceArray
from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.simulation import AstronautSequence

RELIABLE = {
    'qos_overrides__/image_raw__subscription__reliability': 'reliable',
    'qos_overrides__/image_raw__subscription__depth': 20,
}


@pytest.fixture(scope='module')
def sequence():
    return AstronautSequence()


class Table:
    """Publishes images together with the faces in them, as camera and face_detection do."""

    def __init__(self, graph, node, sequence):
        self.sequence = sequence
        self.emotions = graph.collect(Emotion, 'emotion')
        self.camera = graph.peer.create_publisher(Image, 'image_raw', 20)
        self.faces = graph.peer.create_publisher(FaceArray, 'faces', 20)
        assert until(lambda: node.is_active, 30)
        assert until(lambda: self.faces.get_subscription_count() > 0)
        self.looks = dict(node.diagnostics())['emotion reading'] != 'geometry'
        if self.looks:
            assert until(lambda: self.camera.get_subscription_count() > 0)
        self.node = node

    def show(self, stamp_s, faces=1, *, image=True):
        message = image_message(self.sequence.frame(0), stamp_s)
        if self.looks and image:
            received = len(self.node.frames._frames)
            self.camera.publish(message)
            assert until(lambda: len(self.node.frames._frames) > received)
        head = self.sequence.head(0)
        side = head.face_width_px
        array = FaceArray(header=message.header, image_width=640, image_height=480)
        for i in range(faces):
            # the further ones beside the first
            array.faces.append(
                Face(
                    header=message.header,
                    face_id=f'f{i + 1}',
                    x=head.center_px[0] - side / 2 + 40.0 * i,
                    y=head.center_px[1] - side / 2,
                    width=side,
                    height=side,
                    image_width=640,
                    image_height=480,
                )
            )
        self.faces.publish(array)

    def answers(self, count):
        assert until(lambda: len(self.emotions) >= count), len(self.emotions)
        return self.emotions


@pytest.mark.models
def test_without_weights_the_package_s_own_network_reads_and_says_why(graph, engines_dir):
    node = graph.make(EmotionNode, engines_dir=str(engines_dir))
    assert until(lambda: node.is_active, 30)
    values = dict(node.diagnostics())
    assert values['emotion reading'] == 'expression'
    for backend in ('tensorrt', 'ncnn', 'onnxruntime', 'pytorch'):
        assert backend in values['emotion skipped']
    assert 'fetch_models emonet' in values['emotion skipped']
    assert 'fetch_models emotieff' in values['emotion skipped']
    assert 'fer.tflite sha256:' in values['model']


def test_by_the_landmarks_alone_it_needs_no_images(graph, tmp_path):
    node = graph.make(EmotionNode, engines_dir=str(tmp_path), reading='geometry')
    assert until(lambda: node.is_active, 30)
    assert 'emotion skipped' not in dict(node.diagnostics())
    assert graph.peer.count_subscribers('image_raw') == 0


def test_a_named_backend_without_its_file_is_an_error(graph, tmp_path):
    node = graph.make(
        EmotionNode, reading='emonet', backend='onnxruntime', engines_dir=str(tmp_path)
    )
    assert until(lambda: 'emonet.onnx is missing' in node.health()[1], 30)
    assert until(lambda: node.state == 'unconfigured')


@pytest.mark.parametrize('stamps_s', [(10.0, -10.0), (-10.0, -9.9)])
def test_all_faces_of_an_image_from_before_1970_are_answered(graph, tmp_path, sequence, stamps_s):
    node = graph.make(EmotionNode, engines_dir=str(tmp_path), reading='geometry')
    table = Table(graph, node, sequence)
    for i, stamp_s in enumerate(stamps_s, 1):
        table.show(stamp_s, faces=2)
        table.answers(2 * i)
    assert [answer.face_id for answer in table.answers(4)] == ['f1', 'f2'] * 2
    assert [answer.header.stamp.sec for answer in table.answers(4)][2] == int(stamps_s[1] // 1)
    assert node.meters.failures == 0


@pytest.mark.parametrize('backend', ['onnxruntime', 'pytorch'])
def test_all_faces_of_an_image_each_with_backend_and_model(
    graph, random_emonet_dir, sequence, backend
):
    node = graph.make(
        EmotionNode, engines_dir=str(random_emonet_dir), backend=backend, max_rate=0.0, **RELIABLE
    )
    table = Table(graph, node, sequence)
    table.show(1.0, faces=2)
    first, second = table.answers(2)
    assert [first.face_id, second.face_id] == ['f1', 'f2']
    assert first.header == second.header
    assert first.backend == backend
    file = {'onnxruntime': 'emonet.onnx', 'pytorch': 'emonet.pth'}[backend]
    assert first.model.startswith(f'{file} sha256:')
    for answer in (first, second):
        assert sum(answer.probabilities) == pytest.approx(1.0, abs=1e-3)
        sure = answer.confidence >= 0.4
        assert answer.expression == (
            np.argmax(answer.probabilities) if sure else Emotion.UNCERTAIN
        )
        assert answer.confidence == pytest.approx(max(answer.probabilities))
        assert -1 <= answer.valence <= 1
        assert -1 <= answer.arousal <= 1


def test_a_face_whose_image_was_lost_is_left_out(graph, random_emonet_dir, sequence):
    node = graph.make(
        EmotionNode,
        engines_dir=str(random_emonet_dir),
        backend='onnxruntime',
        max_rate=0.0,
        **RELIABLE,
    )
    table = Table(graph, node, sequence)
    table.show(1.0, image=False)
    table.show(2.0)
    (answer,) = table.answers(1)
    assert answer.header.stamp.sec == 2
    assert dict(node.diagnostics())['faces without their image'] == 1


@pytest.fixture(scope='module')
def brightness_dir(tmp_path_factory):
    """A network of EmoNet's contract that calls bright crops happy: quick, without weights."""
    onnx = pytest.importorskip('onnx')
    from onnx import TensorProto, helper

    def tensor(name, values):
        array = np.asarray(values, np.float32)
        return helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.ravel())

    weights = np.zeros((1, 8), np.float32)
    weights[0, 1] = 1.0
    graph = helper.make_graph(
        [
            helper.make_node('Cast', ['image'], ['pixels'], to=TensorProto.FLOAT),
            helper.make_node('ReduceMean', ['pixels'], ['mean'], axes=[1, 2, 3], keepdims=0),
            helper.make_node('Unsqueeze', ['mean', 'one'], ['column']),
            helper.make_node('MatMul', ['column', 'weights'], ['expression']),
            helper.make_node('MatMul', ['column', 'hundredth'], ['valence']),
            helper.make_node('Neg', ['valence'], ['arousal']),
        ],
        'brightness',
        [helper.make_tensor_value_info('image', TensorProto.UINT8, ['N', 256, 256, 3])],
        [
            helper.make_tensor_value_info('expression', TensorProto.FLOAT, ['N', 8]),
            helper.make_tensor_value_info('valence', TensorProto.FLOAT, ['N', 1]),
            helper.make_tensor_value_info('arousal', TensorProto.FLOAT, ['N', 1]),
        ],
        [
            tensor('weights', weights),
            tensor('hundredth', [[0.001]]),
            helper.make_tensor('one', TensorProto.INT64, [1], [1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=8)
    folder = tmp_path_factory.mktemp('brightness')
    onnx.save(model, folder / 'emonet.onnx')
    return folder


def test_reload_brings_in_a_network_that_has_come_and_takes_out_one_that_went(
    graph, brightness_dir, tmp_path, sequence
):
    settings = {'engines_dir': str(tmp_path), 'reading': 'geometry', 'max_rate': 0.0}
    node = graph.make(EmotionNode, **settings, **RELIABLE)
    table = Table(graph, node, sequence)
    table.show(1.0)
    assert table.answers(1)[0].reading == 'geometry'
    set_parameter(node, 'reading', 'auto')
    set_parameter(node, 'engines_dir', str(brightness_dir))
    reply = graph.trigger('emotion/reload')
    assert reply.success, reply.message
    table.looks = True
    assert until(lambda: table.camera.get_subscription_count() > 0)
    table.show(2.0)
    answer = table.answers(2)[1]
    assert (answer.reading, answer.backend) == ('emonet', 'onnxruntime')
    assert answer.label == 'happy'
    set_parameter(node, 'reading', 'geometry')
    assert graph.trigger('emotion/reload').success
    assert until(lambda: graph.peer.count_subscribers('image_raw') == 0)
    table.looks = False
    table.show(3.0)
    assert table.answers(3)[2].reading == 'geometry'


def test_smoothing_and_crop_change_between_two_images(graph, brightness_dir, sequence):
    node = graph.make(
        EmotionNode, engines_dir=str(brightness_dir), max_rate=0.0, smoothing=60.0, **RELIABLE
    )
    table = Table(graph, node, sequence)
    table.show(1.0)
    first = table.answers(1)[0]
    set_parameter(node, 'crop_scale', 4.0)
    table.show(1.1)
    second = table.answers(2)[1]
    # another crop has another brightness, of which smoothing lets hardly anything through
    assert second.valence == pytest.approx(first.valence, abs=2e-3)
    assert second.valence != first.valence
    set_parameter(node, 'smoothing', 0.0)
    table.show(1.2)
    assert abs(table.answers(3)[2].valence - first.valence) > 5e-3
