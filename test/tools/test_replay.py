# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are published at their pace, as they were recorded, until somebody ends it."""

from __future__ import annotations

import dataclasses
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rclpy.serialization import deserialize_message, serialize_message
from ros_fixtures import graph, until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String
from std_srvs.srv import SetBool

from aitable_msgs.msg import Face, FaceArray
from aitable_ros.bags import (
    BagError,
    BagReader,
    BagTarget,
    BagTopic,
    BagWriter,
    SampleBag,
    find_definition,
    make_sample_bag,
)
from aitable_ros.bags.definitions import make_definition
from aitable_ros.bags.writing import offered_qos
from aitable_ros.tools.replay import (
    LATE_S,
    Options,
    Pace,
    Player,
    Report,
    make_restamper,
    publisher_qos,
)

__all__ = ['graph']

pytestmark = pytest.mark.ros

STRING = find_definition('std_msgs/msg/String')
START_NS = 1_700_000_000 * 10**9


def string_cdr(text: str) -> bytes:
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


class Stage:
    """A player in the test's graph, and what is heard of it."""

    def __init__(self, graph: Any, path: Path, **options: Any) -> None:
        self.graph = graph
        self.bag = BagReader(path).__enter__()
        self.node = graph.add(rclpy.create_node('player', context=graph.context))
        self.player = graph.run(lambda: Player(self.node, self.bag, Options(**options)))
        self.heard: list[tuple[float, str, str]] = []
        self.thread: threading.Thread | None = None

    def listen(self, *topics: str, qos: Any = 100) -> Stage:
        def subscribe(topic: str) -> None:
            def take(message: String) -> None:
                self.heard.append((time.monotonic(), topic, message.data))

            self.graph.peer.create_subscription(String, topic, take, qos)

        for topic in topics:
            self.graph.run(lambda topic=topic: subscribe(topic))
            assert until(lambda topic=topic: self.node.count_subscribers(topic) > 0)
        # matched both ways before the first message is sent
        assert until(lambda: all(self.graph.peer.count_publishers(topic) > 0 for topic in topics))
        time.sleep(0.3)
        return self

    def run(self) -> Report:
        report = self.player.run()
        self.bag.__exit__(None, None, None)
        return report

    def run_in_background(self) -> Stage:
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def end(self) -> Report:
        self.player.stop()
        self.thread.join(10.0)
        assert not self.thread.is_alive()
        return self.player.report

    @property
    def texts(self) -> list[str]:
        return [text for _, _, text in self.heard]


@pytest.fixture
def five(tmp_path: Path) -> Path:
    """Five messages within 0.8 s of two topics."""
    return make_bag(
        tmp_path / 'five.mcap',
        *((f'/{"ab"[i % 2]}', 0.2 * i, f'text {i}') for i in range(5)),
    )


class TestPace:
    def test_due_times_follow_the_rate(self) -> None:
        now_s = 100.0
        pace = Pace(2.0, now=lambda: now_s)
        pace.begin(START_NS)
        assert pace.due_in_s(START_NS + 3 * 10**9) == pytest.approx(1.5)
        now_s = 101.0
        assert pace.due_in_s(START_NS + 10**9) == pytest.approx(-0.5)
        assert pace.bag_time_ns() == START_NS + 2 * 10**9

    def test_time_stands_still_while_paused(self) -> None:
        now_s = 0.0
        pace = Pace(1.0, now=lambda: now_s)
        pace.begin(START_NS)
        now_s = 1.0
        pace.pause()
        now_s = 5.0
        assert pace.paused
        assert pace.due_in_s(START_NS + 2 * 10**9) == pytest.approx(1.0)
        assert pace.stood_s == pytest.approx(4.0)
        pace.resume()
        now_s = 5.5
        assert pace.due_in_s(START_NS + 2 * 10**9) == pytest.approx(0.5)
        assert pace.stood_s == pytest.approx(4.0)
        pace.resume()
        assert pace.stood_s == pytest.approx(4.0)

    def test_beginning_paused(self) -> None:
        now_s = 0.0
        pace = Pace(1.0, now=lambda: now_s)
        pace.pause()
        now_s = 7.0
        pace.begin(START_NS)
        now_s = 9.0
        pace.resume()
        assert pace.due_in_s(START_NS) == pytest.approx(0.0)


@pytest.mark.parametrize(
    'wrong',
    [
        {'rate': 0.0},
        {'rate': float('nan')},
        {'start_s': -1.0},
        {'duration_s': 0.0},
        {'delay_s': float('inf')},
        {'clock_hz': -1.0},
        {'clock_hz': 40.0, 'restamp': True},
    ],
)
def test_options_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r'\w'):
        Options(**wrong)


