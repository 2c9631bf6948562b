# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A bag replayed live at any rate gives what process_bag gives, of the frames that were seen.

Fatigue and attention are states over time: where a frame is overtaken, all that follows has seen
one frame less.
So what is asked for, byte for byte, is: everything up to the first frame that was missed, and
everything when offline only those frames are fed that the live run saw (as long as the fatigue
node still had their images: where it had not, its message says so). Emotion and posture, whose
nodes work on the newest input, are compared up to the first image that they left out.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip('rclpy', reason='ROS 2 is not installed: run scripts/test.sh')

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.serialization import deserialize_message

from aitable_msgs.msg import Attention, Emotion, Event, FaceArray, Fatigue, Posture
from aitable_ros.bags import BagReader, BagTarget, SampleBag, find_definition, make_sample_bag
from aitable_ros.bags.definitions import Canonical
from aitable_ros.bags.topics import choose_images
from aitable_ros.nodes.attention_node import AttentionNode
from aitable_ros.nodes.emotion_node import EmotionNode
from aitable_ros.nodes.face_detection_node import FaceDetectionNode
from aitable_ros.nodes.fatigue_node import FatigueNode
from aitable_ros.nodes.posture_node import PostureNode
from aitable_ros.ros_support.process.executor import make_executor
from aitable_ros.tools.process_bag.offline_pipeline import OfflinePipeline

pytestmark = [pytest.mark.models, pytest.mark.ros]

ROOT = Path(__file__).resolve().parents[3]
CONTENT = SampleBag(seconds=4.0, fps=15, size_px=(320, 240))
TRANSPORT = {'image_transport': 'compressed'}  # as in the sample bag
EVERY_IMAGE = Parameter('max_rate', value=0.0)
"""Of emotion, so that there is something to compare."""
KINDS = {
    f'aitable_msgs/msg/{kind.__name__}': kind
    for kind in (Fatigue, Emotion, Posture, Attention, Event)
}
FATIGUE, EMOTION, POSTURE, ATTENTION, EVENT = KINDS
QUIET_S = 1.5

ByStamp = dict[int, list[bytes]]
"""Serialised messages, canonical, by header stamp [ns]; one per face."""

Results = dict[str, ByStamp]
"""By type."""


@dataclass
class Live:
    """
    What a live run gave.

    :param sent: stamps of the images of the bag, in order [ns].
    :param seen: stamps of the images that face detection worked on [ns].
    :param results: what was published.
    :param fatigue_overtaken: face messages that the fatigue node did not work on.
    """

    sent: list[int]
    seen: set[int] = field(default_factory=set)
    results: Results = field(default_factory=lambda: {kind: {} for kind in KINDS})
    fatigue_overtaken: int = 0

    @property
    def missed(self) -> list[int]:
        """Stamps of the images that were not worked on, in order."""
        return [stamp_ns for stamp_ns in self.sent if stamp_ns not in self.seen]

    @property
    def before_first_missed(self) -> set[int]:
        """Stamps of the images before the first one that was missed."""
        first = min(self.missed, default=sys.maxsize)
        return {stamp_ns for stamp_ns in self.sent if stamp_ns < first}


def stamp_of(data: bytes) -> int:
    """Read the stamp [ns] of a serialised message that begins with a header."""
    seconds, nanoseconds = (int.from_bytes(data[i : i + 4], 'little') for i in (4, 8))
    return seconds * 1_000_000_000 + nanoseconds


def offline(bag_path: Path, only: Collection[int] | None = None) -> Results:
    """Process a bag offline, or of its images only those with these stamps [ns]."""
    results: Results = {kind: {} for kind in KINDS}
    with BagReader(bag_path) as bag:
        images = choose_images(bag, '')
        nodes = ('face_detection', 'emotion', 'fatigue', 'posture', 'attention')
        with OfflinePipeline(nodes, parameters={**TRANSPORT, 'emotion:max_rate': 0.0}) as pipeline:
            recorded = {t.type_name for t in bag.topics}
            topics = {kind: t for t, kind in pipeline.inputs.items() if kind in recorded}
            fed = [t for t in bag.topics if t.type_name in topics]
            for message in bag.messages([t for t in fed if not t.is_image or t is images]):
                kind = message.topic.type_name
                is_left_out = only is not None and stamp_of(message.data) not in only
                if is_left_out and message.topic is images:
                    continue
                for result in pipeline.feed(topics[kind], kind, message.data):
                    if result.type_name in KINDS:
                        of_kind = results[result.type_name]
                        of_kind.setdefault(stamp_of(result.data), []).append(result.data)
    return results


