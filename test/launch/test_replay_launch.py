# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""replay.launch.py, started for real (how to run: test/launch_fixtures.py)."""

from __future__ import annotations

import re
import struct

import pytest
from launch_fixtures import HOW_TO_RUN, node_names
from ros_fixtures import until

pytest.importorskip('launch_ros', reason='launch_ros ' + HOW_TO_RUN)
pytest.importorskip('rosbags', reason='needs rosbags: pip install rosbags')

from aitable_msgs.msg import FaceArray, Fatigue
from aitable_ros.bags import BagReader
from aitable_ros.launching.actions import is_installed
from aitable_ros.paths import share_dir
from aitable_ros.tools import sample_bag
from aitable_ros.tools.process_bag import command as process_bag

LAUNCH_FILE = share_dir() / 'launch' / 'replay.launch.py'
SECONDS = 2.0
FPS = 10.0


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """Two seconds of the sample, raw and compressed, with the calibration."""
    path = tmp_path_factory.mktemp('bag') / 'sample.mcap'
    options = ('--seconds', str(SECONDS), '--fps', str(FPS), '--images', 'both')
    assert sample_bag.main([str(path), *options]) == 0
    return path


@pytest.fixture(scope='module')
def processed(bag, engines_dir, tmp_path_factory):
    """The same with results of an earlier run in it."""
    path = tmp_path_factory.mktemp('processed') / 'processed.mcap'
    assert process_bag.main([str(bag), str(path), '--quiet']) == 0
    return path


def topics_of(path):
    with BagReader(path) as reader:
        return {topic.name: topic.count for topic in reader.topics}


def stamps_of(path):
    """Read the stamps of the raw images of a bag [(s, ns)]."""
    with BagReader(path) as reader:
        # CDR: 4 bytes of encapsulation, then the header's stamp
        return [
            struct.unpack_from('<iI', message.data, 4)
            for message in reader.messages([reader.topic('/image_raw')])
        ]


def stamp_of(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


@pytest.mark.models
@pytest.mark.parametrize('composed', ['true', 'false'])
def test_results_come_with_the_stamps_of_the_bag_and_launch_ends_with_it(
    graph, engines_dir, launched, bag, composed
):
    heard = graph.collect(Fatigue, '/fatigue')
    faces = graph.collect(FaceArray, '/faces')
    process = launched(LAUNCH_FILE, f'bag:={bag}', f'composed:={composed}', 'rate:=0.5')
    assert process.ends(90), process.text
    assert process.status == 0
    assert 'the bag has ended' in process.text or 'shutting down' in process.text
    recorded = stamps_of(bag)
    assert len(recorded) == int(SECONDS * FPS)
    assert {stamp_of(result) for result in (*faces, *heard)} <= set(recorded)
    # a busy machine may overtake frames; what is published before nodes listen would be lost whole
    assert len(faces) > len(recorded) / 2
    assert heard
    assert 'raw' in process.text


@pytest.mark.models
def test_results_of_an_earlier_run_are_left_out_and_compressed_images_taken_if_asked(
    graph, engines_dir, launched, processed
):
    assert {'/faces', '/fatigue'} <= set(topics_of(processed))
    faces = graph.collect(FaceArray, '/faces')
    process = launched(
        LAUNCH_FILE, f'bag:={processed}', 'image_transport:=compressed', 'end_with_bag:=false'
    )
    assert process.says('[replay-1]: process has finished cleanly', 60), process.text
    assert re.search(r'left out, since nodes here .*/emotion, .*/faces, /fatigue', process.text)
    assert 'images: /image_raw/compressed (compressed)' in process.text
    assert until(lambda: len(faces) > SECONDS * FPS / 2), len(faces)
    assert '/face_detection' in node_names(graph)
    assert process.status is None


@pytest.mark.models
def test_offline_writes_a_bag_with_a_result_for_every_image(launched, engines_dir, bag, tmp_path):
    out = tmp_path / 'out.mcap'
    process = launched(
        LAUNCH_FILE,
        f'bag:={bag}',
        'offline:=true',
        f'record:={out}',
        'namespace:=table',
        'emotion_reading:=geometry',
        'face_detection_backend:=onnxruntime',
    )
    assert process.ends(90), process.text
    counts = topics_of(out)
    for topic in ('/table/faces', '/table/emotion', '/table/fatigue'):
        assert counts[topic] == int(SECONDS * FPS), process.text
    assert 'face_attention runs on onnxruntime' in process.text


@pytest.mark.parametrize(
    ('arguments', 'complaint'),
    [
        ((), "missing required argument 'bag'"),
        (('bag:=none.mcap',), 'bag: none.mcap: '),
        (('bag:={bag}', 'image_topic:=/other'), 'there is no topic /other; topics of images: '),
        (('bag:={bag}', 'rate:=0'), 'rate: 0 is no number above 0'),
        (('bag:={bag}', 'offline:=true'), 'record: say which bag to write the results to'),
    ],
)
def test_wrong_values_are_said_in_one_line_and_nothing_starts(launched, bag, arguments, complaint):
    process = launched(LAUNCH_FILE, *(argument.format(bag=bag) for argument in arguments))
    assert process.ends()
    assert process.status != 0
    assert complaint in process.text
    assert 'process started' not in process.text


@pytest.mark.skipif(is_installed('ros2bag'), reason='ros2bag is installed')
@pytest.mark.parametrize('argument', ['record:=out', 'player:=rosbag2'])
def test_without_rosbag2_it_says_what_to_use_instead(launched, bag, argument):
    process = launched(LAUNCH_FILE, f'bag:={bag}', argument)
    assert process.ends()
    assert 'ros2bag is not installed; use ' in process.text
    assert 'process started' not in process.text


@pytest.mark.models
@pytest.mark.skipif(not is_installed('ros2bag'), reason='needs rosbag2, which PyPI lacks')
def test_rosbag2_plays_and_records(launched, engines_dir, bag, tmp_path):
    out = tmp_path / 'out'
    process = launched(LAUNCH_FILE, f'bag:={bag}', 'player:=rosbag2', f'record:={out}')
    assert process.ends(90), process.text
    assert topics_of(out)['/fatigue'] > 0
