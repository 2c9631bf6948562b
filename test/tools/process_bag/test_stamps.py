# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings with wrong stamps and with two cameras on one topic, by nodes and by the tool."""

from __future__ import annotations

import csv
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message

from aitable_msgs.msg import Fatigue
from aitable_ros.bags import BagReader, BagTarget, BagWriter, SampleBag, make_sample_bag
from aitable_ros.tools.analyze.command import main as analyze
from aitable_ros.tools.process_bag.command import main as process_bag

pytestmark = [pytest.mark.models, pytest.mark.ros]

FRAMES, FPS = 60, 15
WRONG = {20: -0.07, 35: -0.003 - 1 / FPS, 40: None, 50: 3600.0}
"""What is added to the stamps of some images [s]; None: the stamp is 0."""


@pytest.fixture(scope='module')
def bag(engines_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('stamps') / 'sample.mcap'
    content = SampleBag(seconds=FRAMES / FPS, fps=FPS, size_px=(320, 240))
    make_sample_bag(BagTarget(path, 'mcap'), content)
    return path


def rewritten(bag: Path, path: Path, change: Callable[[int, bytearray], None]) -> Path:
    """Write a bag anew, with the serialised images changed, by their number."""
    with BagReader(bag) as source, BagWriter(BagTarget(path, 'mcap')) as target:
        topics = {t: target.add_topic(t.name, source.definition(t), t.qos) for t in source.topics}
        number = 0
        for message in source.messages():
            data = bytearray(message.data)
            if message.topic.is_image:
                change(number, data)
                number += 1
            target.write(topics[message.topic], message.log_time_ns, bytes(data))
    return path


def with_wrong_stamps(number: int, data: bytearray) -> None:
    if number in WRONG:
        seconds, nanoseconds = struct.unpack_from('<iI', data, 4)
        change_s = WRONG[number]
        stamp_ns = seconds * 10**9 + nanoseconds + round((change_s or 0.0) * 1e9)
        struct.pack_into('<iI', data, 4, *divmod(stamp_ns if change_s is not None else 0, 10**9))


def of_two_cameras(number: int, data: bytearray) -> None:
    if number % 2:
        at = data.index(b'camera_optical_frame')
        data[at : at + 20] = b'another_camera_frame'


def by_nodes(bag: Path, folder: Path) -> list[Fatigue]:
    target = folder / f'{bag.stem}.out.mcap'
    nodes = ('--nodes', 'face_detection', 'fatigue')
    assert process_bag([str(bag), str(target), '--results-only', '--quiet', *nodes]) == 0
    with BagReader(target) as results:
        return [
            deserialize_message(message.data, Fatigue)
            for message in results.messages()
            if message.topic.name == '/fatigue'
        ]


def by_analyze(bag: Path, folder: Path) -> list[dict[str, str]]:
    assert analyze([str(bag), '--csv', str(folder / 'out.csv')]) == 0
    with (folder / 'out.csv').open() as file:
        return list(csv.DictReader(file))


def test_single_wrong_stamps_wipe_nothing(bag: Path, tmp_path: Path) -> None:
    wrong = rewritten(bag, tmp_path / 'wrong.mcap', with_wrong_stamps)
    found = by_nodes(wrong, tmp_path)
    assert len(found) == FRAMES
    assert len({message.face_id for message in found}) == 1
    (right,) = by_nodes(bag, tmp_path)[-1:]
    last = found[-1]
    assert last.perclos_observed_s == pytest.approx(right.perclos_observed_s, abs=1e-6)
    assert (last.face_id, last.blink_count) == (right.face_id, right.blink_count)


def test_and_the_tool_says_how_many(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = rewritten(bag, tmp_path / 'wrong.mcap', with_wrong_stamps)
    rows = by_analyze(wrong, tmp_path)
    assert len({row['face_id'] for row in rows}) == 1
    assert f'the stamps of {len(WRONG)} images do not follow' in capsys.readouterr().err


def test_two_cameras_on_one_topic_are_not_mixed(
    bag: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    mixed = rewritten(bag, tmp_path / 'mixed.mcap', of_two_cameras)
    found = by_nodes(mixed, tmp_path)
    assert {message.header.frame_id for message in found} == {'camera_optical_frame'}
    assert len(found) == FRAMES // 2
    assert 'two cameras on one topic' in capfd.readouterr().err
    assert len(by_analyze(mixed, tmp_path)) == FRAMES // 2
    assert f'{FRAMES // 2} images of another camera' in capfd.readouterr().err
