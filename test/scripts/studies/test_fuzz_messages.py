# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""The short form of scripts/studies/fuzz_messages.py: nodes answer among malformed messages."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from aitable_msgs.msg import Face, FaceArray

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / 'scripts' / 'studies'))
fuzz_messages = importlib.import_module('fuzz_messages')


@pytest.mark.parametrize('kind', [Image, CompressedImage, CameraInfo, FaceArray])
def test_messages_are_spoilt_in_many_ways_and_can_all_be_sent(kind):
    good = kind()
    if kind is FaceArray:
        good.faces = [Face(landmarks=[0.0] * 9)]
    elif kind is not CameraInfo:
        good.data.frombytes(bytes(range(256)))
    chance, before = random.Random(1), repr(good)
    spoilt = [fuzz_messages.spoil(good, chance) for _ in range(300)]
    assert len(set(map(repr, spoilt))) > 100
    assert all(map(serialize_message, spoilt))
    assert repr(good) == before


@pytest.mark.models
@pytest.mark.timeout(300)
def test_five_hundred_malformed_messages_change_nothing_for_the_good_images():
    for outcome in fuzz_messages.fuzz(500).values():
        assert outcome.is_well, outcome
        assert outcome.good == 27
        assert outcome.log_lines < 100
