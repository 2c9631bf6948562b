# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure how many camera images reach another process, and how late, under Fast DDS settings.

    source scripts/ros_env.sh
    python scripts/benchmarks/transport.py                       # every setting at both ends
    python scripts/benchmarks/transport.py --mixed               # also at one end only
    python scripts/benchmarks/transport.py --size 1280x720 --seconds 10

A publisher process sends bgr8 images, best effort, keep last 1, at a fixed rate; a subscriber
process takes them as the nodes do. Arrived is the share of the images sent that came out of the
subscription; latency runs from just before publish() to the start of the callback, on the
monotonic clock that both processes share.
"""

from __future__ import annotations

import argparse
import array
import atexit
import json
import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from aitable_ros.ros_support.process.transport import PROFILE_VARIABLES, profile_file

if TYPE_CHECKING:
    from rclpy.qos import QoSProfile

TOPIC = 'benchmark/image_raw'
DISCOVERY_TIMEOUT_S = 15.0
SETTLE_S = 1.0

SETTINGS: dict[str, dict[str, str]] = {
    'default': {},
    'profile': {name: str(profile_file()) for name in PROFILE_VARIABLES},
    'large_data': {'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'},
    'shm_2MB': {'FASTDDS_BUILTIN_TRANSPORTS': 'SHM?max_msg_size=2MB&sockets_size=8MB'},
    'udp_4MB': {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4?sockets_size=4MB'},
}
SETTING_VARIABLES = (
    *PROFILE_VARIABLES,
    'FASTDDS_BUILTIN_TRANSPORTS',
    'RMW_FASTRTPS_USE_QOS_FROM_XML',
    'RMW_FASTRTPS_PUBLICATION_MODE',
)


@dataclass(frozen=True)
class Result:
    """
    What one run measured.

    :param sent: images published.
    :param arrived: images that the subscription delivered.
    :param latency_s: (arrived,) latencies in seconds, in order of arrival.
    :param publish_s: (sent,) time that each publish() took, in seconds.
    """

    sent: int
    arrived: int
    latency_s: np.ndarray
    publish_s: np.ndarray

    def row(self) -> str:
        """Return the table row: arrived, share, latency and publish() percentiles in ms."""
        if not self.sent:
            return 'the two ends did not discover each other'
        share = 100.0 * self.arrived / self.sent
        cells = f'{self.arrived:5d} of {self.sent:5d}  {share:5.1f} %'
        if self.arrived:
            p50, p99 = np.percentile(self.latency_s, (50, 99)) * 1e3
            cells += f'   {p50:6.1f} / {p99:6.1f}'
        else:
            cells += '        - /      -'
        return cells + f'   {np.percentile(self.publish_s, 50) * 1e3:6.1f}'


def image_qos(depth: int) -> QoSProfile:
    """Return best effort, keep last ``depth``: the QoS of camera images in the nodes."""
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(
        depth=depth,
        history=HistoryPolicy.KEEP_LAST,
        reliability=ReliabilityPolicy.BEST_EFFORT,
    )


def publish(width: int, height: int, rate_hz: float, seconds: float) -> dict[str, object]:
    """Send images once a subscriber is there and return how long each call took."""
    import rclpy
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('benchmark_publisher')
    atexit.register(rclpy.try_shutdown)
    publisher = node.create_publisher(Image, TOPIC, image_qos(1))
    message = Image(height=height, width=width, encoding='bgr8', step=3 * width)
    message.data = array.array('B', random.Random(0).randbytes(3 * width * height))
    give_up = time.monotonic() + DISCOVERY_TIMEOUT_S
    while publisher.get_subscription_count() == 0:
        if time.monotonic() > give_up:
            return {'publish_s': []}
        time.sleep(0.05)
    time.sleep(SETTLE_S)
    publish_s = []
    start = time.monotonic()
    for index in range(round(seconds * rate_hz)):
        time.sleep(max(0.0, start + index / rate_hz - time.monotonic()))
        now_ns = time.monotonic_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
        message.header.frame_id = str(index)
        publisher.publish(message)
        publish_s.append((time.monotonic_ns() - now_ns) / 1e9)
    time.sleep(SETTLE_S)
    return {'publish_s': publish_s}


def subscribe(depth: int) -> dict[str, object]:
    """Take images until standard input closes; return the latencies."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor
    from sensor_msgs.msg import Image

    rclpy.init()
    node = rclpy.create_node('benchmark_subscriber')
    atexit.register(rclpy.try_shutdown)
    latency_s: list[float] = []

    def callback(message: Image) -> None:
        stamp = message.header.stamp
        latency_s.append((time.monotonic_ns() - (stamp.sec * 10**9 + stamp.nanosec)) / 1e9)

    node.create_subscription(Image, TOPIC, callback, image_qos(depth))
    finished = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        finished.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while not finished.is_set():
        executor.spin_once(timeout_sec=0.1)
    return {'latency_s': latency_s}


