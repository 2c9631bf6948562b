#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure what faces cost, one or many, and whether eight of them hold the frame rate.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/crowds.py [--against ../another_checkout]

Images of 640 x 480 show 1, 4 and 8 heads that move. First the CPU time of finding and measuring
them (FaceObserver, one thread) without ROS, with --against in turns with the code of another
checkout, the ratio being the median over the turns; with the node's budget and without. Then the
real face_detection node gets eight faces at 30 Hz for some seconds: images lost, latency from the
image's stamp to the arrival of the FaceArray, and how often each face was measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from measured_nodes import ROOT, Nodes, Side, Workload, take_cpus
from sample_camera import back_and_forth

WIDTH, HEIGHT, RATE_HZ = 640, 480, 30.0
FRAMES = 60
COUNTS = (1, 4, 8)
BUDGET_MS = 10.0


def crowd(count: int) -> list[npt.NDArray[np.uint8]]:
    """Draw the frames: the astronaut's head so many times, each on a way of its own."""
    import cv2
    from skimage import data

    picture = data.astronaut()
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(mask, (225, 105), (78, 105), 0.0, 0.0, 360.0, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), 4.0)
    columns, rows = min(count, 4), -(-count // 4)
    scale = {1: 1.6, 4: 0.95, 8: 0.95}[count]
    frames = []
    for i in range(FRAMES):
        frame = np.full((HEIGHT, WIDTH, 3), 110, np.float32)
        for k in range(count):
            x = (k % columns + 0.5) * WIDTH / columns + 8 * np.sin(i / 9 + k)
            y = (k // columns + 0.5) * HEIGHT / rows + 8 * np.cos(i / 7 + 2 * k)
            matrix = cv2.getRotationMatrix2D((225.0, 110.0), 8 * np.sin(i / 11 + k), scale)
            matrix[:, 2] += (x - 225.0, y - 110.0)
            share = cv2.warpAffine(mask, matrix, (WIDTH, HEIGHT))[..., None]
            frame += share * (cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT)) - frame)
        frames.append(frame.astype(np.uint8))
    return [frames[i] for i in back_and_forth(FRAMES)]


def work(root: Path, count: int, budget_ms: float) -> None:
    """Handle the frames once more for every line on stdin; answer with CPU ms per image."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the libraries print must not get between the answers
    sys.path.insert(0, str(root))
    import logging

    import cv2

    from aitable_ros.model_zoo.loading import loader
    from aitable_ros.perception.faces import observer as faces
    from aitable_ros.perception.faces import pipeline

    cv2.setNumThreads(1)
    values = {'backend': 'auto', 'threads': 1, 'models_file': ''}
    values['engines_dir'] = str(ROOT / 'engines')
    budget = {'budget_ms': budget_ms} if budget_ms else {}
    settings = pipeline.PipelineSettings(max_faces=16, **budget)
    observer = faces.FaceObserver.load(
        loader(values, logging.getLogger()), faces.FaceSettings(pipeline=settings)
    )
    frames, images = crowd(count), 0

    def turn() -> float:
        nonlocal images
        spent_s, measured = 0.0, 0
        for frame in frames:
            begun_s = time.process_time()
            seen = observer.observe(frame, images / RATE_HZ)
            spent_s += time.process_time() - begun_s
            assert seen is not None
            measured += len(seen.faces) + len(getattr(seen, 'waiting', ()))
            images += 1
        if measured < 0.97 * count * len(frames):
            print(f'only {measured / len(frames):.2f} faces of {count}', file=sys.stderr)
        return 1e3 * spent_s / len(frames)

    turn()
    for _ in sys.stdin:
        print(turn(), file=answers, flush=True)


class Worker:
    """A process that handles frames when it is told to."""

    def __init__(self, root: Path, count: int, budget_ms: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, '--work', str(root), str(count), str(budget_ms)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=Side('', root=root).environment(),
        )

    def turn(self) -> float:
        """Let it handle all frames once; CPU time per image [ms]."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write('\n')
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def compare(against: Path | None, rounds: int) -> None:
    """Print what an image costs."""
    sides = {'all measured': (ROOT, 0.0), f'budget {BUDGET_MS:g} ms': (ROOT, BUDGET_MS)}
    if against is not None:
        sides = {'before': (against, 0.0), **sides}
    first = next(iter(sides))
    print('| faces | side | CPU ms an image | a face | ratio |\n|---|---|---|---|---|')
    for count in COUNTS:
        workers = {name: Worker(root, count, budget) for name, (root, budget) in sides.items()}
        turns: dict[str, list[float]] = {name: [] for name in sides}
        for i in range(rounds):
            for name in list(sides) if i % 2 else list(sides)[::-1]:
                turns[name].append(workers[name].turn())
        for name, worker in workers.items():
            worker.close()
            ms = statistics.median(turns[name])
            ratio = statistics.median(a / b for a, b in zip(turns[name], turns[first]))
            print(f'| {count} | {name} | {ms:.2f} | {ms / count:.2f} | {ratio:.3f} |', flush=True)


