# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are processed frame by frame, the same way every time, and mistakes are said in a line."""

from __future__ import annotations

import dataclasses
import errno
import importlib.util
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

from rclpy.serialization import deserialize_message
from ros_fixtures import graph  # noqa: F401
from sensor_msgs.msg import CompressedImage
from string_bags import STRING, announce_more, string_cdr

from aitable_msgs.msg import Event, FaceArray, Fatigue, Posture
from aitable_ros.bags import (
    BagReader,
    BagTarget,
    BagWriter,
    SampleBag,
    TypeDefinition,
    find_definition,
    make_sample_bag,
)
from aitable_ros.bags.definitions import make_definition
from aitable_ros.bags.sample import LOG_DELAY_NS
from aitable_ros.perception.images.decoding import image_to_rgb
from aitable_ros.tools.process_bag.command import main
from aitable_ros.tools.process_bag.offline_pipeline import (
    OfflinePipeline,
    PipelineError,
    available_nodes,
)
from aitable_ros.tools.process_bag.recorded_frames import (
    EVENT_TYPE,
    TF_TYPE,
    without_computed,
)

pytestmark = [pytest.mark.models, pytest.mark.ros]

FRAMES = 12
CONTENT = SampleBag(seconds=FRAMES / 10, fps=10, size_px=(320, 240))
NODES = ('--nodes', 'face_detection', 'fatigue')
RESULTS = ['/faces', '/fatigue']
TF = ['/tf'] if importlib.util.find_spec('tf2_msgs') else []


@pytest.fixture(scope='module', autouse=True)
def _models(engines_dir: Path) -> None:
    """The networks are there."""


@pytest.fixture(scope='module')
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compressed images and the calibration; not to be written to."""
    path = tmp_path_factory.mktemp('sample') / 'sample.mcap'
    make_sample_bag(BagTarget(path, 'mcap'), CONTENT)
    return path


@pytest.fixture(scope='module')
def processed(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What becomes of it; not to be written to."""
    path = tmp_path_factory.mktemp('processed') / 'out.mcap'
    assert main([str(bag), str(path), *NODES, '--quiet']) == 0
    return path


def run(*arguments: object) -> int:
    return main([*map(str, arguments), '--quiet'])


def messages(path: Path, *topics: str) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as bag:
        return [
            (m.topic.name, m.log_time_ns, m.data)
            for m in bag.messages()
            if not topics or m.topic.name in topics
        ]


def fatigues(path: Path) -> list[Fatigue]:
    return [deserialize_message(data, Fatigue) for _, _, data in messages(path, '/fatigue')]


def add_to(bag: Path, path: Path, *extra: tuple[str, TypeDefinition, int, bytes]) -> Path:
    """Write a bag anew with messages more: topic, definition, number of the image, data."""
    with BagReader(bag) as source, BagWriter(BagTarget(path, 'mcap')) as target:
        topics = {t: target.add_topic(t.name, source.definition(t), t.qos) for t in source.topics}
        further = {}
        for topic, definition, _, _ in extra:
            if topic not in further:
                further[topic] = target.add_topic(topic, definition)
        images = 0
        for message in source.messages():
            target.write(topics[message.topic], message.log_time_ns, message.data)
            if message.topic.is_image:
                for topic, _, number, data in extra:
                    if number == images:
                        target.write(further[topic], message.log_time_ns, data)
                images += 1
    return path


def pictures(path: Path, topic: str = '/image_raw/compressed') -> list[Any]:
    return [
        image_to_rgb(deserialize_message(data, CompressedImage))
        for _, _, data in messages(path, topic)
    ]


