# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
The nodes over a bag and ``analyze`` say the same of every image: all fields of all messages.

AITABLE_TEST_VIDEO names a further video to compare on.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header

from aitable_msgs.msg import Attention, Emotion, Event, FaceArray, Fatigue, Posture
from aitable_ros.bags import BagReader, BagTarget, BagWriter, SampleBag, make_sample_bag
from aitable_ros.bags.definitions import find_definition
from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
from aitable_ros.ros_support.messages.attention import attention_to_message, event_to_message
from aitable_ros.ros_support.messages.posture import posture_to_message
from aitable_ros.ros_support.messages.results import (
    emotion_to_message,
    faces_to_message,
    fatigue_to_message,
)
from aitable_ros.sources import open_source
from aitable_ros.tools.analyze.command import _parser
from aitable_ros.tools.analyze.inputs import BagInput
from aitable_ros.tools.analyze.run import load_observers
from aitable_ros.tools.process_bag.command import main as process_bag

pytestmark = [pytest.mark.models, pytest.mark.ros]

KINDS = {
    'faces': FaceArray,
    'emotion': Emotion,
    'fatigue': Fatigue,
    'attention': Attention,
    'events': Event,
    'posture': Posture,
}


@pytest.fixture(scope='module')
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its calibration, a blink and the beginning of a long closure."""
    path = tmp_path_factory.mktemp('same') / 'sample.mcap'
    content = SampleBag(seconds=13.0, fps=15, size_px=(480, 360))
    make_sample_bag(BagTarget(path, 'mcap'), content)
    return path


@pytest.fixture(scope='module')
def emonet_dir(engines_dir: Path, random_emonet_dir: Path) -> Path:
    """The networks, and an EmoNet of random weights."""
    for path in engines_dir.iterdir():
        link = random_emonet_dir / path.name
        if not link.exists():
            link.symlink_to(path)
    return random_emonet_dir


def by_nodes(bag: Path, folder: Path, *arguments: str) -> dict[str, list[Any]]:
    """All messages of the nodes, by topic."""
    target = folder / 'results.mcap'
    status = process_bag([str(bag), str(target), '--results-only', '--quiet', *arguments])
    assert status == 0
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    with BagReader(target) as results:
        for message in results.messages():
            kind = message.topic.name.strip('/')
            if kind in KINDS:
                found[kind].append(deserialize_message(message.data, KINDS[kind]))
    # analyze has no events of postures
    found['events'] = [one for one in found['events'] if one.kind < Event.POSTURE_CHANGED]
    return found


def by_analyze(bag: Path, *arguments: str) -> dict[str, list[Any]]:
    """All readings of the tool, as messages."""

    class Silent:
        def info(self, message: str) -> None: ...

        warning = info

    options = _parser().parse_args([str(bag), '--posture', '--max-faces', '4', *arguments])
    observers = load_observers(options, Silent())
    found: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for shot in BagInput(str(bag), bag).shots():
        seen = observers.observe(shot.image, shot.stamp_s, shot.intrinsics, shot.frame_id)
        assert seen is not None
        header = Header(frame_id='camera_optical_frame')
        header.stamp.sec, header.stamp.nanosec = divmod(round(shot.stamp_s * 1e9), 1_000_000_000)
        found['faces'].append(faces_to_message(seen.seen, header))
        found['emotion'] += [emotion_to_message(one, header) for one in seen.emotion]
        found['fatigue'] += [fatigue_to_message(one, header) for one in seen.fatigue]
        found['attention'] += [attention_to_message(one, header) for one in seen.attention]
        events = (*observers.fatigue.events, *observers.attention.events)
        found['events'] += [event_to_message(one, header) for one in events]
        if seen.posture is not None:
            found['posture'].append(posture_to_message(seen.posture, header))
    observers.close()
    return found


def differences(one: Any, other: Any, path: str = '') -> list[str]:
    """Name the fields that differ by more than rounding to float32, and the stamps' rounding."""
    if hasattr(one, 'get_fields_and_field_types'):
        return [
            text
            for name in one.get_fields_and_field_types()
            if name != 'header'
            for text in differences(getattr(one, name), getattr(other, name), f'{path}{name}.')
        ]
    if isinstance(one, (str, bool, int)):
        return [] if one == other else [f'{path} {one!r} {other!r}']
    if isinstance(one, float):
        same = (math.isnan(one) and math.isnan(other)) or math.isclose(
            one, other, rel_tol=1e-5, abs_tol=1e-5
        )
        return [] if same else [f'{path} {one!r} {other!r}']
    if len(one) and hasattr(one[0], 'get_fields_and_field_types'):
        return [text for a, b in zip(one, other) for text in differences(a, b, path)]
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same = a.shape == b.shape and np.allclose(a, b, rtol=1e-5, atol=1e-5, equal_nan=True)
    return [] if same else [f'{path} {a} {b}']


