# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""Bags are published at their pace, as they were recorded."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from ros_fixtures import graph, until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage
from std_msgs.msg import String
from string_bags import START_NS, STRING, five, make_bag, string_cdr

from aitable_ros.bags import BagError, BagReader, BagTarget, BagWriter, SampleBag, make_sample_bag
from aitable_ros.bags.definitions import make_definition
from aitable_ros.tools.replay.player import Options, Player, Report

__all__ = ['five', 'graph']

pytestmark = pytest.mark.ros


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
        stage.end()
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
        assert not [t for t in threading.enumerate() if t.name.startswith('read_bag')]
