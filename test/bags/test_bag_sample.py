# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The sample bag holds the sample sequence, in messages that ROS reads."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from aitable_ros.bags import BagError, BagReader, BagTarget, SampleBag, make_sample_bag
from aitable_ros.simulation import AstronautSequence

START_NS = 1_700_000_000 * 10**9


def test_ros_reads_the_images_and_the_calibration(sample_folder: Path) -> None:
    serialization = pytest.importorskip(
        'rclpy.serialization', reason='ROS 2 is not installed: run scripts/test.sh'
    )
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    from aitable_ros.perception.head.camera import CameraIntrinsics
    from aitable_ros.perception.images.decoding import image_to_rgb

    classes = {c.__name__: c for c in (CameraInfo, CompressedImage, Image)}
    sequence = AstronautSequence(160, 120, 10, 0.4)
    with BagReader(sample_folder / 'bag.mcap') as bag:
        for i, message in enumerate(bag.messages()):
            message_class = classes[message.topic.type_name.rpartition('/')[2]]
            read = serialization.deserialize_message(message.data, message_class)
            stamp_ns = read.header.stamp.sec * 10**9 + read.header.stamp.nanosec
            assert stamp_ns == START_NS + i // 3 * 100_000_000
            if message_class is CameraInfo:
                intrinsics = CameraIntrinsics.from_camera_info(read)
                assert intrinsics.image_size_px == (160, 120)
                half_rad = math.atan2(80, read.k[0])
                assert math.degrees(2 * half_rad) == pytest.approx(62.2)
                continue
            rgb, wanted = image_to_rgb(read), sequence.frame(i // 3)
            off = np.abs(rgb.astype(int) - wanted)
            assert off.mean() < (3.0 if message_class is CompressedImage else 1e-9)


def test_length_is_told(tmp_path: Path) -> None:
    content = SampleBag(seconds=0.5, fps=6, size_px=(160, 120))
    assert make_sample_bag(BagTarget(tmp_path / 'x.mcap', 'mcap'), content) == 3


@pytest.mark.parametrize(
    ('wrong', 'complaint'),
    [
        ({'seconds': 0.0}, 'out of range'),
        ({'fps': math.nan}, 'out of range'),
        ({'raw': False, 'compressed': False}, 'nothing to write'),
        ({'topic': 'image_raw'}, 'no absolute topic'),
        ({'jpeg_quality': 0}, 'JPEG quality'),
    ],
)
def test_checked_on_creation(wrong, complaint) -> None:
    with pytest.raises(BagError, match=complaint):
        SampleBag(**wrong)


def test_frames_that_the_sequence_cannot_make(tmp_path: Path) -> None:
    with pytest.raises(BagError, match='at least 160 x 120'):
        make_sample_bag(BagTarget(tmp_path / 'x.mcap', 'mcap'), SampleBag(size_px=(8, 8)))
    assert list(tmp_path.iterdir()) == []