class TestQos:
    @staticmethod
    def chosen(*profiles: Any, count: int = 3) -> tuple[str, str, int]:
        qos = publisher_qos(BagTopic('/a', 'std_msgs/msg/String', count, profiles))
        return qos.reliability.name, qos.durability.name, qos.depth

    def test_as_offered(self) -> None:
        best_effort = offered_qos(reliable=False, depth=5)
        assert self.chosen(*best_effort) == ('BEST_EFFORT', 'VOLATILE', 5)
        latched = offered_qos(transient_local=True, depth=1)
        assert self.chosen(*latched, count=40) == ('RELIABLE', 'TRANSIENT_LOCAL', 40)

    def test_nothing_recorded(self) -> None:
        assert self.chosen() == ('RELIABLE', 'VOLATILE', 10)

    def test_depth_that_dds_did_not_tell(self) -> None:
        (qos,) = offered_qos(reliable=False)
        assert self.chosen(qos._replace(depth=0)) == ('BEST_EFFORT', 'VOLATILE', 10)

    def test_several_publishers_get_the_most_generous_offer(self) -> None:
        offers = (
            *offered_qos(reliable=False, depth=5),
            *offered_qos(depth=20),
            *offered_qos(reliable=False, transient_local=True, depth=1),
        )
        assert self.chosen(*offers) == ('RELIABLE', 'TRANSIENT_LOCAL', 20)


class TestRestamping:
    @staticmethod
    def later(stamp_ns: int) -> int:
        return stamp_ns + 5_300_000_000

    def test_first_header_of_an_image(self) -> None:
        image = CompressedImage(format='jpeg')
        image.header.stamp.sec, image.header.stamp.nanosec = 7, 900_000_000
        image.data.frombytes(bytes(range(256)))
        restamp = make_restamper(CompressedImage)
        moved = deserialize_message(restamp(serialize_message(image), self.later), CompressedImage)
        assert (moved.header.stamp.sec, moved.header.stamp.nanosec) == (13, 200_000_000)
        assert (moved.format, bytes(moved.data)) == ('jpeg', bytes(range(256)))

    def test_nested_headers(self) -> None:
        faces = FaceArray(faces=[Face(face_id='f1'), Face(face_id='f2')])
        faces.header.stamp.sec = faces.faces[0].header.stamp.sec = 7
        restamp = make_restamper(FaceArray)
        moved = deserialize_message(restamp(serialize_message(faces), self.later), FaceArray)
        assert moved.header.stamp.sec == moved.faces[0].header.stamp.sec == 12
        # not stamped, so not moved
        assert moved.faces[1].header.stamp.sec == 0
        assert [face.face_id for face in moved.faces] == ['f1', 'f2']

    def test_unset_stamps_and_messages_without_any(self) -> None:
        image = serialize_message(CompressedImage())
        assert make_restamper(CompressedImage)(image, self.later) == image
        assert make_restamper(String)(string_cdr('x'), self.later) == string_cdr('x')