@pytest.fixture(scope='module')
def with_another_camera(bag: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bag, and an image of a camera that is not looked at; not to be written to."""
    path = tmp_path_factory.mktemp('two') / 'two.mcap'
    data = messages(bag, '/image_raw/compressed')[0][2]
    definition = find_definition('sensor_msgs/msg/CompressedImage')
    return add_to(bag, path, ('/other/compressed', definition, 0, data))


class TestPrivacy:
    @pytest.mark.parametrize('privacy', ['blur', 'mesh'])
    def test_copied_images_show_no_faces(
        self, bag: Path, with_another_camera: Path, processed: Path, tmp_path: Path, privacy: str
    ) -> None:
        out, topic = tmp_path / 'x.mcap', ('--image-topic', '/image_raw/compressed')
        assert run(with_another_camera, out, *NODES, *topic, '--privacy', privacy) == 0
        before, after = pictures(bag), pictures(out)
        assert len(after) == FRAMES
        with BagReader(out) as reader:
            assert reader.topic('/other/compressed') is None  # nobody looked for faces in it
        assert messages(out, '/fatigue') == messages(processed, '/fatigue')
        faces = [deserialize_message(d, FaceArray).faces[0] for _, _, d in messages(out, '/faces')]
        for old, new, face in zip(before, after, faces):
            x, y, width, height = (round(v) for v in (face.x, face.y, face.width, face.height))
            inside = (slice(y, y + height), slice(x, x + width))
            fine = [cv2.Laplacian(p[inside], cv2.CV_64F).std() for p in (old, new)]
            assert fine[1] < 0.35 * fine[0] or privacy == 'mesh'
            corner = (slice(0, 30), slice(0, 30))
            difference = np.abs(old[corner].astype(int) - new[corner]).mean()
            assert difference < 6 if privacy == 'blur' else difference > 20

    def test_images_are_left_out(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x.mcap', *NODES, '--privacy', 'no_image') == 0
        topics = {topic for topic, _, _ in messages(tmp_path / 'x.mcap')}
        assert topics == {'/camera_info', *RESULTS, *TF}

    def test_an_image_whose_faces_are_not_known_is_left_out(
        self, bag: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / 'x.mcap'
        assert run(bag, out, '--nodes', 'posture', '--privacy', 'blur') == 0
        assert messages(out, '/image_raw/compressed') == []
        assert len(messages(out, '/posture')) > 3


class TestResults:
    def test_every_image_has_results_with_its_stamp_and_log_time(
        self, bag: Path, processed: Path
    ) -> None:
        images = messages(bag, '/image_raw/compressed')
        faces, fatigue = messages(processed, '/faces'), messages(processed, '/fatigue')
        assert [t for _, t, _ in faces] == [t for _, t, _ in images]
        assert [t for _, t, _ in fatigue] == [t for _, t, _ in images]
        for message_class, found in ((FaceArray, faces), (Fatigue, fatigue)):
            for _, log_time_ns, data in found:
                header = deserialize_message(data, message_class).header
                stamp_ns = header.stamp.sec * 10**9 + header.stamp.nanosec
                assert stamp_ns == log_time_ns - LOG_DELAY_NS
                assert header.frame_id == 'camera_optical_frame'
        assert {len(deserialize_message(data, FaceArray).faces) for _, _, data in faces} == {1}

    def test_originals_are_copied_and_results_follow_their_image(
        self, bag: Path, processed: Path
    ) -> None:
        merged = messages(processed)
        assert [m for m in merged if m[0] not in (*RESULTS, *TF)] == messages(bag)
        order = [topic for topic, _, _ in merged]
        assert order == ['/camera_info', '/image_raw/compressed', *RESULTS, *TF] * FRAMES

    def test_what_is_said_about_the_topics(self, processed: Path) -> None:
        with BagReader(processed) as bag:
            for name, type_name in (('/faces', 'FaceArray'), ('/fatigue', 'Fatigue')):
                topic = bag.topic(name)
                assert topic.type_name == f'aitable_msgs/msg/{type_name}'
                assert bag.definition(topic).text == find_definition(topic.type_name).text
                assert [q.reliability.name for q in topic.qos] == ['RELIABLE']

    def test_calibration_beside_the_images_is_used(
        self, bag: Path, processed: Path, tmp_path: Path
    ) -> None:
        assert all(message.head_pose_calibrated for message in fatigues(processed))
        assert run(bag, tmp_path / 'x.mcap', *NODES, '--camera-info', 'none') == 0
        assert not any(message.head_pose_calibrated for message in fatigues(tmp_path / 'x.mcap'))


class TestDeterminism:
    @pytest.mark.parametrize(
        ('images', 'out'),
        [
            ('raw', 'out.mcap'),
            ('compressed', 'out.db3'),
            ('compressed', 'mcap'),
            ('raw', 'sqlite3'),
        ],
    )
    def test_same_bag_same_bytes(self, tmp_path: Path, images: str, out: str) -> None:
        bag = tmp_path / 'in.db3'
        content = dataclasses.replace(
            CONTENT, seconds=0.5, raw=images == 'raw', compressed=images != 'raw'
        )
        make_sample_bag(BagTarget(bag, 'sqlite3'), content)
        made = []
        for attempt in ('first', 'second'):
            (tmp_path / attempt).mkdir()
            place = tmp_path / attempt / out
            storage = [] if '.' in out else ['--storage', out]
            assert run(bag, place, *NODES, *storage) == 0
            files = [place] if place.is_file() else sorted(place.iterdir())
            made.append({path.name: path.read_bytes() for path in files})
        assert made[0] == made[1]
        assert len(made[0]) == (1 if '.' in out else 2)

    def test_processing_the_output_again_changes_nothing(
        self, processed: Path, tmp_path: Path
    ) -> None:
        """Recorded results are replaced, not fed, so the second output is the first one."""
        assert run(processed, tmp_path / 'again.mcap', *NODES) == 0
        assert (tmp_path / 'again.mcap').read_bytes() == processed.read_bytes()

    def test_no_face_waits_for_a_turn_which_would_depend_on_the_machine(
        self, bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from aitable_ros.nodes.face_detection_node import FaceDetectionNode

        budgets, load = [], FaceDetectionNode.load

        def note(self, values):
            budgets.append(values['budget_ms'])
            return load(self, values)

        monkeypatch.setattr(FaceDetectionNode, 'load', note)
        assert run(bag, tmp_path / 'x.mcap', '--nodes', 'face_detection') == 0
        assert budgets == [0.0]

    def test_two_processes_agree(self, bag: Path, processed: Path, tmp_path: Path) -> None:
        """Another process has another hash seed and other garbage in its memory."""
        command = [sys.executable, '-m', 'aitable_ros.tools.process_bag', bag, tmp_path / 'x.mcap']
        done = subprocess.run([*command, *NODES], capture_output=True, text=True, check=True)
        assert (tmp_path / 'x.mcap').read_bytes() == processed.read_bytes()
        assert re.search(r'12 images, 1\.1 s of recording in .* x real time', done.stdout)
        assert '/fatigue: 12 messages' in done.stdout


class TestChoices:
    def test_results_only(self, bag: Path, processed: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x', *NODES, '--results-only') == 0
        assert messages(tmp_path / 'x') == messages(processed, *RESULTS, *TF)

    def test_part_of_the_originals(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'a', *NODES, '--drop', '/image_raw/compressed') == 0
        assert run(bag, tmp_path / 'b', *NODES, '--keep', '/camera_info') == 0
        for name in 'ab':
            counts = Counter(topic for topic, _, _ in messages(tmp_path / name))
            assert set(counts) == {'/camera_info', *RESULTS, *TF}

    def test_part_of_the_time(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x', *NODES, '--start', 0.3, '--duration', 0.35) == 0
        stamps_ns = [t for _, t, _ in messages(tmp_path / 'x', '/faces')]
        begin_ns = CONTENT.start_ns + LOG_DELAY_NS
        assert stamps_ns == [begin_ns + i * 100_000_000 for i in (3, 4, 5, 6)]

    def test_one_node_alone(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x', '--nodes', 'face_detection') == 0
        assert not messages(tmp_path / 'x', '/fatigue')

    def test_recorded_faces_feed_what_comes_after_them(
        self, processed: Path, tmp_path: Path
    ) -> None:
        assert run(processed, tmp_path / 'x.mcap', '--nodes', 'fatigue') == 0
        assert messages(tmp_path / 'x.mcap') == messages(processed)

    def test_all_nodes_are_the_default(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x') == 0
        assert {'/faces', '/emotion', '/fatigue'} <= {t for t, _, _ in messages(tmp_path / 'x')}
        assert {'face_detection', 'emotion', 'fatigue'} <= set(available_nodes())

    def test_parameter_file_and_ros_arguments(self, bag: Path, tmp_path: Path) -> None:
        file = tmp_path / 'p.yaml'
        file.write_text('/**/face_detection: {ros__parameters: {refine_eyes: false}}\n')
        assert run(bag, tmp_path / 'a', *NODES, '--params-file', file) == 0
        light = 'face_detection:refine_eyes:=false'
        ros = ('--ros-args', '-p', light, '-r', 'fatigue:=tired', '--')
        assert run(bag, tmp_path / 'b', *NODES, *ros) == 0
        (by_file,) = {message.backend for message in fatigues(tmp_path / 'a')}
        assert 'face_mesh' in by_file
        assert [x[1:] for x in messages(tmp_path / 'b', '/tired')] == [
            x[1:] for x in messages(tmp_path / 'a', '/fatigue')
        ]

    def test_backend(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'x', *NODES, '--backend', 'onnxruntime') == 0
        (backend,) = {message.backend for message in fatigues(tmp_path / 'x')}
        assert set(re.findall(r'\w+: (\w+)', backend)) == {'onnxruntime'}

    def test_namespace_and_remap(self, bag: Path, tmp_path: Path) -> None:
        remap = ('--namespace', 'table1', '--remap', 'faces:=people')
        assert run(bag, tmp_path / 'x', *NODES, *remap) == 0
        assert {t for t, _, _ in messages(tmp_path / 'x')} >= {'/table1/people', '/table1/fatigue'}

    def test_posture_awaits_its_faces_whatever_their_topic_is_called(
        self, bag: Path, tmp_path: Path
    ) -> None:
        first = ('--results-only', '--duration', '0.05', '--nodes', 'face_detection', 'posture')
        for name, remap in (('a.mcap', ()), ('b.mcap', ('-r', 'faces:=/table/faces'))):
            assert run(bag, tmp_path / name, *first, *remap) == 0
        found, remapped = (messages(tmp_path / name, '/posture') for name in ('a.mcap', 'b.mcap'))
        assert len(found) == 1
        assert remapped == found

    def test_posture_awaits_its_faces_however_few_images_there_are(self, tmp_path: Path) -> None:
        slow = SampleBag(seconds=4.0, fps=1, size_px=(320, 240))
        make_sample_bag(BagTarget(tmp_path / 'slow.mcap', 'mcap'), slow)
        nodes = ('--nodes', 'face_detection', 'posture')
        assert run(tmp_path / 'slow.mcap', tmp_path / 'out.mcap', *nodes) == 0
        found = [
            deserialize_message(data, Posture)
            for _, _, data in messages(tmp_path / 'out.mcap', '/posture')
        ]
        assert [one.head_source for one in found] == [Posture.HEAD_FACE] * 4

    def test_storage_of_the_input_unless_asked_for(self, bag: Path, tmp_path: Path) -> None:
        assert run(bag, tmp_path / 'a', *NODES) == 0
        assert run(bag, tmp_path / 'b', *NODES, '--storage', 'sqlite3') == 0
        assert (tmp_path / 'a' / 'a_0.mcap').is_file()
        assert (tmp_path / 'b' / 'b_0.db3').is_file()

    def test_several_topics_of_images(self, bag: Path, tmp_path: Path, capsys) -> None:
        both = tmp_path / 'both.mcap'
        content = dataclasses.replace(CONTENT, seconds=0.2, raw=True, topic='/left/image')
        make_sample_bag(BagTarget(both, 'mcap'), content)
        assert run(both, tmp_path / 'x', *NODES) == 1
        assert capsys.readouterr().err.endswith(
            'choose the images with --image-topic: /left/image (Image), '
            '/left/image/compressed (CompressedImage)\n'
        )
        assert run(both, tmp_path / 'x', *NODES, '--image-topic', '/left/image') == 0
        assert len(messages(tmp_path / 'x', '/faces')) == 2
        assert all(message.head_pose_calibrated for message in fatigues(tmp_path / 'x'))


class TestOtherContents:
    def test_custom_messages_are_passed_on_with_their_definition(
        self, bag: Path, tmp_path: Path
    ) -> None:
        own = make_definition('my_msgs/msg/Tree', 'ros2msg', '# a tree\nfloat32 height\n')
        tree = ('/tree', own, 3, b'\0\1\0\0\0\0\x80\x3f')
        mixed = add_to(bag, tmp_path / 'mixed.mcap', tree)
        assert run(mixed, tmp_path / 'x.mcap', *NODES) == 0
        assert messages(tmp_path / 'x.mcap', '/tree') == messages(mixed, '/tree')
        with BagReader(tmp_path / 'x.mcap') as made:
            assert made.definition(made.topic('/tree')) == own

    def test_recorded_transforms_stay_except_of_faces(self) -> None:
        tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed')
        from geometry_msgs.msg import TransformStamped
        from rclpy.serialization import serialize_message

        def message(*frames: str) -> bytes:
            transforms = [TransformStamped(child_frame_id=frame) for frame in frames]
            return serialize_message(tf2_msgs.TFMessage(transforms=transforms))

        def tf_without_faces(data: bytes) -> bytes | None:
            return without_computed(data, TF_TYPE, ('fatigue',))

        arm = message('arm', 'face_camera')
        assert tf_without_faces(arm) == arm
        assert tf_without_faces(message('face_f1', 'face_f12', 'face_f48213_2')) is None
        left = deserialize_message(tf_without_faces(message('arm', 'face_f2')), tf2_msgs.TFMessage)
        assert [transform.child_frame_id for transform in left.transforms] == ['arm']
        assert tf_without_faces(b'junk') is None
        gaze = message('gaze_f1')
        assert tf_without_faces(gaze) == gaze
        assert without_computed(gaze, TF_TYPE, ('attention',)) is None

    def test_recorded_events_stay_that_no_node_tells_anew(self) -> None:
        from rclpy.serialization import serialize_message

        blink, came = (serialize_message(Event(kind=kind)) for kind in (Event.BLINK, Event.CAME))
        for nodes, blinks, comes in (
            (('fatigue',), None, came),
            (('attention',), blink, None),
            (('fatigue', 'attention'), None, None),
            (('posture',), blink, came),
        ):
            assert without_computed(blink, EVENT_TYPE, nodes) == blinks
            assert without_computed(came, EVENT_TYPE, nodes) == comes

    def test_image_that_cannot_be_decoded_is_counted_and_the_rest_processed(
        self, bag: Path, tmp_path: Path, capsys
    ) -> None:
        damaged = tmp_path / 'damaged.mcap'
        with BagReader(bag) as source, BagWriter(BagTarget(damaged, 'mcap')) as target:
            topics = {t: target.add_topic(t.name, source.definition(t)) for t in source.topics}
            for i, message in enumerate(source.messages()):
                # the second image lacks its end, the third one's message is cut off
                cut = {3: bytearray(message.data), 5: message.data[:30]}.get(i, message.data)
                if i == 3:
                    cut[-2000:] = bytes(2000)
                target.write(topics[message.topic], message.log_time_ns, bytes(cut))
        assert run(damaged, tmp_path / 'x.mcap', *NODES) == 1
        error = capsys.readouterr().err
        assert re.search(r'/image_raw/compressed at 0\.100 s: compressed image .*', error)
        assert re.search(r'/image_raw/compressed at 0\.200 s: .* cannot be read', error)
        assert len(messages(tmp_path / 'x.mcap', '/faces')) == FRAMES - 2
        assert len(messages(tmp_path / 'x.mcap', '/image_raw/compressed')) == FRAMES

    def test_images_that_are_announced_and_do_not_come_are_told(
        self, tmp_path: Path, capsys
    ) -> None:
        bag = tmp_path / 'in'
        make_sample_bag(BagTarget(bag, 'mcap'), dataclasses.replace(CONTENT, seconds=0.3))
        announce_more(bag, '/image_raw/compressed', 57)
        assert run(bag, tmp_path / 'x.mcap', *NODES) == 1
        assert capsys.readouterr().err.endswith(
            'in: 57 of the 60 messages on /image_raw/compressed that it announces did not come\n'
        )
        assert len(messages(tmp_path / 'x.mcap', '/faces')) == 3

    def test_only_images_count_as_refused_images(self, bag: Path, tmp_path: Path, capsys) -> None:
        other = find_definition('sensor_msgs/msg/CameraInfo')
        path = add_to(bag, tmp_path / 'in.mcap', ('/other', other, 1, b'\0\1\0\0'))
        out = tmp_path / 'x.mcap'
        assert main([str(path), str(out), *NODES, '--camera-info', '/other']) == 1
        said = capsys.readouterr()
        assert '1 other messages could not be read' in said.out
        assert 'images were refused' not in said.out
        assert re.search(r'warning: /other at 0\.\d+ s: .* cannot be read', said.err)
        assert len(messages(out, '/faces')) == FRAMES

    def test_type_that_nobody_knows(self, tmp_path: Path, capsys) -> None:
        """A bag of Humble, which holds no definitions, with a package that is not here."""
        import sqlite3

        bag = tmp_path / 'humble.db3'
        content = dataclasses.replace(CONTENT, seconds=0.2)
        make_sample_bag(BagTarget(bag, 'sqlite3'), content)
        with sqlite3.connect(bag) as database:
            database.execute('DELETE FROM message_definitions')
            database.execute("INSERT INTO topics VALUES(9, '/own', 'my/msg/Own', 'cdr', '', '')")
            database.execute("INSERT INTO messages VALUES(99, 9, 1700000000015000000, x'00')")
        database.close()
        assert run(bag, tmp_path / 'x', *NODES) == 1
        error = capsys.readouterr().err
        assert 'definition of my/msg/Own' in error
        assert error.endswith('leave the topic out with --drop /own\n')
        assert run(bag, tmp_path / 'x', *NODES, '--drop', '/own') == 0


class TestMistakes:
    @pytest.mark.parametrize(
        ('arguments', 'complaint'),
        [
            (
                ('--image-topic', '/camera/image'),
                'there is no topic /camera/image; topics of images: '
                '/image_raw/compressed (CompressedImage)',
            ),
            (('--image-topic', '/camera_info'), 'holds sensor_msgs/msg/CameraInfo, not images'),
            (('--camera-info', '/left'), 'no sensor_msgs/msg/CameraInfo on /left; there is: /cam'),
            (('--drop', '/left'), 'there is no topic /left; its topics: /camera_info, /image'),
            (('--storage', 'sqlite3'), 'a .mcap file holds mcap, not sqlite3'),
            (('--params-file', 'nowhere.yaml'), 'parameter file nowhere.yaml cannot be read'),
            (('--nodes', 'nose'), 'no such node: nose (there are face_detection, '),
            (('--backend', 'tensorrt'), 'face_detection: '),
            (('--remap', 'no rule'), 'face_detection: '),
            (('--namespace', 'a b'), 'face_detection: '),
            (('--ros-args', '-p', 'threads:=many'), 'face_detection: '),
        ],
    )
    def test_one_line_and_no_output(
        self, bag: Path, tmp_path: Path, capfd, arguments, complaint: str
    ) -> None:
        assert main([str(bag), str(tmp_path / 'x.mcap'), *NODES, '--quiet', *arguments]) == 1
        errors = [line for line in capfd.readouterr().err.splitlines() if 'process_bag' in line]
        assert len(errors) == 1
        assert errors[0].startswith('process_bag: error: ')
        assert complaint in errors[0]
        assert list(tmp_path.iterdir()) == []

    def test_no_images_at_all(self, tmp_path: Path, capsys) -> None:
        with BagWriter(BagTarget(tmp_path / 'words.mcap', 'mcap')) as bag:
            bag.write(bag.add_topic('/words', STRING), 1, string_cdr('x'))
        assert run(tmp_path / 'words.mcap', tmp_path / 'x', *NODES) == 1
        error = capsys.readouterr().err
        assert error.endswith('no images in it; its topics: /words (std_msgs/msg/String)\n')

    def test_damage_in_the_middle_leaves_nothing(self, tmp_path: Path, capsys) -> None:
        """Its index is whole, its second chunk is not."""
        bag = tmp_path / 'in.mcap'
        content = dataclasses.replace(CONTENT, raw=True, compressed=False)
        make_sample_bag(BagTarget(bag, 'mcap', compress=True), content)
        data = bytearray(bag.read_bytes())
        half = len(data) // 2
        data[half : half + 4000] = bytes(4000)
        bag.write_bytes(data)
        assert run(bag, tmp_path / 'x.mcap', *NODES) == 1
        error = capsys.readouterr().err.splitlines()[-1]
        assert re.fullmatch(r'process_bag: error: .*in\.mcap: damaged or no bag: .*', error)
        assert [path.name for path in tmp_path.iterdir()] == ['in.mcap']

    def test_output_that_exists(self, bag: Path, tmp_path: Path, capsys) -> None:
        out = tmp_path / 'x.mcap'
        out.write_bytes(b'precious')
        assert run(bag, out, *NODES) == 1
        assert capsys.readouterr().err.endswith('x.mcap exists: give --force to replace it\n')
        assert out.read_bytes() == b'precious'
        assert run(bag, out, *NODES, '--force') == 0
        assert len(messages(out, '/faces')) == FRAMES

    @pytest.mark.parametrize('place', ['sample.mcap', 'x.mcap', 'folder', 'circle'])
    def test_table_where_something_else_is(
        self, bag: Path, tmp_path: Path, capsys, place: str
    ) -> None:
        source, table = tmp_path / bag.name, tmp_path / place
        source.write_bytes(bag.read_bytes())
        (tmp_path / 'folder').mkdir()
        (tmp_path / 'circle').symlink_to('circle')
        assert run(source, tmp_path / 'x.mcap', *NODES, '--csv', table) == 1
        assert f'process_bag: error: {table}' in capsys.readouterr().err
        assert source.read_bytes() == bag.read_bytes()
        assert {path.name for path in tmp_path.iterdir()} == {source.name, 'folder', 'circle'}

    def test_table_that_cannot_be_written_to_its_end(
        self, bag: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr('aitable_ros.tools.process_bag.rows.ResultRows.add', fail)
        assert run(bag, tmp_path / 'x.mcap', *NODES, '--csv', tmp_path / 'x.csv') == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.endswith('x.csv cannot be written: No space left on device')
        assert not list(tmp_path.iterdir())

    def test_output_on_the_input(self, bag: Path, capsys) -> None:
        before = bag.read_bytes()
        assert run(bag, bag, *NODES, '--force') == 1
        assert 'would lie on the input' in capsys.readouterr().err
        assert bag.read_bytes() == before

    @pytest.mark.parametrize('text', ['a: [', 'just words', '{fatigue: {max_gap: 1.0}}'])
    def test_file_without_parameters(self, bag: Path, tmp_path: Path, capsys, text: str) -> None:
        (tmp_path / 'p.yaml').write_text(text)
        assert run(bag, tmp_path / 'x', *NODES, '--params-file', tmp_path / 'p.yaml') == 1
        assert re.search(r'p\.yaml is no (YAML|parameter file)', capsys.readouterr().err)

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_interrupted_in_the_middle(self, tmp_path: Path, number: int) -> None:
        bag = tmp_path / 'in.mcap'
        content = dataclasses.replace(CONTENT, seconds=60.0, jpeg_quality=50)
        make_sample_bag(BagTarget(bag, 'mcap'), content)
        command = [sys.executable, '-m', 'aitable_ros.tools.process_bag', bag, tmp_path / 'x.mcap']
        with subprocess.Popen([*command, *NODES], stderr=subprocess.PIPE, text=True) as process:
            deadline_s = time.monotonic() + 60
            while not list(tmp_path.glob('.x*')):
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
            process.send_signal(number)
            _, error = process.communicate(timeout=30)
        assert process.returncode == 1
        assert 'process_bag: error: interrupted; nothing was written' in error
        assert [path.name for path in tmp_path.iterdir()] == ['in.mcap']


class TestPipeline:
    def test_is_not_part_of_the_graph(self, graph) -> None:  # noqa: F811
        """It neither receives what a live camera sends nor looks like a second fatigue node."""
        with OfflinePipeline(('fatigue',)) as pipeline:
            assert pipeline.nodes == ('fatigue',)
            time.sleep(1.0)
            assert 'fatigue' not in graph.peer.get_node_names()

    def test_environment_is_left_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import os

        monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        before = dict(os.environ)
        with OfflinePipeline(('face_detection',)):
            assert dict(os.environ) == before
        assert dict(os.environ) == before

    def test_what_nobody_listens_to_has_no_results(self) -> None:
        with OfflinePipeline(('face_detection',)) as pipeline:
            assert pipeline.feed('/words', STRING.type_name, string_cdr('x')) == []

    @pytest.mark.parametrize('nodes', [(), ('nose',)])
    def test_nodes_have_to_exist(self, nodes: tuple[str, ...]) -> None:
        with pytest.raises(PipelineError, match=r'no (such )?node'):
            OfflinePipeline(nodes)

    def test_failing_node_is_named(self, bag: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from aitable_ros.nodes.face_detection_node import FaceDetectionNode

        def fail(self, item):
            raise RuntimeError('the device\nis gone')

        monkeypatch.setattr(FaceDetectionNode, 'results', fail)
        (_, _, image), *_ = messages(bag, '/image_raw/compressed')
        with (
            OfflinePipeline(
                ('face_detection',), parameters={'image_transport': 'compressed'}
            ) as pipeline,
            pytest.raises(PipelineError, match='face_detection: RuntimeError: the device is gone'),
        ):
            pipeline.feed('/image_raw/compressed', 'sensor_msgs/msg/CompressedImage', image)
