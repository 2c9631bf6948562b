# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
A process that publishes the built-in sample like a camera driver and receives the results.

The benchmarks start it through :class:`Camera`; what it takes is told apart from the nodes.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from measured_nodes import ROOT, Nodes, cpu_s

START_TIMEOUT_S = 60.0
GRACE_S = 0.3
SAMPLE_S = 4.0


AT_A_RATE = ('emotion',)
"""Results that answer some images only: networks that run at a rate of their own."""


@dataclass(frozen=True)
class Round:
    """
    What one round measured.

    :param sent: images published.
    :param answered: images that every result topic answered, but for :data:`AT_A_RATE`.
    :param lost: images not answered, by result topic.
    :param cpu_s: user and system time of the nodes [s].
    :param camera_cpu_s: the same of the process that publishes and receives the results [s].
    :param latency_ms: of each result topic, in order of the images [ms].
    """

    sent: int
    answered: int
    lost: Mapping[str, int]
    cpu_s: float
    camera_cpu_s: float
    latency_ms: Mapping[str, Sequence[float]]

    @property
    def cpu_ms(self) -> float:
        """CPU time of the nodes for each answered image [ms]; NaN when there was none."""
        return 1e3 * self.cpu_s / self.answered if self.answered else float('nan')


class Camera:
    """
    The process; a context manager that ends it.

    :param size: WIDTHxHEIGHT of its images.
    :param rate_hz: images per second.
    """

    def __init__(self, size: str, rate_hz: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, size, str(rate_hz)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, nodes: Nodes) -> None:
        """
        Wait until the nodes answer images.

        :raises RuntimeError: when they do not, or one of them ended.
        """
        subscribers = 1 if nodes.side.composed else nodes.workload.image_nodes
        self._ask(nodes, image_subscribers=subscribers)

    def measure(self, nodes: Nodes, settle_s: float, seconds: float) -> Round:
        """
        Run one round.

        :param settle_s: how long to publish before measuring [s].
        :param seconds: how long to measure [s].
        :raises RuntimeError: when one of the nodes ended.
        """
        return Round(**self._ask(nodes, settle_s=settle_s, seconds=seconds))

    def _ask(self, nodes: Nodes, **order: Any) -> dict[str, Any]:
        order |= {'namespace': nodes.side.name, 'pids': nodes.pids}
        order |= {'results': nodes.workload.results, 'watched': nodes.workload.watched}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'the camera ended with status {self._process.wait()}')
        answer: dict[str, Any] = json.loads(line)
        if 'error' in answer:
            raise RuntimeError(f'{nodes.side.name}: {answer["error"]}')
        return answer

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


class Link:
    """
    The camera's topics in one namespace: images go out, results come in.

    :param node: of the camera.
    :param namespace: without slashes.
    """

    def __init__(self, node: Any, namespace: str) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image

        from aitable_msgs.msg import Emotion, FaceArray, Fatigue

        self._node = node
        self._namespace = namespace
        self._overlay: Any = None
        self.publisher = node.create_publisher(
            Image, f'/{namespace}/image_raw', qos_profile_sensor_data
        )
        self.age_ms: dict[str, dict[tuple[int, int], float]] = {'overlay': {}}
        for message_type in (FaceArray, Emotion, Fatigue):
            topic = 'faces' if message_type is FaceArray else message_type.__name__.lower()
            self.age_ms[topic] = {}
            self._subscribe(message_type, topic)

    def watch(self, wanted: bool) -> None:
        """Subscribe to the overlay or not, which counts who looks; in the executor's thread."""
        from sensor_msgs.msg import Image

        if wanted and self._overlay is None:
            self._overlay = self._subscribe(Image, 'overlay')
        elif not wanted and self._overlay is not None:
            self._node.destroy_subscription(self._overlay)
            self._overlay = None

    def clear(self) -> None:
        """Forget the answers so far."""
        for topic in self.age_ms:
            self.age_ms[topic] = {}

    def publish(self, image: Any) -> tuple[int, int]:
        """Send an image with the present time as its stamp, which is returned."""
        sec, nanosec = divmod(time.time_ns(), 10**9)
        image.header.stamp.sec, image.header.stamp.nanosec = sec, nanosec
        self.publisher.publish(image)
        return sec, nanosec

    def _subscribe(self, message_type: Any, topic: str) -> Any:
        def note(serialized: bytes) -> None:
            now_ns = time.time_ns()
            sec, nanosec = header_stamp(serialized)
            age_ms = (now_ns - sec * 10**9 - nanosec) * 1e-6
            self.age_ms[topic].setdefault((sec, nanosec), age_ms)

        return self._node.create_subscription(
            message_type, f'/{self._namespace}/{topic}', note, 100, raw=True
        )


