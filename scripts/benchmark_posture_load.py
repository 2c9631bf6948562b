#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what the posture node costs, and whether it slows the fatigue node down.

This process publishes the built-in sample like a camera driver. Face detection and fatigue run
composed in another process: first alone, then with the posture node in the same process, then
with the posture node in a process of its own, whose CPU time is its own cost. Real nodes, real
topics, the parameters that are shipped.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

START_TIMEOUT_S = 60.0
SETTLE_S = 3.0

RUNS: dict[str, tuple[tuple[str, ...], ...]] = {
    'without posture': (('face_detection', 'fatigue'),),
    'posture in the same process': (('face_detection', 'fatigue', 'posture'),),
    'posture in its own process': (('face_detection', 'fatigue'), ('posture',)),
}
"""What runs: the processes with their nodes."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=20.0)
    parser.add_argument('--rate', type=float, default=30.0, help='images per second')
    parser.add_argument('--posture-rate', type=float, default=10.0, help='parameter max_rate')
    parser.add_argument('--size', default='640x480', help='WIDTHxHEIGHT of the images')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    options = parser.parse_args()

    from aitable_ros.ros_support.transport import configure_transport

    configure_transport()
    frames = make_frames(options)
    figures = {name: run(options, frames, groups) for name, groups in RUNS.items()}
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    print(
        f'{options.size} at {options.rate:g} Hz for {options.seconds:g} s, {os.cpu_count()} cores'
    )
    rows = list(next(iter(figures.values())))
    width = max(map(len, rows))
    print(' ' * width, *(f'{name:>28s}' for name in figures))
    for row in rows:
        print(f'{row:{width}s}', *(f'{one[row]:>28}' for one in figures.values()))
    return 0


def make_frames(options: argparse.Namespace) -> list[Any]:
    from aitable_ros.sample import AstronautSequence

    width, height = (int(x) for x in options.size.split('x'))
    sequence = AstronautSequence(width, height, options.rate)
    return [sequence.frame(i) for i in range(len(sequence))]


def start(options: argparse.Namespace, nodes: tuple[str, ...]) -> subprocess.Popen[bytes]:
    """Start a process with these nodes."""
    shared = ['--ros-args', '--params-file', str(ROOT / 'config' / 'aitable.yaml')]
    for node in nodes:
        shared += ['-p', f'{node}:backend:={options.backend}']
    if 'posture' in nodes:
        shared += ['-p', f'posture:max_rate:={options.posture_rate}']
    if len(nodes) > 1:
        command = ['component_container', *shared, '-p', f'components:=[{",".join(nodes)}]']
    else:
        command = [f'{nodes[0]}_node', *shared]
    module, *arguments = command
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'}
    return subprocess.Popen(
        [sys.executable, '-m', f'aitable_ros.nodes.{module}', *arguments],
        start_new_session=True,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def cpu_s(pid: int) -> float:
    """Return how much CPU time a process has used."""
    fields = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def run(
    options: argparse.Namespace, frames: list[Any], groups: tuple[tuple[str, ...], ...]
) -> dict[str, str]:
    processes = [start(options, nodes) for nodes in groups]
    try:
        return measure(options, frames, groups, [process.pid for process in processes])
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGINT)
        for process in processes:
            process.wait(20)


def measure(
    options: argparse.Namespace,
    frames: list[Any],
    groups: tuple[tuple[str, ...], ...],
    pids: list[int],
) -> dict[str, str]:
    """Publish, listen, and compute the figures."""
    import rclpy
    from rclpy.context import Context
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from aitable_msgs.msg import Fatigue, Posture
    from aitable_ros.ros_support.executor import make_executor
    from aitable_ros.ros_support.image_conversion import rgb_to_image

    context = Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node('benchmark_camera', context=context)
    executor = make_executor(context)
    executor.add_node(node)
    publisher = node.create_publisher(Image, 'image_raw', qos_profile_sensor_data)
    latencies_ms: dict[str, list[float]] = {'fatigue': [], 'posture': []}
    answered: set[tuple[int, int]] = set()
    measuring = threading.Event()
    ready: set[str] = set()

    def listen(topic: str, message_type: Any) -> None:
        def take(message: Any) -> None:
            ready.add(topic)
            stamp = message.header.stamp
            if measuring.is_set():
                age_s = time.time() - stamp.sec - stamp.nanosec * 1e-9
                latencies_ms[topic].append(age_s * 1e3)
                if topic == 'fatigue':
                    answered.add((stamp.sec, stamp.nanosec))

        node.create_subscription(message_type, topic, take, 100)

    listen('fatigue', Fatigue)
    listen('posture', Posture)
    awaited = {'fatigue', 'posture'} & {name for nodes in groups for name in nodes}
    spinning = threading.Event()
    spinning.set()

    def spin() -> None:
        while spinning.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    stamps = []
    try:
        index, due_s = 0, time.monotonic()
        deadline_s = due_s + START_TIMEOUT_S
        begin_s = end_s = None
        before: list[float] = []
        while end_s is None or time.monotonic() < end_s:
            if begin_s is None and ready >= awaited:
                begin_s = time.monotonic() + SETTLE_S
            if begin_s is None and time.monotonic() > deadline_s:
                raise SystemExit(f'the nodes did not start; heard from {sorted(ready)}')
            if begin_s is not None and end_s is None and time.monotonic() >= begin_s:
                begin_s = time.monotonic()
                end_s = begin_s + options.seconds
                before = [cpu_s(pid) for pid in pids]
                measuring.set()
            due_s += 1 / options.rate
            time.sleep(max(due_s - time.monotonic(), 0))
            header = Header(frame_id='camera', stamp=node.get_clock().now().to_msg())
            publisher.publish(rgb_to_image(frames[index % len(frames)], header, 'bgr8'))
            index += 1
            if measuring.is_set():
                stamps.append((header.stamp.sec, header.stamp.nanosec))
        assert begin_s is not None
        elapsed_s = time.monotonic() - begin_s
        used = [cpu_s(pid) - start_s for pid, start_s in zip(pids, before)]
        time.sleep(1.0)
    finally:
        spinning.clear()
        thread.join()
        node.destroy_node()
        context.try_shutdown()
    fatigue, posture = latencies_ms['fatigue'], latencies_ms['posture']

    def quantiles(values: list[float]) -> str:
        if not values:
            return '-'
        return ' / '.join(f'{value:.0f}' for value in np.percentile(values, (50, 90, 99)))

    return {
        'images [Hz]': f'{len(stamps) / elapsed_s:.1f}',
        'fatigue [Hz]': f'{len(answered & set(stamps)) / elapsed_s:.1f}',
        'images with fatigue [%]': f'{100 * len(answered & set(stamps)) / len(stamps):.1f}',
        'fatigue latency p50 / p90 / p99 [ms]': quantiles(fatigue),
        'posture [Hz]': f'{len(posture) / elapsed_s:.1f}',
        'posture latency p50 / p90 / p99 [ms]': quantiles(posture),
        'CPU of each process [% of a core]': ' + '.join(
            f'{100 * one / elapsed_s:.0f}' for one in used
        ),
    }


if __name__ == '__main__':
    sys.exit(main())
