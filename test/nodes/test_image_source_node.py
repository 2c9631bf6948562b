# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The image source publishes camera-like images at its rate."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.parameter import Parameter
from ros_fixtures import set_parameter, until
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool

from aitable_ros.nodes.image_source_node import ImageSourceNode
from aitable_ros.perception.images.decoding import image_to_rgb
from aitable_ros.simulation import AstronautSequence


@pytest.mark.parametrize('encoding', ['bgr8', 'rgb8', 'mono8'])
def test_the_sample_in_every_encoding(graph, encoding):
    images = graph.collect(Image, 'image_raw')
    graph.make(ImageSourceNode, encoding=encoding)
    assert until(lambda: len(images) >= 3, 30)
    assert {m.encoding for m in images} == {encoding}
    assert {(m.width, m.height) for m in images} == {(640, 480)}
    assert images[0].header.frame_id == 'camera_optical_frame'
    sequence = AstronautSequence()
    shown = image_to_rgb(images[0]).astype(int)
    nearest = min(np.abs(shown - sequence.frame(i)).mean() for i in range(5))
    assert nearest == 0 if encoding != 'mono8' else nearest < 60


def test_stamps_are_increasing_and_paced(graph):
    images = graph.collect(Image, 'image_raw')
    graph.make(ImageSourceNode, rate=20.0)
    assert until(lambda: len(images) >= 21, 30)
    stamps = np.array([m.header.stamp.sec + m.header.stamp.nanosec * 1e-9 for m in images])
    assert (np.diff(stamps) > 0).all()
    assert np.median(np.diff(stamps)) == pytest.approx(0.05, rel=0.2)


def test_a_picture_as_jpeg_and_raw(graph, tmp_path):
    picture = tmp_path / 'picture.png'
    cv2.imwrite(str(picture), np.full((32, 48, 3), (10, 20, 200), np.uint8))
    raw = graph.collect(Image, 'image_raw')
    compressed = graph.collect(CompressedImage, 'image_raw/compressed')
    graph.make(ImageSourceNode, source=str(picture), image_transport='both')
    assert until(lambda: raw and compressed, 30)
    np.testing.assert_array_equal(image_to_rgb(raw[0])[0, 0], (200, 20, 10))
    np.testing.assert_allclose(image_to_rgb(compressed[0])[16, 24], (200, 20, 10), atol=6)


def test_it_ends_with_a_source_that_does_not_loop(graph, tmp_path):
    for i in range(3):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((16, 16, 3), 40 * i, np.uint8))
    images = graph.collect(Image, 'image_raw')
    node = graph.make(
        ImageSourceNode, source=str(tmp_path), loop=False, rate=10.0, autostart=False
    )
    change(graph, Transition.TRANSITION_CONFIGURE)
    assert until(lambda: node.count_subscribers('image_raw') == 1)
    change(graph, Transition.TRANSITION_ACTIVATE)
    assert until(lambda: dict(node.diagnostics())['ended'])
    assert until(lambda: len(images) == 3)


def test_a_source_that_is_not_there_leaves_it_unconfigured_with_a_reason(graph):
    node = graph.make(ImageSourceNode, source='/no/such/file.mp4')
    assert until(lambda: 'no/such/file' in node.health()[1])
    assert until(lambda: node.state == 'unconfigured')


def change(graph, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    assert graph.call(ChangeState, 'image_source/change_state', request).success


def test_how_images_are_published_changes_while_it_does(graph):
    images = graph.collect(Image, 'image_raw')
    node = graph.make(ImageSourceNode)
    assert until(lambda: images, 30)
    node.set_parameters(
        [Parameter('frame_id', value='table'), Parameter('encoding', value='mono8')]
    )
    assert until(lambda: (images[-1].header.frame_id, images[-1].encoding) == ('table', 'mono8'))


def test_reload_opens_another_source_and_a_failed_one_keeps_the_old(graph, tmp_path):
    cv2.imwrite(str(tmp_path / 'small.png'), np.full((32, 48, 3), 9, np.uint8))
    images = graph.collect(Image, 'image_raw')
    node = graph.make(ImageSourceNode)
    assert until(lambda: images, 30)
    set_parameter(node, 'source', '/no/such/file.mp4')
    reply = graph.trigger('image_source/reload')
    assert not reply.success
    assert '/no/such/file.mp4' in reply.message
    count = len(images)
    assert until(lambda: len(images) > count + 2)
    assert images[-1].width == 640
    set_parameter(node, 'source', str(tmp_path / 'small.png'))
    assert graph.trigger('image_source/reload').success
    assert until(lambda: images[-1].width == 48)


def test_neither_reload_nor_reset_waits_for_the_next_image(graph):
    images = graph.collect(Image, 'image_raw')
    node = graph.make(ImageSourceNode, rate=0.01)
    assert until(lambda: len(images) == 1, 30)
    set_parameter(node, 'rate', 50.0)
    assert graph.trigger('image_source/reload').success
    assert until(lambda: len(images) > 10)
    set_parameter(node, 'rate', 0.01)
    assert graph.trigger('image_source/reload').success
    assert graph.trigger('image_source/reset').success


def test_a_source_that_has_ended_is_a_warning_and_begins_again_on_reload(graph, tmp_path):
    cv2.imwrite(str(tmp_path / 'only.png'), np.full((16, 16, 3), 9, np.uint8))
    images = graph.collect(Image, 'image_raw')
    node = graph.make(ImageSourceNode, source=str(tmp_path), loop=False, rate=20.0)
    assert until(lambda: 'has ended' in node.health()[1], 30)
    count = len(images)
    assert graph.trigger('image_source/reload').success
    assert until(lambda: len(images) > count)


def test_disabled_it_is_silent_and_enabled_it_goes_on(graph):
    images = graph.collect(Image, 'image_raw')
    node = graph.make(ImageSourceNode)
    assert until(lambda: images, 30)
    request = SetBool.Request(data=False)
    assert graph.call(SetBool, 'image_source/set_enabled', request).success
    published = node.output_rate.count
    assert not until(lambda: node.output_rate.count > published, 0.5)
    assert node.is_active
    request = SetBool.Request(data=True)
    assert graph.call(SetBool, 'image_source/set_enabled', request).success
    assert until(lambda: node.output_rate.count > published + 2)
