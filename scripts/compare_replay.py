# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compares a bag replayed live through the nodes with the same bag processed offline.

    python3 scripts/compare_replay.py [BAG] [--rates 0.5 1 4]

Live: `replay` in a process of its own publishes the images over DDS; the real nodes, composed in
this process, work on them. Where a frame was overtaken (or lost on the way) the states that follow
have seen less than the offline ones, so what has to be equal is this, byte for byte:

* every Fatigue message before the first frame that was missed,
* every Fatigue message, when offline only those frames are fed that the live run saw (up to the
  first one whose image was gone when its faces were found, which the message says).

How often level, eye state and blink count agree with the offline run of all frames is printed
besides. Without BAG, a bag of the built-in sample is made.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from aitable_ros.bags import (  # noqa: E402
    BagReader,
    BagTarget,
    SampleBag,
    find_definition,
    make_sample_bag,
)
from aitable_ros.bags.definitions import Canonical  # noqa: E402
from aitable_ros.bags.reading import CAMERA_INFO, COMPRESSED_IMAGE  # noqa: E402
from aitable_ros.tools.bag_topics import choose_images  # noqa: E402
from aitable_ros.tools.offline_pipeline import OfflinePipeline  # noqa: E402

NODES = ('face_detection', 'fatigue')
FACES = 'aitable_msgs/msg/FaceArray'
FATIGUE = 'aitable_msgs/msg/Fatigue'
VERDICTS = ('level', 'eye_state', 'blink_count', 'long_closure_count', 'yawn_count')
QUIET_S = 1.5

ByStamp = dict[int, list[bytes]]
"""Serialised Fatigue messages, canonical, by header stamp [ns]; one per face."""


@dataclass
class Live:
    """
    What a live run gave.

    :param sent: stamps of the images of the bag, in order [ns].
    :param received: how many images arrived in the process of the nodes.
    :param seen: stamps of the images that face detection worked on [ns].
    :param fatigue: what was published.
    :param fatigue_overtaken: face messages that the fatigue node did not work on.
    """

    sent: list[int] = field(default_factory=list)
    received: int = 0
    seen: set[int] = field(default_factory=set)
    fatigue: ByStamp = field(default_factory=dict)
    fatigue_overtaken: int = 0

    @property
    def missed(self) -> list[int]:
        """Stamps of the images that were not worked on, in order."""
        return [stamp_ns for stamp_ns in self.sent if stamp_ns not in self.seen]

    @property
    def without_image(self) -> list[int]:
        """
        Stamps at which the fatigue node no longer had the image, in order.

        Nodes keep the newest images only, and say NO_IMAGE where the faces took longer.
        """
        from rclpy.serialization import deserialize_message

        from aitable_msgs.msg import Fatigue

        return sorted(
            stamp_ns
            for stamp_ns, messages in self.fatigue.items()
            if any(
                deserialize_message(data, Fatigue).visibility == Fatigue.NO_IMAGE
                for data in messages
            )
        )

    @property
    def comparable(self) -> set[int]:
        """Stamps of the results that come of what face detection saw and nothing else."""
        without = self.without_image
        return {stamp_ns for stamp_ns in self.fatigue if not without or stamp_ns < without[0]}

    @property
    def before_first_missed(self) -> set[int]:
        """Stamps of the images before the first one that was missed."""
        missed = self.missed
        return {stamp_ns for stamp_ns in self.sent if not missed or stamp_ns < missed[0]}


def stamp_of(data: bytes) -> int:
    """Read the stamp [ns] of a serialised message that begins with a header."""
    order: Literal['little', 'big'] = 'little' if data[1] & 1 else 'big'
    seconds, nanoseconds = (int.from_bytes(data[i : i + 4], order) for i in (4, 8))
    return seconds * 1_000_000_000 + nanoseconds


def image_stamps(bag_path: Path) -> list[int]:
    """Give the stamps of all images of a bag, in order."""
    with BagReader(bag_path) as bag:
        images = choose_images(bag, '')
        assert images is not None
        return [stamp_of(message.data) for message in bag.messages([images])]


def offline(bag_path: Path, only: Collection[int] | None = None) -> ByStamp:
    """
    Process a bag offline.

    :param only: feed only the images with these stamps [ns]; None: all.
    """
    fatigue: ByStamp = {}
    with BagReader(bag_path) as bag:
        images = choose_images(bag, '')
        assert images is not None
        transport = 'compressed' if images.type_name == COMPRESSED_IMAGE else 'raw'
        with OfflinePipeline(NODES, parameters={'image_transport': transport}) as pipeline:
            topics = {kind: topic for topic, kind in pipeline.inputs.items()}
            fed = [topic for topic in bag.topics if topic is images or topic.type_name in topics]
            fed = [t for t in fed if not t.is_image or t is images]
            for message in bag.messages(fed):
                topic = message.topic
                if topic is images and only is not None and stamp_of(message.data) not in only:
                    continue
                for result in pipeline.feed(
                    topics[topic.type_name], topic.type_name, message.data
                ):
                    if result.type_name == FATIGUE:
                        fatigue.setdefault(stamp_of(result.data), []).append(result.data)
    return fatigue


