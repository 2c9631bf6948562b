# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Serialised images are read as rclpy reads them."""

from __future__ import annotations

import array
import struct

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from aitable_ros.perception.images.decoding import MalformedImageError, image_to_rgb
from aitable_ros.ros_support.frames.received_image import ReceivedImage, read_image

FIELDS = ('header', 'height', 'width', 'encoding', 'is_bigendian', 'step')


def image(frame_id='camera', encoding='bgr8', width=3, height=2):
    message = Image(height=height, width=width, encoding=encoding, is_bigendian=1)
    message.header.stamp.sec, message.header.stamp.nanosec = -5, 999_999_999
    message.header.frame_id = frame_id
    message.step = 3 * width
    message.data = array.array('B', range(3 * width * height))
    return message


# every place that a text can end at, and what no ASCII writes
@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'abcd', 'Kamera über dem Tisch'])
@pytest.mark.parametrize('encoding', ['', 'bgr8', 'mono8', '16UC1', 'rgb16'])
def test_as_rclpy(frame_id, encoding):
    serialized = bytes(serialize_message(image(frame_id, encoding)))
    expected, got = deserialize_message(serialized, Image), read_image(serialized)
    assert isinstance(got, ReceivedImage)
    for name in FIELDS:
        assert getattr(got, name) == getattr(expected, name)
    assert bytes(got.data) == expected.data.tobytes()


def test_the_pixels_are_not_copied():
    serialized = bytes(serialize_message(image()))
    pixels = image_to_rgb(read_image(serialized), contiguous=False)
    assert np.shares_memory(pixels, np.frombuffer(serialized, np.uint8))


def test_big_endian():
    # header: stamp, 'c'; height 1, width 1, 'mono8', not bigendian, step 1, one byte of data
    text = struct.pack('>I', 2) + b'c\0' + b'\0\0'
    content = struct.pack('>iI', 7, 8) + text + struct.pack('>III', 1, 1, 6) + b'mono8\0'
    content += b'\0' + b'\0' * (-(len(content) + 1) % 4) + struct.pack('>II', 1, 1) + b'\x2a'
    got = read_image(b'\0\0\0\0' + content)
    assert (got.header.stamp.sec, got.header.frame_id) == (7, 'c')
    assert (got.height, got.width, got.encoding, got.step) == (1, 1, 'mono8', 1)
    assert bytes(got.data) == b'\x2a'


@pytest.mark.parametrize('kept', [0, 3, 4, 11, 17, 30, -1])
def test_what_is_cut_short_is_malformed(kept):
    serialized = bytes(serialize_message(image()))
    with pytest.raises(MalformedImageError, match='cannot be read'):
        read_image(serialized[:kept])