def run_camera(size: str, rate_hz: float) -> None:
    """Be the camera: do what each line of standard input says, until it closes."""
    sys.path.insert(0, str(ROOT))
    import rclpy
    from std_msgs.msg import Header

    from aitable_ros.ros_support.frames.image_conversion import rgb_to_image
    from aitable_ros.ros_support.process.executor import make_executor
    from aitable_ros.simulation import AstronautSequence

    width, height = (int(number) for number in size.split('x'))
    sequence = AstronautSequence(width, height, rate_hz)
    count = min(len(sequence), round(SAMPLE_S * rate_hz))
    header = Header(frame_id='camera')
    images = [rgb_to_image(sequence.frame(i), header, 'bgr8') for i in range(count)]
    images = [images[i] for i in back_and_forth(count)]

    rclpy.init(args=[])
    node = rclpy.create_node('benchmark_camera')
    executor = make_executor()
    executor.add_node(node)
    links: dict[str, Link] = {}
    ending = threading.Event()

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    def link_of(namespace: str) -> Link:
        """Return the topics in a namespace, made in the executor's thread."""
        if namespace not in links:

            def make() -> None:
                links[namespace] = Link(node, namespace)

            executor.create_task(make)
            while namespace not in links:
                time.sleep(0.01)
        return links[namespace]

    def wait_until_answered(link: Link, order: Mapping[str, Any]) -> dict[str, Any]:
        """Publish slowly until each of the topics answers."""
        link.clear()
        executor.create_task(link.watch, order['watched'])
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            subscribers = link.publisher.get_subscription_count()
            if subscribers == order['image_subscribers']:
                link.publish(images[0])
            time.sleep(0.02)
            missing = [topic for topic in order['results'] if not link.age_ms[topic]]
            if subscribers == order['image_subscribers'] and not missing:
                return {}
            cpu_s(order['pids'])  # are they alive?
            if time.monotonic() > deadline_s:
                raise RuntimeError(
                    f'image_raw has {subscribers} subscribers of {order["image_subscribers"]}, '
                    f'no answer on {", ".join(missing) or "none"}'
                )

    def run_round(link: Link, order: Mapping[str, Any]) -> dict[str, Any]:
        link.clear()
        settling = round(order['settle_s'] * rate_hz)
        total = settling + round(order['seconds'] * rate_hz)
        sent: list[tuple[int, int]] = []
        own = [os.getpid()]
        used_s = camera_used_s = 0.0
        due_s = time.monotonic()
        for index in range(total + 1):
            time.sleep(max(0.0, due_s - time.monotonic()))
            due_s += 1 / rate_hz
            if index == settling:
                used_s, camera_used_s = cpu_s(order['pids']), cpu_s(own)
            if index < total:
                stamp = link.publish(images[index % len(images)])
                if index >= settling:
                    sent.append(stamp)
        used_s = cpu_s(order['pids']) - used_s
        camera_used_s = cpu_s(own) - camera_used_s
        time.sleep(GRACE_S)
        ages = {topic: link.age_ms[topic] for topic in order['results']}
        always = [ages[topic] for topic in ages if topic not in AT_A_RATE]
        answered = [all(stamp in answers for answers in always) for stamp in sent]
        return asdict(
            Round(
                sent=len(sent),
                answered=sum(answered),
                lost={topic: len(set(sent) - set(ages[topic])) for topic in ages},
                cpu_s=used_s,
                camera_cpu_s=camera_used_s,
                latency_ms={
                    topic: [ages[topic][stamp] for stamp in sent if stamp in ages[topic]]
                    for topic in ages
                },
            )
        )

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        for line in sys.stdin:
            order = json.loads(line)
            step = run_round if 'seconds' in order else wait_until_answered
            try:
                answer = step(link_of(order['namespace']), order)
            except (OSError, RuntimeError) as error:
                answer = {'error': str(error)}
            print(json.dumps(answer), flush=True)
    finally:
        ending.set()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()


def header_stamp(serialized: bytes) -> tuple[int, int]:
    """
    Read the stamp of a serialised message that begins with a header.

    :param serialized: in CDR, little or big endian: four bytes of encapsulation, the second of
        which tells which, and then the stamp.
    :returns: seconds and nanoseconds.
    """
    order = '<' if serialized[1] & 1 else '>'
    sec, nanosec = struct.unpack_from(order + 'iI', serialized, 4)
    return sec, nanosec


def back_and_forth(length: int) -> list[int]:
    """Give the indices of a loop through a sequence that never jumps: 0 1 2 3 2 1."""
    return [*range(length), *range(length - 2, 0, -1)]


if __name__ == '__main__':
    run_camera(sys.argv[1], float(sys.argv[2]))