def run(
    arguments: argparse.Namespace, publisher: dict[str, str], subscriber: dict[str, str]
) -> Result:
    """
    Run one publisher and one subscriber process.

    :param publisher: environment variables of the sending process.
    :param subscriber: environment variables of the receiving process.
    :raises RuntimeError: when one of them fails.
    """
    base = {name: value for name, value in os.environ.items() if name not in SETTING_VARIABLES}
    base.setdefault('ROS_DOMAIN_ID', str(random.randint(1, 100)))
    command = [sys.executable, __file__, '--size', arguments.size]
    command += ['--seconds', str(arguments.seconds), '--rate', str(arguments.rate)]
    command += ['--depth', str(arguments.depth), '--role']
    receiver = subprocess.Popen(
        [*command, 'subscribe'],
        env=base | subscriber,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        sender = subprocess.run(
            [*command, 'publish'],
            env=base | publisher,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        received, _ = receiver.communicate(timeout=30.0)
    finally:
        if receiver.poll() is None:
            receiver.kill()
    if sender.returncode or receiver.returncode:
        raise RuntimeError(f'exit status {sender.returncode} and {receiver.returncode}')
    publish_s = np.array(json.loads(sender.stdout.splitlines()[-1])['publish_s'])
    latency_s = np.array(json.loads(received.splitlines()[-1])['latency_s'])
    return Result(len(publish_s), len(latency_s), latency_s, publish_s)


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT``."""
    width, _, height = text.partition('x')
    return int(width), int(height)


def main() -> int:
    """Run the benchmark, or one end of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', default='640x480', help='WIDTHxHEIGHT (default 640x480)')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default 30)')
    parser.add_argument('--seconds', type=float, default=10.0, help='per setting (default 10)')
    parser.add_argument(
        '--settings',
        nargs='+',
        metavar='NAME',
        default=list(SETTINGS),
        help=f'which settings to try: {", ".join(SETTINGS)} (default: all), or files of Fast DDS '
        'profiles',
    )
    parser.add_argument(
        '--depth',
        type=int,
        default=1,
        help="the subscription's queue; more than 1 (default) tells images lost on the way from "
        'images that a newer one overtook on a busy machine',
    )
    parser.add_argument(
        '--mixed', action='store_true', help='also try each setting against the default'
    )
    parser.add_argument('--role', choices=('publish', 'subscribe'), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    width, height = parse_size(arguments.size)
    settings = dict(SETTINGS)
    for name in arguments.settings:
        if name not in settings:
            if not Path(name).is_file():
                parser.error(f'{name} is neither a setting nor a file')
            settings[name] = {
                variable: str(Path(name).resolve()) for variable in PROFILE_VARIABLES
            }
    if arguments.role == 'publish':
        print(json.dumps(publish(width, height, arguments.rate, arguments.seconds)), flush=True)
        return 0
    if arguments.role == 'subscribe':
        print(json.dumps(subscribe(arguments.depth)), flush=True)
        return 0

    pairs = [(name, name) for name in arguments.settings]
    if arguments.mixed:
        others = [name for name in arguments.settings if name != 'default']
        pairs += [('default', name) for name in others] + [(name, 'default') for name in others]
    rmem = Path('/proc/sys/net/core/rmem_max').read_text(encoding='ascii').strip()
    print(f'{arguments.size} bgr8 at {arguments.rate:g} Hz, net.core.rmem_max = {rmem}')
    print(
        f'{"publisher":12}{"subscriber":12}{"arrived":>14}'
        f'{"latency p50 / p99 [ms]":>35}   publish [ms]'
    )
    for sender, receiver in tqdm(pairs, leave=False, disable=None):
        result = run(arguments, settings[sender], settings[receiver])
        tqdm.write(f'{Path(sender).stem:12}{Path(receiver).stem:12}{result.row()}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