def live(bag_path: Path, rate: float) -> Live:
    """Replay a bag through the nodes, over DDS."""
    import rclpy
    from rclpy.context import Context
    from rclpy.parameter import Parameter

    from aitable_msgs.msg import FaceArray, Fatigue
    from aitable_ros.nodes.face_detection_node import FaceDetectionNode
    from aitable_ros.nodes.fatigue_node import FatigueNode
    from aitable_ros.ros_support.executor import make_executor
    from aitable_ros.ros_support.frame_hub import FrameHub

    with BagReader(bag_path) as bag:
        images = choose_images(bag, '')
        assert images is not None
        compressed = images.type_name == COMPRESSED_IMAGE
        awaited = [images.name, *(t.name for t in bag.topics if t.type_name == CAMERA_INFO)]
    run = Live(sent=image_stamps(bag_path))
    context = Context()
    rclpy.init(args=[], context=context)
    executor = make_executor(context)
    parameters = [Parameter('image_transport', value='compressed' if compressed else 'raw')]
    nodes = [
        node_class(context=context, parameter_overrides=parameters)
        for node_class in (FaceDetectionNode, FatigueNode)
    ]
    heard = rclpy.create_node('heard', context=context)
    definition = find_definition(FATIGUE)
    assert definition is not None
    canonical = Canonical(definition)
    last_s = time.monotonic()

    def hear_faces(data: bytes) -> None:
        run.seen.add(stamp_of(data))

    def hear_fatigue(data: bytes) -> None:
        nonlocal last_s
        last_s = time.monotonic()
        run.fatigue.setdefault(stamp_of(data), []).append(canonical(data))

    heard.create_subscription(FaceArray, 'faces', hear_faces, 1000, raw=True)
    heard.create_subscription(Fatigue, 'fatigue', hear_fatigue, 1000, raw=True)
    stopping = threading.Event()

    def spin() -> None:
        while not stopping.is_set():
            executor.spin_once(timeout_sec=0.1)

    for node in (*nodes, heard):
        executor.add_node(node)
    spinning = threading.Thread(target=spin, daemon=True)
    spinning.start()
    try:
        _wait_until(lambda: all(node.is_active for node in nodes))
        command = [sys.executable, '-m', 'aitable_ros.tools.replay', str(bag_path)]
        command += ['--rate', str(rate), '--wait-for', *awaited, '--delay', '0.5']
        command += ['--topics', *awaited]
        shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        print(f'# rate {rate:g}: {" ".join(shown.stdout.split())}', file=sys.stderr)
        _wait_until(lambda: time.monotonic() - last_s > QUIET_S)
        channels = FrameHub.of(nodes[0])._channels.values()
        run.received = max(channel.received for channel in channels)
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


def agreement(one: ByStamp, other: ByStamp, stamps: Collection[int]) -> dict[str, float]:
    """Give the share of the stamps at which each verdict agrees, of the first face."""
    from rclpy.serialization import deserialize_message

    from aitable_msgs.msg import Fatigue

    both = [stamp_ns for stamp_ns in stamps if stamp_ns in one and stamp_ns in other]
    agreed = dict.fromkeys(VERDICTS, 0)
    for stamp_ns in both:
        a, b = (deserialize_message(x[stamp_ns][0], Fatigue) for x in (one, other))
        for name in VERDICTS:
            agreed[name] += getattr(a, name) == getattr(b, name)
    return {name: count / max(1, len(both)) for name, count in agreed.items()}


def _wait_until(condition: Any, timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError('the nodes did not get there')
        time.sleep(0.05)


def main() -> int:
    """Compare and print; 1 where something differs that must not."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('bag', metavar='BAG', type=Path, nargs='?')
    parser.add_argument('--rates', type=float, nargs='+', default=[0.5, 1.0, 4.0])
    parser.add_argument('--seconds', type=float, default=20.0, help='of the sample')
    parser.add_argument('--fps', type=float, default=15.0, help='of the sample')
    arguments = parser.parse_args()
    from aitable_ros.ros_support.transport import configure_transport

    configure_transport()
    differs = False
    with tempfile.TemporaryDirectory() as folder:
        bag = arguments.bag
        if bag is None:
            bag = Path(folder) / 'sample.mcap'
            content = SampleBag(seconds=arguments.seconds, fps=arguments.fps)
            make_sample_bag(BagTarget(bag, 'mcap'), content)
        everything = offline(bag)
        print(
            '| rate | images | missed (lost, overtaken) | equal before the first missed'
            ' | equal to offline with the same frames | '
            + ' | '.join(f'{name} agrees' for name in VERDICTS)
            + ' |'
        )
        print('|---' * (5 + len(VERDICTS)) + '|')
        for rate in arguments.rates:
            run = live(bag, rate)
            before, seen = run.before_first_missed, set(run.fatigue)
            same = offline(bag, run.seen)
            comparable = run.comparable
            early = equal(everything, run.fatigue, before & comparable)
            late = equal(same, run.fatigue, comparable)
            differs |= early != len(before & comparable) or late != len(comparable)
            differs |= not run.fatigue_overtaken and set(same) != seen
            lost = len(run.sent) - run.received
            agreed = agreement(everything, run.fatigue, seen)
            print(
                f'| {rate:g} | {len(run.sent)} | {len(run.missed)} ({lost},'
                f' {len(run.missed) - lost}) | {early} of {len(before & comparable)} |'
                f' {late} of {len(comparable)} | '
                + ' | '.join(f'{agreed[name]:.3f}' for name in VERDICTS)
                + ' |',
                flush=True,
            )
            if run.without_image:
                print(f'({len(run.without_image)} times the image was gone)')
            if run.fatigue_overtaken:
                print(f'(the fatigue node overtook {run.fatigue_overtaken} messages)')
    return 1 if differs else 0


if __name__ == '__main__':
    sys.exit(main())