def live(seconds: float, budget_ms: float) -> None:
    """Print how the node holds eight faces at 30 Hz."""
    import rclpy
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from aitable_msgs.msg import FaceArray
    from aitable_ros.ros_support.frames.image_conversion import rgb_to_image

    count = COUNTS[-1]
    header = Header(frame_id='camera')
    images = [rgb_to_image(frame, header, 'bgr8') for frame in crowd(count)]
    rclpy.init(args=[])
    node = rclpy.create_node('crowd_camera')
    publisher = node.create_publisher(Image, '/crowd/image_raw', 5)
    answers: list[tuple[int, FaceArray]] = []
    node.create_subscription(
        FaceArray, '/crowd/faces', lambda faces: answers.append((time.time_ns(), faces)), 100
    )
    executor = rclpy.executors.SingleThreadedExecutor()
    executor.add_node(node)

    def show(index: int) -> int:
        stamp_ns = time.time_ns()
        image = images[index % len(images)]
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        publisher.publish(image)
        return stamp_ns

    with tempfile.TemporaryDirectory() as folder:
        parameters = Path(folder) / 'parameters.yaml'
        values: dict[str, Any] = {'max_faces': 16, 'budget_ms': budget_ms}
        values['engines_dir'] = str(ROOT / 'engines')
        # so that what the network between the processes loses is not counted as the node's
        qos = 'qos_overrides./crowd/image_raw.subscription'
        values |= {f'{qos}.reliability': 'reliable', f'{qos}.depth': 5}
        tree = {'/**/face_detection': {'ros__parameters': values}}
        parameters.write_text(json.dumps(tree), encoding='utf-8')
        workload = Workload(('face_detection',), ('faces',), 1)
        log = (Path(folder) / 'log').open('w')
        with Nodes(workload, Side('crowd'), log, (parameters,)):
            end_s = time.monotonic() + 60.0
            while not answers and time.monotonic() < end_s:
                show(0)
                executor.spin_once(timeout_sec=0.3)
            sent, due_s = [], time.monotonic()
            for index in range(round((2.0 + seconds) * RATE_HZ)):
                sent.append(show(index))
                due_s += 1 / RATE_HZ
                while (left_s := due_s - time.monotonic()) > 0:
                    executor.spin_once(timeout_sec=left_s)
            end_s = time.monotonic() + 0.5
            while time.monotonic() < end_s:
                executor.spin_once(timeout_sec=0.05)
    rclpy.shutdown()
    wanted = set(sent[round(2.0 * RATE_HZ) :])
    ages, measured, there = {}, Counter[str](), Counter[str]()
    for arrived_ns, faces in answers:
        stamp_ns = faces.header.stamp.sec * 10**9 + faces.header.stamp.nanosec
        if stamp_ns in wanted:
            ages[stamp_ns] = 1e-6 * (arrived_ns - stamp_ns)
            measured.update(face.face_id for face in faces.faces)
            there.update(face.face_id for face in (*faces.faces, *faces.waiting))
    p50, p99 = np.percentile(list(ages.values()), (50, 99))
    rates = ', '.join(f'{measured[face_id] / seconds:.1f}' for face_id in sorted(there))
    print(
        f'budget {budget_ms:g} ms: {len(wanted)} images of {count} faces sent at {RATE_HZ:g} Hz,'
        f' {len(wanted) - len(ages)} lost; latency p50 {p50:.1f} ms, p99 {p99:.1f} ms;'
        f' {sum(there.values()) / len(ages):.2f} faces an image;'
        f' each measured at {rates} Hz',
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--against', type=Path, help='another checkout')
    parser.add_argument('--rounds', type=int, default=10)
    parser.add_argument('--seconds', type=float, default=20.0, help='with the node')
    parser.add_argument('--work', nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.work:
        root, count, budget_ms = options.work
        work(Path(root), int(count), float(budget_ms))
        return 0
    sys.path.insert(0, str(ROOT))
    take_cpus(2)
    compare(options.against and options.against.resolve(), options.rounds)
    for budget_ms in (BUDGET_MS, 0.0):
        live(options.seconds, budget_ms)
    return 0


if __name__ == '__main__':
    sys.exit(main())