def compare(ours: dict[str, list[Any]], theirs: dict[str, list[Any]]) -> None:
    for kind in KINDS:
        assert len(ours[kind]) == len(theirs[kind]), kind
        for i, (one, other) in enumerate(zip(ours[kind], theirs[kind])):
            assert abs(stamp_ns(one) - stamp_ns(other)) < 1000
            assert differences(one, other) == [], f'{kind} {i}'


def stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec * 1_000_000_000 + stamp.nanosec)


def test_by_geometry(sample: Path, engines_dir: Path, tmp_path: Path) -> None:
    nodes = by_nodes(sample, tmp_path, '--ros-args', '-p', 'emotion:reading:=geometry')
    tool = by_analyze(sample, '--emotion-reading', 'geometry')
    assert len(nodes['faces']) == len(nodes['emotion']) == len(nodes['fatigue']) == 195
    assert len(nodes['attention']) == 195
    assert {Event.BLINK, Event.CAME} <= {one.kind for one in nodes['events']}
    assert len(nodes['posture']) == 130
    assert {Fatigue.EYES_OPEN, Fatigue.EYES_CLOSED} <= {one.eye_state for one in nodes['fatigue']}
    assert all(one.head_pose_calibrated for one in nodes['fatigue'])
    compare(tool, nodes)


def test_by_the_package_s_own_network(sample: Path, tmp_path: Path) -> None:
    nodes = by_nodes(sample, tmp_path, '--duration', '3', '--emotion-reading', 'expression')
    tool = by_analyze(sample, '--emotion-reading', 'expression')
    assert len(nodes['emotion']) == 15
    assert {one.reading for one in nodes['emotion']} == {'expression'}
    compare({kind: tool[kind][: len(nodes[kind])] for kind in KINDS}, nodes)


def test_by_emonet(sample: Path, emonet_dir: Path, tmp_path: Path) -> None:
    duration = ('--duration', '3')
    folder = f'engines_dir:={emonet_dir}'
    nodes = by_nodes(sample, tmp_path, *duration, '--ros-args', '-p', folder)
    tool = by_analyze(sample, '--engines-dir', str(emonet_dir))
    assert len(nodes['emotion']) == 15
    assert {one.backend for one in nodes['emotion']} <= {'onnxruntime', 'ncnn'}
    cut = {kind: tool[kind][: len(nodes[kind])] for kind in KINDS}
    compare(cut, nodes)


@pytest.mark.skipif(
    'AITABLE_TEST_VIDEO' not in os.environ, reason='AITABLE_TEST_VIDEO names no video'
)
@pytest.mark.parametrize('backend', ['geometry', 'onnxruntime'])
def test_on_a_video_of_a_real_face(emonet_dir: Path, tmp_path: Path, backend: str) -> None:
    bag, header = tmp_path / 'video.mcap', Header()
    with (
        open_source(os.environ['AITABLE_TEST_VIDEO'], loop=False) as source,
        BagWriter(BagTarget(bag, 'mcap')) as writer,
    ):
        topic = writer.add_topic('/image_raw', find_definition('sensor_msgs/msg/Image'))
        while (frame := source.read()) is not None:
            stamp_ns = round((1000.0 + frame.time_s) * 1e9)
            header.stamp.sec, header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)
            half = np.ascontiguousarray(frame.image[::2, ::2])
            writer.write(topic, stamp_ns, serialize_message(rgb_to_image(half, header)))
    nodes = by_nodes(
        bag,
        tmp_path,
        *('--emotion-backend', backend, '--ros-args', '-p', f'engines_dir:={emonet_dir}'),
    )
    tool = by_analyze(bag, '--engines-dir', str(emonet_dir), '--emotion-backend', backend)
    assert len(nodes['fatigue']) > 0.9 * len(nodes['faces'])
    compare(tool, nodes)