def live(bag_path: Path, rate: float) -> Live:
    """Replay a bag from a process of its own through the nodes in this one, over DDS."""
    with BagReader(bag_path) as bag:
        images = choose_images(bag, '')
        assert images is not None
        awaited = [t.name for t in bag.topics if t is images or t.name.endswith('camera_info')]
        run = Live([stamp_of(message.data) for message in bag.messages([images])])
    context = Context()
    rclpy.init(args=[], context=context)
    executor = make_executor(context)
    parameters = [Parameter(name, value=value) for name, value in TRANSPORT.items()]
    nodes = [
        node_class(context=context, parameter_overrides=[*parameters, *others])
        for node_class, others in (
            *((FaceDetectionNode, ()), (FatigueNode, ()), (EmotionNode, (EVERY_IMAGE,))),
            *((PostureNode, ()), (AttentionNode, ())),
        )
    ]
    heard = rclpy.create_node('heard', context=context)
    last_s = time.monotonic()

    def hear_faces(data: bytes) -> None:
        run.seen.add(stamp_of(data))

    def hear(kind: str) -> Callable[[bytes], None]:
        definition = find_definition(kind)
        assert definition is not None
        canonical = Canonical(definition)

        def take(data: bytes) -> None:
            nonlocal last_s
            last_s = time.monotonic()
            run.results[kind].setdefault(stamp_of(data), []).append(canonical(data))

        return take

    heard.create_subscription(FaceArray, 'faces', hear_faces, 1000, raw=True)
    for kind, message_class in KINDS.items():
        topic = 'events' if message_class is Event else message_class.__name__.lower()
        heard.create_subscription(message_class, topic, hear(kind), 1000, raw=True)
    stopping = threading.Event()

    def spin() -> None:
        while not stopping.is_set():
            executor.spin_once(timeout_sec=0.1)

    for node in (*nodes, heard):
        executor.add_node(node)
    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    try:
        wait_until(lambda: all(node.is_active for node in nodes))
        command = [sys.executable, '-m', 'aitable_ros.tools.replay', str(bag_path)]
        command += ['--rate', str(rate), '--wait-for', *awaited, '--delay', '0.5']
        subprocess.run([*command, '--topics', *awaited], cwd=ROOT, check=True)
        wait_until(lambda: time.monotonic() - last_s > QUIET_S)
        run.fatigue_overtaken = nodes[1].overtaken
    finally:
        stopping.set()
        executor.wake()
        spinning.join()
        for node in (*nodes, heard):
            node.destroy_node()
        executor.shutdown()
        context.try_shutdown()
    return run


def equal(one: ByStamp, other: ByStamp, stamps: Collection[int]) -> int:
    """Count the stamps whose messages are the same bytes."""
    return sum(one.get(stamp_ns) == other.get(stamp_ns) for stamp_ns in stamps)


def events(results: Results) -> list[bytes]:
    """Give all events but of postures, whose images overtake those of the faces."""
    found = (data for of_stamp in results[EVENT].values() for data in of_stamp)
    return sorted(
        data for data in found if deserialize_message(data, Event).kind < Event.POSTURE_CHANGED
    )


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, 'the nodes did not get there'
        time.sleep(0.05)


@pytest.fixture(scope='module')
def bag(engines_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('live') / 'sample.mcap'
    make_sample_bag(BagTarget(path, 'mcap'), CONTENT)
    return path


@pytest.fixture(scope='module')
def everything(bag: Path) -> Results:
    return offline(bag)


def test_offline_there_is_something_to_compare(everything: Results) -> None:
    """Every frame has its message, the eyes open and close, blinks are counted."""
    messages = [
        deserialize_message(data, Fatigue) for one in everything[FATIGUE].values() for data in one
    ]
    assert len(messages) == 60
    assert {Fatigue.EYES_OPEN, Fatigue.EYES_CLOSED} <= {message.eye_state for message in messages}
    assert messages[-1].blink_count == 1
    assert len(everything[ATTENTION]) == 60
    kinds = {deserialize_message(data, Event).kind for data in events(everything)}
    assert kinds == {Event.BLINK, Event.CAME}
    assert (len(everything[EMOTION]), len(everything[POSTURE])) == (60, 40)


# 40: more than any machine keeps up with, so that frames are overtaken for certain
@pytest.mark.parametrize('rate', [1.0, 40.0])
def test_live_equals_offline(bag: Path, everything: Results, rate: float) -> None:
    for slower in 1, 2, 4:  # where the machine is busy
        run = live(bag, rate / slower)
        all_seen = not run.missed and set(run.results[POSTURE]) == set(everything[POSTURE])
        if rate > 1.0 or all_seen:
            break
    print(f'rate {rate}: {len(run.missed)} of {len(run.sent)} frames were missed')
    assert len(run.sent) == 60
    assert run.fatigue_overtaken == 0
    fatigue = run.results[FATIGUE]
    assert set(fatigue) == run.seen
    comparable = set(run.results[FATIGUE])
    before = run.before_first_missed & comparable
    assert equal(everything[FATIGUE], fatigue, before) == len(before)
    same_frames = everything if not run.missed else offline(bag, run.seen)
    assert set(same_frames[FATIGUE]) == set(fatigue)
    assert equal(same_frames[FATIGUE], fatigue, comparable) == len(comparable)
    assert set(run.results[ATTENTION]) == comparable
    assert equal(same_frames[ATTENTION], run.results[ATTENTION], comparable) == len(comparable)
    assert events(run.results) == events(same_frames)
    for kind in (EMOTION, POSTURE):
        live_ones, offline_ones = run.results[kind], same_frames[kind]
        first = min(set(offline_ones) ^ set(live_ones), default=sys.maxsize)
        compared = {stamp_ns for stamp_ns in live_ones if stamp_ns < first} & comparable
        if kind == POSTURE:  # whose images overtake those of the faces, too
            compared &= run.before_first_missed
        print(f'{kind}: {len(compared)} of {len(offline_ones)} compared')
        assert equal(offline_ones, live_ones, compared) == len(compared)
        assert rate > 1.0 or len(compared) > 5
    if rate <= 1.0:
        assert len(comparable) > len(run.sent) * 3 / 4, 'there is little left to compare'
    if rate == 40.0:
        assert run.missed


def test_a_frame_less_is_seen(bag: Path, everything: Results) -> None:
    """The comparison can fail: one frame less in the closing of an eye changes what follows."""
    stamps = sorted(everything[FATIGUE])
    without = offline(bag, set(stamps) - {stamps[44]})[FATIGUE]
    later = stamps[45:]
    assert equal(everything[FATIGUE], without, stamps[:44]) == 44
    assert equal(everything[FATIGUE], without, later) < len(later)
