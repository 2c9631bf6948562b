# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Attention from recorded messages alone is that of the images; what others told stays."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message

from aitable_msgs.msg import Event
from aitable_ros.bags import BagReader, BagTarget, SampleBag, make_sample_bag
from aitable_ros.tools.process_bag.command import main

pytestmark = [pytest.mark.models, pytest.mark.ros]

TOPICS = ('/attention', '/events', '/alerts')


def messages(bag: Path) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = {topic: [] for topic in TOPICS}
    with BagReader(bag) as reader:
        for message in reader.messages():
            if message.topic.name in found:
                found[message.topic.name].append(message.data)
    return {topic: sorted(data) for topic, data in found.items()}


def test_a_second_run_gives_the_same_and_nothing_twice(engines_dir: Path, tmp_path: Path) -> None:
    bag, first, second = (tmp_path / f'{name}.mcap' for name in ('sample', 'first', 'second'))
    make_sample_bag(BagTarget(bag, 'mcap'), SampleBag(seconds=17.0, fps=15, size_px=(320, 240)))
    assert main([str(bag), str(first), '--quiet']) == 0
    assert main([str(first), str(second), '--quiet', '--nodes', 'attention']) == 0
    whole = messages(first)
    assert messages(second) == whole
    kinds = [deserialize_message(data, Event).kind for data in whole['/events']]
    assert kinds.count(Event.CAME) == 1
    assert {Event.BLINK, Event.MICROSLEEP} <= set(kinds)
    assert len(whole['/attention']) == 255
    assert len(whole['/alerts']) >= 1
