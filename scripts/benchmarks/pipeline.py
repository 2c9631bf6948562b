#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the whole way from image to Fatigue message, through real topics.

This process publishes the built-in sample like a camera driver; the composed nodes run in another
one, with the parameters and transport settings that are shipped. Prints how many images reached
the nodes and the latency from the image's stamp to the arrival of its Fatigue message here.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

START_TIMEOUT_S = 60.0
SETTLE_S = 2.0
NODES = ('face_detection', 'emotion', 'fatigue')


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=30.0)
    parser.add_argument('--rate', type=float, default=30.0, help='images per second')
    parser.add_argument('--size', default='640x480', help='WIDTHxHEIGHT of the images')
    parser.add_argument('--separate', action='store_true', help='each node in its own process')
    parser.add_argument('--backend', default='auto')
    parser.add_argument('--json', action='store_true', help='print the figures as JSON')
    options = parser.parse_args()
    width, height = (int(x) for x in options.size.split('x'))

    from aitable_ros.ros_support.transport import configure_transport

    configure_transport()
    processes = start(options)
    try:
        figures = measure(options, width, height)
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGINT)
        for process in processes:
            process.wait(20)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures['cpu_s_of_the_nodes_with_startup'] = round(used.ru_utime + used.ru_stime, 2)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f'{name:36s} {value}')
    return 0


def start(options: argparse.Namespace) -> list[subprocess.Popen[bytes]]:
    """Start the nodes, composed or one by one."""
    shared = ['--ros-args', '--params-file', str(ROOT / 'config' / 'aitable.yaml')]
    for node in ('face_detection', 'fatigue'):
        shared += ['-p', f'{node}:backend:={options.backend}']
    if options.separate:
        commands = [[f'{node}_node', *shared] for node in NODES]
    else:
        commands = [['component_container', *shared, '-p', f'components:=[{",".join(NODES)}]']]
    environment = {**os.environ, 'PYTHONPATH': f'{ROOT}:{os.environ.get("PYTHONPATH", "")}'}
    return [
        subprocess.Popen(
            [sys.executable, '-m', f'aitable_ros.nodes.{module}', *arguments],
            start_new_session=True,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for module, *arguments in commands
    ]


def measure(options: argparse.Namespace, width: int, height: int) -> dict[str, object]:
    """Publish, listen, and compute the figures."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from aitable_msgs.msg import FaceArray, Fatigue
    from aitable_ros.ros_support.executor import make_executor
    from aitable_ros.ros_support.image_conversion import rgb_to_image
    from aitable_ros.sample import AstronautSequence

    sequence = AstronautSequence(width, height, options.rate)
    frames = [sequence.frame(i) for i in range(len(sequence))]
    rclpy.init(args=[])
    node = rclpy.create_node('benchmark_camera')
    executor = make_executor()
    executor.add_node(node)
    publisher = node.create_publisher(Image, 'image_raw', qos_profile_sensor_data)
    answered: set[tuple[int, int]] = set()
    latencies_ms: list[float] = []
    measuring = threading.Event()

    def on_faces(message: FaceArray) -> None:
        if measuring.is_set():
            answered.add((message.header.stamp.sec, message.header.stamp.nanosec))

    def on_fatigue(message: Fatigue) -> None:
        if measuring.is_set():
            now = time.time()
            stamp = message.header.stamp
            latencies_ms.append((now - stamp.sec - stamp.nanosec * 1e-9) * 1e3)

    node.create_subscription(FaceArray, 'faces', on_faces, 100)
    fatigue = node.create_subscription(Fatigue, 'fatigue', on_fatigue, 100)
    spinning = threading.Event()
    spinning.set()

    def spin() -> None:
        while spinning.is_set():
            executor.spin_once(timeout_sec=0.1)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        wanted = 1 if not options.separate else 2
        while publisher.get_subscription_count() < wanted or node.count_publishers('fatigue') == 0:
            if time.monotonic() > deadline:
                raise SystemExit('the nodes did not start')
            time.sleep(0.1)
        assert fatigue is not None
        stamps = []
        count = round((SETTLE_S + options.seconds) * options.rate)
        settled = round(SETTLE_S * options.rate)
        due_s = time.monotonic()
        for i in range(count):
            if i == settled:
                measuring.set()
            due_s += 1 / options.rate
            time.sleep(max(due_s - time.monotonic(), 0))
            header = Header(frame_id='camera', stamp=node.get_clock().now().to_msg())
            publisher.publish(rgb_to_image(frames[i % len(frames)], header, 'bgr8'))
            if i >= settled:
                stamps.append((header.stamp.sec, header.stamp.nanosec))
        time.sleep(1.0)
    finally:
        spinning.clear()
        thread.join()
        node.destroy_node()
        rclpy.shutdown()
    p50, p90, p99 = np.percentile(latencies_ms, (50, 90, 99)) if latencies_ms else (np.nan,) * 3
    return {
        'images': f'{options.size} bgr8 at {options.rate:g} Hz for {options.seconds:g} s',
        'nodes': 'separate processes' if options.separate else 'composed',
        'sent': len(stamps),
        'answered_by_faces': len(answered & set(stamps)),
        'answered_percent': round(100 * len(answered & set(stamps)) / len(stamps), 2),
        'fatigue_messages': len(latencies_ms),
        'latency_p50_ms': round(float(p50), 2),
        'latency_p90_ms': round(float(p90), 2),
        'latency_p99_ms': round(float(p99), 2),
    }


if __name__ == '__main__':
    sys.exit(main())
