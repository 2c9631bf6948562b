#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how many cameras one machine serves: all their nodes in one process.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/cameras.py [--against ../another_checkout]

Each camera has a namespace with face_detection, emotion and fatigue, as the container loads them,
and publishes the built-in sample, 640x480, from a process of its own. There is one more each time
until the p99 of the latency from an image's stamp to the arrival of its Fatigue is above --limit,
or more than 1 % of the images are not answered. With --against the other checkout follows at each
number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from measured_nodes import ROOT, Side, cpu_s, pss_mb, take_cpus
from sample_camera import Link, back_and_forth

SETTLE_S, GRACE_S, START_S = 4.0, 0.5, 60.0


def serve(count: int) -> None:
    """Be the nodes of so many cameras, of the checkout that Python finds first, until killed."""
    import cv2
    import rclpy
    from rclpy.experimental import EventsExecutor
    from rclpy.task import Future

    from aitable_ros.nodes.emotion_node import EmotionNode
    from aitable_ros.nodes.face_detection_node import FaceDetectionNode
    from aitable_ros.nodes.fatigue_node import FatigueNode

    cv2.setNumThreads(1)  # as the executables do
    rclpy.init(args=[])
    executor = EventsExecutor()
    for i in range(count):
        for node_class in (FaceDetectionNode, EmotionNode, FatigueNode):
            executor.add_node(node_class(cli_args=['--ros-args', '-r', f'__ns:=/camera_{i}']))
    while True:
        executor.spin_until_future_complete(Future(), timeout_sec=1.0)


class Feed:
    """The cameras, in this process."""

    def __init__(self, count: int) -> None:
        import rclpy
        from std_msgs.msg import Header

        from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
        from aitable_ros.ros_support.process.executor import make_executor
        from aitable_ros.simulation import AstronautSequence

        sequence = AstronautSequence(640, 480, 30.0)
        frames = min(len(sequence), 120)
        header = Header(frame_id='camera')
        images = [rgb_to_image(sequence.frame(i), header, 'bgr8') for i in range(frames)]
        self._images = [images[i] for i in back_and_forth(frames)]
        rclpy.init(args=[])
        node = rclpy.create_node('cameras')
        self._executor = make_executor()
        self._executor.add_node(node)
        self._links = [Link(node, f'camera_{i}') for i in range(count)]
        self._ending = False
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while not self._ending:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """End the thread."""
        self._ending = True
        self._thread.join()

    def measure(self, count: int, pid: int, rate_hz: float, seconds: float) -> dict[str, float]:
        """Publish from so many cameras; give what was lost, latencies and CPU time."""
        links = self._links[:count]
        deadline_s = time.monotonic() + START_S
        while not all(link.publisher.get_subscription_count() for link in links):
            if time.monotonic() > deadline_s:
                raise RuntimeError('not all nodes subscribed to their images')
            time.sleep(0.05)
        for link in links:
            link.clear()
        settling = round(SETTLE_S * rate_hz)
        total = settling + round(seconds * rate_hz)
        sent: list[list[tuple[int, int]]] = [[] for _ in links]
        used_s, due_s = 0.0, time.monotonic()
        for index in range(total * count):
            time.sleep(max(0.0, due_s - time.monotonic()))
            due_s += 1 / (rate_hz * count)  # one camera after the other
            if index == settling * count:
                used_s = cpu_s([pid])
            stamp = links[index % count].publish(self._images[index // count % len(self._images)])
            if index >= settling * count:
                sent[index % count].append(stamp)
        used_s = cpu_s([pid]) - used_s
        time.sleep(GRACE_S)
        ages = [
            link.age_ms['fatigue'].get(stamp) for link, own in zip(links, sent) for stamp in own
        ]
        answered = [age for age in ages if age is not None]
        p50, p99 = np.percentile(answered, (50, 99)) if answered else (np.nan, np.nan)
        return {
            'lost': 100 * (1 - len(answered) / len(ages)),
            'p50': float(p50),
            'p99': float(p99),
            'cpu': 1e3 * used_s / max(len(answered), 1),
            'core': 100 * used_s / seconds,
            'pss': pss_mb([pid]),
        }


def run(feed: Feed, side: Side, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Start the nodes of so many cameras, measure, and kill them."""
    nodes = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), '--serve', str(count)],
        cwd=side.root,
        env=side.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return feed.measure(count, nodes.pid, options.rate, options.seconds)
    finally:
        nodes.kill()
        nodes.wait()


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--rate', type=float, default=30.0, help='images per second and camera')
    parser.add_argument('--seconds', type=float, default=10.0, help='measured at each number')
    parser.add_argument('--limit', type=float, default=50.0, help='p99 at which it ends [ms]')
    parser.add_argument('--most', type=int, default=16, help='cameras at most')
    parser.add_argument('--cpus', type=int, default=0, help='CPUs for all of it (0: all)')
    parser.add_argument('--against', type=Path, metavar='FOLDER', help='another checkout')
    parser.add_argument('--serve', type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return 0
    sys.path.insert(0, str(ROOT))
    from aitable_ros.paths import ENGINES_DIR_VARIABLE, engines_dir
    from aitable_ros.ros_support.process.transport import configure_transport

    configure_transport()
    os.environ[ENGINES_DIR_VARIABLE] = str(engines_dir())
    cpus = take_cpus(options.cpus)
    sides = [Side('this')]
    if options.against:
        sides.append(Side('other', root=options.against.resolve()))
    with closing(Feed(options.most)) as feed:
        compare(feed, sides, cpus, options)
    return 0


def compare(feed: Feed, sides: list[Side], cpus: int, options: argparse.Namespace) -> None:
    """Print the table, a row for each number of cameras and side that holds."""
    print(f'{cpus} CPUs, {options.rate:g} Hz, {options.seconds:g} s each\n')
    print('| cameras | code | lost | Fatigue p50 / p99 | CPU per image | of a core | PSS |')
    print('|---|---|---|---|---|---|---|')
    for count in range(1, options.most + 1):
        for side in list(sides):
            found = run(feed, side, count, options)
            print(
                f'| {count} | {side.name} | {found["lost"]:.1f} % | {found["p50"]:.1f} / '
                f'{found["p99"]:.1f} ms | {found["cpu"]:.2f} ms | {found["core"]:.0f} % | '
                f'{found["pss"]:.0f} MB |',
                flush=True,
            )
            if not (found['p99'] <= options.limit and found['lost'] <= 1.0):
                sides.remove(side)
        if not sides:
            break


if __name__ == '__main__':
    sys.exit(main())
