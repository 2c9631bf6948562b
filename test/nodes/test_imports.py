# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""What the nodes of the launch file import: each module takes time at the start and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

NODES = ('component_container', 'face_detection_node', 'emotion_node', 'fatigue_node')
MOST = 745
"""Modules in all (706 with rclpy 7.1, NumPy 2.4 and OpenCV 4.14)."""


def test_few_modules_and_nothing_large():
    names = ', '.join(f'aitable_ros.nodes.{name}' for name in (*NODES, 'overlay_node'))
    code = f'import sys, {names}; print(*sys.modules)'
    loaded = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout.split()
    roots = {name.partition('.')[0] for name in loaded}
    assert not roots & {'scipy', 'skimage', 'torch', 'onnx', 'onnxruntime', 'mediapipe', 'rosbags'}
    assert len(loaded) <= MOST
