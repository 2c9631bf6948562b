# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from aitable_ros.ros_support.frames.frame_buffer import FrameBuffer


def frame(stamp_ns, frame_id='camera'):
    return SimpleNamespace(stamp_ns=stamp_ns, header=SimpleNamespace(frame_id=frame_id))


def filled(*stamps_ns, size=15):
    buffer = FrameBuffer(size)
    for stamp_ns in stamps_ns:
        buffer.add(frame(stamp_ns))
    return buffer


def kept(buffer, *stamps_ns):
    return [stamp_ns for stamp_ns in stamps_ns if buffer.get(stamp_ns) is not None]


def test_the_latest_frames_are_kept():
    assert kept(filled(1, 2, 3, size=2), 1, 2, 3) == [2, 3]


def test_a_frame_of_another_camera_is_another_one():
    buffer = filled(1)
    assert buffer.get(1, 'camera') is not None
    assert buffer.get(1, 'other') is None


def test_what_came_before_a_frame_can_go_whatever_its_stamp():
    buffer = filled(3, 9, 5, 6)
    buffer.drop_before(5)
    assert kept(buffer, 3, 9, 5, 6) == [5, 6]


def test_nothing_goes_for_a_frame_that_is_not_there():
    buffer = filled(3, 4)
    buffer.drop_before(5)
    assert kept(buffer, 3, 4) == [3, 4]
