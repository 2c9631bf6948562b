# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Send malformed messages to real nodes, good images between them, and see what that does.

Two containers, one for Image and one for CompressedImage, run all nodes that perceive, and the
overlay. Each malformed message is a good one of which up to three fields were replaced: Image or
CompressedImage, CameraInfo and FaceArray in turn, at 100 Hz, always the same ones. After nine of
them comes a good image, which has to be answered by all results.

    python scripts/studies/fuzz_messages.py [--count 10000]

Prints a line for each container, and exits with 1 when a good image was not answered, a node
ended or raised, or memory grew.
"""

from __future__ import annotations

import argparse
import copy
import math
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from skimage import data
from std_msgs.msg import Header

from aitable_msgs.msg import Attention, Emotion, FaceArray, Fatigue, Posture
from aitable_ros.ros_support.frames.image_conversion import rgb_to_compressed, rgb_to_image

RATE_HZ = 100.0
BETWEEN = 9
"""Malformed messages from one good image to the next."""

MAX_GROWTH_MIB = 64.0
"""Less than a hundred images, of hundreds."""

START_S = 60.0
ANSWER_S = 5.0
RESULTS = {
    'faces': FaceArray,
    'emotion': Emotion,
    'fatigue': Fatigue,
    'attention': Attention,
    'overlay': Image,
}
CONTAINER = 'aitable_ros.nodes.component_container'
NODES = ('face_detection', 'emotion', 'fatigue', 'posture', 'attention', 'overlay')

STRINGS = ('', ' ', 'x' * 100_000, '日本\u202e', '%s%n{}', '../..', 'f1', 'rgb8', 'mono16', 'png')
RANGES = {f'uint{bits}': (0, 2**bits - 1) for bits in (8, 16, 32, 64)} | {
    f'int{bits}': (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}
NUMBERS = (0, 1, -1, 2, 255, 65_535, 2**31 - 1, -(2**31), 2**32 - 1, 2**64 - 1)
FLOATS = (math.nan, math.inf, -math.inf, 0.0, -1.0, 1e30, 1e-30)


@dataclass(frozen=True)
class Outcome:
    """
    What a container did.

    :param malformed: messages that were sent to it.
    :param good: good images that were sent to it.
    :param unanswered: of these, those that a result is missing of.
    :param log_lines: of its log, from the first message on.
    :param tracebacks: in its log.
    :param growth_mib: of its resident memory, from half-time to the end [MiB].
    :param rate_hz: messages per second.
    :param status: its exit status after SIGTERM.
    """

    malformed: int
    good: int
    unanswered: int
    log_lines: int
    tracebacks: int
    growth_mib: float
    rate_hz: float
    status: int

    @property
    def is_well(self) -> bool:
        """Whether all was answered, and nothing ended, raised or grew."""
        ended = self.unanswered or self.tracebacks or self.status
        return not ended and self.growth_mib < MAX_GROWTH_MIB


def spoil(message: Any, chance: random.Random, fields: int = 3) -> Any:
    """
    Return a copy of a message with up to so many fields replaced; stamps stay.

    :param message: of any type.
    :param chance: chooses fields and values.
    """
    message = copy.deepcopy(message)
    for _ in range(chance.randint(1, fields)):
        holder = message
        while True:
            name = chance.choice([n for n in holder.get_fields_and_field_types() if n != 'stamp'])
            value = getattr(holder, name)
            several = isinstance(value, list) and value
            inner = chance.choice(value) if several and chance.random() < 0.8 else value
            if not hasattr(inner, 'get_fields_and_field_types'):
                break
            holder = inner
        setattr(holder, name, _other(value, holder.get_fields_and_field_types()[name], chance))
    return message


def _other(value: Any, kind: str, chance: random.Random) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return chance.choice(STRINGS)
    if isinstance(value, int):
        low, high = RANGES[kind]
        return chance.choice([number for number in NUMBERS if low <= number <= high])
    if isinstance(value, float):
        return chance.choice(FLOATS)
    values = value[:].copy() if isinstance(value, np.ndarray) else value[:]
    if not isinstance(value, np.ndarray):  # whose length is fixed
        how = chance.randrange(4)
        if how < 3:
            size = chance.randrange(len(values) + 1)
            return (values[:0], values[:size], values + values[: min(size, 100)])[how]
    if len(values) and isinstance(values[0], (int, float)):
        new: Sequence[float] = FLOATS if isinstance(values[0], float) else range(256)
        begin = chance.randrange(len(values))
        for index in range(begin, min(begin + chance.choice((1, 4, 1000)), len(values))):
            values[index] = chance.choice(new)
    return values


class Fuzzer:
    """
    A container with all nodes in a namespace of its own, and who sends to it and listens.

    :param node: publishes and listens.
    :param kind: type of the images.
    """

    def __init__(self, node: Node, kind: type) -> None:
        self._kind = kind
        self._is_raw = kind is Image
        self.name = 'raw' if self._is_raw else 'compressed'
        topic = 'image_raw' if self._is_raw else 'image_raw/compressed'
        self._heard: dict[str, tuple[int, int]] = {}
        self._faces: FaceArray | None = None
        # the middleware is to lose nothing that the nodes are to answer
        reliable = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
        override = f'qos_overrides./{self.name}/{topic}.subscription'
        parameters = {
            'components': f'[{", ".join(NODES)}]',
            'image_transport': self.name,
            'max_rate': '0.0',
            f'{override}.reliability': 'reliable',
            f'{override}.depth': '20',
        }
        self._publishers = {
            of: node.create_publisher(of, f'/{self.name}/{name}', reliable)
            for of, name in ((kind, topic), (CameraInfo, 'camera_info'), (FaceArray, 'faces'))
        }
        for name, of in RESULTS.items():
            node.create_subscription(of, f'/{self.name}/{name}', self._listener(name), reliable)
        node.create_subscription(Posture, f'/{self.name}/posture', lambda _: None, reliable)
        self._node = node
        self._log = tempfile.TemporaryFile('w+')  # noqa: SIM115 (as long as the process)
        arguments = [part for n, v in parameters.items() for part in ('-p', f'{n}:={v}')]
        arguments += ['-r', f'__ns:=/{self.name}']
        self._process = subprocess.Popen(
            [
                sys.executable,
                '-m',
                CONTAINER,
                '--ros-args',
                '-r',
                f'__ns:=/{self.name}',
                *arguments,
            ],
            stderr=self._log,
        )

    def run(self, count: int) -> Outcome:
        """Send so many malformed messages and end the container."""
        chance = random.Random(20261130)
        good: dict[type, Any] = {CameraInfo: _calibration()}
        for _ in range(int(START_S)):  # until all nodes are up, and warm
            if self._answers(image := self._image(), 1.0):
                break
        good[self._kind], good[FaceArray] = image, self._faces
        begin_lines, begin_mib, begin_s = len(self._lines()), math.nan, time.monotonic()
        unanswered = images = 0
        next_s = begin_s
        for index in range(count):
            kind = chance.choice(list(self._publishers))
            message = spoil(good[kind], chance)
            message.header.stamp = self._node.get_clock().now().to_msg()
            self._publishers[kind].publish(message)
            next_s = max(next_s + 1 / RATE_HZ, time.monotonic() - 1.0)
            time.sleep(max(0.0, next_s - time.monotonic()))
            if index % BETWEEN == BETWEEN - 1:
                self._publishers[CameraInfo].publish(good[CameraInfo])
                images += 1
                unanswered += not self._answers(self._image(), ANSWER_S)
            if index == count // 2:
                begin_mib = self._resident_mib()
        seconds, grown = time.monotonic() - begin_s, self._resident_mib() - begin_mib
        self._process.terminate()
        status = self._process.wait(30)
        lines = self._lines()
        told = len(lines) - begin_lines
        tracebacks = sum('Traceback' in line for line in lines)
        sent = count + images
        return Outcome(count, images, unanswered, told, tracebacks, grown, sent / seconds, status)

    def close(self) -> None:
        """End the process, whatever state it is in."""
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _listener(self, name: str) -> Any:
        def listen(message: Any) -> None:
            if isinstance(message, FaceArray):
                # what was malformed comes back to who sent it
                if len(message.faces) != 1 or message.backend == '' or not message.image_width:
                    return
                self._faces = message
            stamp = message.header.stamp
            self._heard[name] = (stamp.sec, stamp.nanosec)

        return listen

    def _image(self) -> Any:
        now = self._node.get_clock().now().to_msg()
        make = rgb_to_image if self._is_raw else rgb_to_compressed
        return make(data.astronaut()[:480, :, :3], Header(stamp=now, frame_id='camera'))

    def _answers(self, image: Any, patience_s: float) -> bool:
        """Tell whether all results of an image come."""
        self._publishers[self._kind].publish(image)
        wanted = (image.header.stamp.sec, image.header.stamp.nanosec)
        deadline = time.monotonic() + patience_s
        while any(self._heard.get(name) != wanted for name in RESULTS):
            if time.monotonic() > deadline or self._process.poll() is not None:
                return False
            time.sleep(0.001)
        return True

    def _lines(self) -> list[str]:
        self._log.seek(0)
        return self._log.read().splitlines()

    def _resident_mib(self) -> float:
        if self._process.poll() is not None:
            return math.nan
        status = Path(f'/proc/{self._process.pid}/statm').read_text(encoding='utf-8')
        return int(status.split()[1]) * 4096 / 2**20


def _calibration() -> CameraInfo:
    k = [600.0, 0.0, 256.0, 0.0, 600.0, 240.0, 0.0, 0.0, 1.0]
    return CameraInfo(
        width=512, height=480, distortion_model='plumb_bob', k=k, d=[0.0] * 5, p=[*k[:3], 0.0] * 3
    )


def fuzz(count: int, kinds: Sequence[type] = (Image, CompressedImage)) -> dict[str, Outcome]:
    """
    Fuzz a container for each kind of images, one after the other.

    :param count: malformed messages, of all together.
    :returns: what came of it, by the container's name.
    """
    rclpy.init()
    node = rclpy.create_node('fuzzer')
    spinning = threading.Thread(target=_spin, args=(node,), daemon=True)
    outcomes = {}
    try:
        fuzzers = []
        for kind in kinds:
            fuzzers.append(Fuzzer(node, kind))
            if not spinning.is_alive():
                spinning.start()
            try:
                outcomes[fuzzers[-1].name] = fuzzers[-1].run(count // len(kinds))
            finally:
                fuzzers[-1].close()
    finally:
        rclpy.shutdown()
        spinning.join()
    return outcomes


def _spin(node: Node) -> None:
    with suppress(ExternalShutdownException):
        rclpy.spin(node)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--count', type=int, default=10_000, metavar='N')
    outcomes = fuzz(parser.parse_args(arguments).count)
    for name, outcome in outcomes.items():
        print(name, outcome)
    return 0 if all(outcome.is_well for outcome in outcomes.values()) else 1


if __name__ == '__main__':
    sys.exit(main())