class TestPlaying:
    def test_all_messages_in_order_at_their_time(self, graph, five: Path) -> None:
        stage = Stage(graph, five, rate=2.0).listen('/a', '/b')
        report = stage.run()
        assert until(lambda: len(stage.heard) == 5)
        assert stage.texts == [f'text {i}' for i in range(5)]
        assert (report.messages, report.by_topic) == (5, {'/a': 3, '/b': 2})
        assert report.bag_s == pytest.approx(0.8)
        assert 0.4 <= report.wall_s < 1.5
        gaps_s = [b[0] - a[0] for a, b in zip(stage.heard, stage.heard[1:])]
        assert sum(gaps_s) == pytest.approx(0.4, abs=0.2)
        assert report.unheard == []

    def test_nobody_listens(self, graph, five: Path) -> None:
        report = Stage(graph, five, rate=10.0).run()
        assert report.unheard == ['/a', '/b']
        assert 'nobody had subscribed at the first message: /a, /b' in report.lines()

    def test_part_of_it(self, graph, five: Path) -> None:
        options = {'rate': 10.0, 'topics': ('/a',), 'start_s': 0.3, 'duration_s': 0.2}
        stage = Stage(graph, five, **options).listen('/a')
        assert stage.run().messages == 1
        assert until(lambda: stage.texts == ['text 2'])
        assert Stage(graph, five, rate=10.0, exclude=('/a',)).run().by_topic == {'/b': 2}

    def test_nothing_in_this_part(self, graph, five: Path) -> None:
        with pytest.raises(BagError, match='no message in this part'):
            Stage(graph, five, start_s=5.0, loop=True).run()

    def test_topic_that_is_not_there(self, graph, five: Path) -> None:
        with pytest.raises(BagError, match='no topic /c; its topics: /a, /b'):
            Stage(graph, five, topics=('/c',))

    def test_types_that_are_not_installed(self, graph, tmp_path: Path) -> None:
        path = tmp_path / 'own.mcap'
        with BagWriter(BagTarget(path, 'mcap')) as bag:
            own = make_definition('my_msgs/msg/Tree', 'ros2msg', 'bool b\n')
            bag.write(bag.add_topic('/tree', own), START_NS, b'\0\1\0\0\1')
            bag.write(bag.add_topic('/a', STRING), START_NS, string_cdr('x'))
        stage = Stage(graph, path)
        assert [topic.name for topic in stage.player.unknown] == ['/tree']
        assert stage.run().by_topic == {'/a': 1}
        with pytest.raises(BagError, match='not installed: my_msgs/msg/Tree'):
            Stage(graph, path, topics=('/tree',))

    def test_late_subscriber_gets_what_was_latched(self, graph, tmp_path) -> None:
        path = make_bag(tmp_path / 'x.mcap', ('/a', 0.0, 'map'), transient_local=True, depth=1)
        stage = Stage(graph, path)
        stage.run()
        latched = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        stage.listen('/a', qos=latched)
        assert until(lambda: stage.texts == ['map'])

    def test_loop_until_stopped(self, graph, five: Path) -> None:
        stage = Stage(graph, five, rate=20.0, loop=True).listen('/a', '/b')
        stage.run_in_background()
        assert until(lambda: len(stage.heard) >= 12)
        report = stage.end()
        assert report.passes >= 2
        assert stage.texts[:10] == [f'text {i}' for i in range(5)] * 2

    def test_end_of_the_context_ends_it(self, five: Path) -> None:
        context = rclpy.Context()
        rclpy.init(args=[], context=context)
        node = rclpy.create_node('player', context=context)
        with BagReader(five) as bag:
            player = Player(node, bag, Options(paused=True))
            thread = threading.Thread(target=player.run, daemon=True)
            thread.start()
            context.try_shutdown()
            thread.join(5.0)
            assert not thread.is_alive()
        node.destroy_node()

    def test_pause_and_go_on(self, graph, five: Path) -> None:
        stage = Stage(graph, five, rate=4.0, paused=True).listen('/a', '/b').run_in_background()
        time.sleep(0.4)
        assert stage.heard == []
        stage.player.set_paused(False)
        assert until(lambda: len(stage.heard) >= 2)
        stage.player.set_paused(True)
        time.sleep(0.15)
        so_far = len(stage.heard)
        time.sleep(0.4)
        assert len(stage.heard) == so_far < 5
        stage.player.set_paused(False)
        assert until(lambda: len(stage.heard) == 5)
        stage.thread.join(10.0)
        report = stage.player.report
        assert report.wall_s < 0.7
        assert report.lateness_s
        assert max(report.lateness_s) < 0.1

    def test_waits_for_subscribers(self, graph, five: Path) -> None:
        stage = Stage(graph, five, rate=20.0, wait_for=('b',), delay_s=0.2).run_in_background()
        time.sleep(0.5)
        assert stage.player.report.messages == 0
        stage.listen('/b')
        assert until(lambda: stage.texts == ['text 1', 'text 3'])

    def test_clock_runs_in_the_time_of_the_bag(self, graph, five: Path) -> None:
        clocks = graph.collect(Clock, '/clock')
        stage = Stage(graph, five, clock_hz=50.0, wait_for=('/clock',), delay_s=0.3)
        stage.run()
        times_s = [c.clock.sec + c.clock.nanosec * 1e-9 - START_NS * 1e-9 for c in clocks]
        assert len(times_s) > 15
        assert times_s == sorted(times_s)
        assert 0.0 <= times_s[0] < 0.2
        assert 0.6 < times_s[-1] <= 0.9

    def test_restamped_messages_of_one_image_keep_one_stamp(
        self,
        graph,
        tmp_path: Path,
    ) -> None:
        path = tmp_path / 'sample.mcap'
        make_sample_bag(BagTarget(path, 'mcap'), SampleBag(0.6, fps=10, size_px=(160, 120)))
        stamps: dict[str, list[float]] = {'image': [], 'camera_info': []}

        def subscribe() -> None:
            for kind, topic, name in (
                (CompressedImage, '/image_raw/compressed', 'image'),
                (CameraInfo, '/camera_info', 'camera_info'),
            ):

                def take(message: Any, name: str = name) -> None:
                    stamp = message.header.stamp
                    stamps[name].append(stamp.sec + stamp.nanosec * 1e-9)

                graph.peer.create_subscription(kind, topic, take, qos_profile_sensor_data)

        graph.run(subscribe)
        topics = ('/image_raw/compressed', '/camera_info')
        began_s = time.time()
        Stage(graph, path, rate=2.0, restamp=True, wait_for=topics, delay_s=0.3).run()
        assert until(lambda: len(stamps['image']) == len(stamps['camera_info']) == 6)
        assert stamps['image'] == stamps['camera_info']
        assert began_s - 0.1 < stamps['image'][0] < time.time()
        gaps_s = [b - a for a, b in zip(stamps['image'], stamps['image'][1:])]
        assert gaps_s == pytest.approx([0.05] * 5, abs=1e-6)

    def test_late_messages_are_published_and_counted(
        self,
        graph,
        five: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """A disk that stalls once."""
        read = BagReader.messages

        def stalling(self, *arguments: Any):
            for i, message in enumerate(read(self, *arguments)):
                if i == 2:
                    time.sleep(0.5)
                yield message

        monkeypatch.setattr(BagReader, 'messages', stalling)
        stage = Stage(graph, five, rate=4.0).listen('/a', '/b')
        report = stage.run()
        assert until(lambda: len(stage.heard) == 5)
        assert report.late == 3
        assert max(report.lateness_s) == pytest.approx(0.4, abs=0.15)
        assert re.search(r'late by more than 10 ms: 3 of 5', '\n'.join(report.lines()))

    def test_damage_is_said_and_the_reader_ends(self, graph, five, monkeypatch) -> None:
        def damaged(self, *arguments: Any):
            raise BagError('here is a hole')
            yield

        monkeypatch.setattr(BagReader, 'messages', damaged)
        with pytest.raises(BagError, match='a hole'):
            Stage(graph, five).run()
        assert 'read_bag' not in [thread.name for thread in threading.enumerate()]


class TestCommandLine:
    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, '-m', 'aitable_ros.tools.replay', *map(str, arguments)]

    def test_publishes_under_another_name(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/table/words')
        process = subprocess.run(
            self.command(
                five, '--rate', 4, '--remap', '/a:=/table/words', '--wait-for', '/table/words'
            ),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert process.returncode == 0, process.stderr
        assert until(lambda: len(heard) == 3)
        assert 'replay: 5 messages in 0.' in process.stdout

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_ends_cleanly_when_asked_to(self, graph, five: Path, number: int) -> None:
        heard = graph.collect(String, '/a')
        command = self.command(five, '--loop', '--rate', 4, '--clock')
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert until(lambda: len(heard) > 4, 60.0)
            process.send_signal(number)
            out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
        assert 'Traceback' not in error
        assert re.search(r'replay: \d+ messages in', out)

    def test_service_pauses(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/a')
        with subprocess.Popen(
            self.command(five, '--loop', '--rate', 10, '--paused', '--quiet'),
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            answer = graph.call(
                SetBool, '/replay/set_paused', SetBool.Request(data=False), timeout_s=60.0
            )
            assert (answer.success, answer.message) == (True, 'going on')
            assert until(lambda: len(heard) > 3)
            graph.call(SetBool, '/replay/set_paused', SetBool.Request(data=True))
            time.sleep(0.3)
            so_far = len(heard)
            time.sleep(0.5)
            assert len(heard) == so_far
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, '')

    def test_space_bar_pauses(self, graph, five: Path) -> None:
        heard = graph.collect(String, '/a')
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        command = self.command(five, '--rate', 20, '--paused', '--wait-for', '/a', '--delay', 0.3)
        with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE) as process:
            try:
                assert until(lambda: termios.tcgetattr(theirs) != before, 60.0), 'nobody listens'
                time.sleep(1.0)
                assert heard == []
                os.write(ours, b'x ')
                assert until(lambda: len(heard) == 3)
                assert process.wait(timeout=20) == 0
            finally:
                process.kill()
        assert termios.tcgetattr(theirs) == before
        os.close(ours)
        os.close(theirs)

    @pytest.mark.parametrize(
        ('arguments', 'status', 'complaint'),
        [
            (('--topics', '/c'), 1, 'replay: error: .*no topic /c; its topics: /a, /b'),
            (('--rate', '0'), 2, 'replay: error: rate 0.0 is not in 0..1000'),
            (('--remap', 'no rule'), 1, 'replay: error: .*no rule.*'),
        ],
    )
    def test_mistakes(self, five: Path, arguments, status: int, complaint: str) -> None:
        process = subprocess.run(
            self.command(five, *arguments), capture_output=True, text=True, timeout=60
        )
        assert process.returncode == status
        assert re.fullmatch(complaint, process.stderr.splitlines()[-1])
        assert 'Traceback' not in process.stderr


def test_report_in_words() -> None:
    report = Report(messages=4, bag_s=2.0, wall_s=1.0, lateness_s=[0.0, 0.001, 0.002, LATE_S * 2])
    assert report.late == 1
    assert report.lines() == [
        '4 messages in 1.0 s (2.0 s of the bag)',
        'late by more than 10 ms: 1 of 4 (p99 20.0 ms, worst 20.0 ms)',
    ]
    assert dataclasses.replace(report, lateness_s=[]).lines() == [report.lines()[0]]
