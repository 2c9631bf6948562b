# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bags of strings, written without ROS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from aitable_ros.bags import BagTarget, BagWriter, find_definition
from aitable_ros.bags.writing import offered_qos

STRING = find_definition('std_msgs/msg/String')
START_NS = 1_700_000_000 * 10**9


def string_cdr(text: str) -> bytes:
    """Serialise a std_msgs/String."""
    data = text.encode() + b'\0'
    return b'\0\1\0\0' + len(data).to_bytes(4, 'little') + data


def make_bag(path: Path, *messages: tuple[str, float, str], **qos: Any) -> Path:
    """Write strings: (topic, time in seconds, text)."""
    with BagWriter(BagTarget(path, 'mcap')) as bag:
        topics: dict[str, Any] = {}
        for topic, time_s, text in messages:
            if topic not in topics:
                topics[topic] = bag.add_topic(topic, STRING, offered_qos(**qos))
            bag.write(topics[topic], START_NS + round(time_s * 1e9), string_cdr(text))
    return path


def announce_more(folder: Path, topic: str, more: int) -> None:
    """Let the metadata of a folder announce messages that are not there."""
    path = folder / 'metadata.yaml'
    content = yaml.safe_load(path.read_text())
    for row in content['rosbag2_bagfile_information']['topics_with_message_count']:
        if row['topic_metadata']['name'] == topic:
            row['message_count'] += more
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Five messages within 0.8 s of two topics."""
    return make_bag(
        tmp_path / 'five.mcap',
        *((f'/{"ab"[i % 2]}', 0.2 * i, f'text {i}') for i in range(5)),
    )
