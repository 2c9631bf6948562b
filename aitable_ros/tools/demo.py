# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Show the whole system at work: ``python -m aitable_ros.tools.demo``.

One process publishes images, another one runs the composed nodes, and this one listens to their
topics as any other ROS program would.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aitable_ros.nodes.registry import BY_DEFAULT
from aitable_ros.paths import cache_dir, engines_dir, share_dir
from aitable_ros.visualization.overlay.privacy_modes import PRIVACY

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, eq=False)
class _Row:
    """A message of fatigue, and what was known then of the same face."""

    fatigue: Any
    face: Any
    emotion: Any
    latency_ms: float


@dataclass
class Recording:
    """What was heard during the run."""

    rows: list[_Row] = field(default_factory=list)
    images: int = 0
    images_with_face: int = 0
    ids: set[str] = field(default_factory=set)
    expressions: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    closures: int = 0
    backend: str = ''
    picture: Any = None
    first_s: float = float('nan')


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the demo.

    :param argv: command line without the program's name.
    :returns: exit status: 0 when faces were found, 1 otherwise.
    """
    options = _parse(argv)
    try:
        return _run(options)
    except DemoError as error:
        print(f'demo: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='demo',
        description='Runs aitable on a source of images and prints what it sees, once a second. '
        'At the end: a summary, an overlay picture and a CSV file.',
    )
    parser.add_argument(
        '--source',
        default='sample',
        help="'sample' (built in, default), a camera index, a video file, a picture or a folder",
    )
    parser.add_argument(
        '--seconds',
        type=_positive,
        help='how long to watch (default: 20; with --web an hour, or until Ctrl-C)',
    )
    parser.add_argument(
        '--web', action='store_true', help='serve the page of web_monitor, too (needs aiohttp)'
    )
    parser.add_argument(
        '--backend',
        default='auto',
        help='what runs the networks (default: auto, the first of config/models.yaml that loads)',
    )
    parser.add_argument(
        '--privacy',
        choices=PRIVACY,
        help='how much the picture at the end and the page show of people (default: all, and on'
        ' the page landmarks only)',
    )
    parser.add_argument('--out', type=Path, help='folder for the picture and the CSV file')
    return parser.parse_args(argv)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'{text} is not a positive number of seconds')
    return value


def _run(options: argparse.Namespace) -> int:
    from aitable_ros.inference.selection import AUTO, BACKENDS
    from aitable_ros.model_zoo.store import fetch_if_possible
    from aitable_ros.perception.faces.observer import DETECTORS, NETWORKS
    from aitable_ros.ros_support.process.transport import configure_transport
    from aitable_ros.web.charts import fetch_charts_if_possible

    if options.backend not in (AUTO, *BACKENDS):
        raise DemoError(f'--backend {options.backend}: not one of {", ".join((AUTO, *BACKENDS))}')
    folder = options.out or cache_dir() / 'demo' / time.strftime('%Y-%m-%d_%H-%M-%S')
    folder.mkdir(parents=True, exist_ok=True)
    if failed := fetch_if_possible((*NETWORKS, *DETECTORS[AUTO]), engines_dir()):
        print(f'demo: {failed}', file=sys.stderr)
    configure_transport()
    children = [
        _Child(
            'nodes',
            'component_container',
            folder,
            '--params-file',
            str(share_dir() / 'config' / 'aitable.yaml'),
            '-p',
            f'components:=[{",".join(BY_DEFAULT)}]',
            '-p',
            f'face_detection:backend:={options.backend}',
            *(['-p', f'overlay:privacy:={options.privacy}'] if options.privacy else []),
        ),
        _Child('source', 'image_source_node', folder, '-p', f"source:='{options.source}'"),
    ]
    if options.web:
        if problem := fetch_charts_if_possible():
            print(f'demo: the page shows numbers instead of curves: {problem}', file=sys.stderr)
        privacy = ['-p', f'privacy:={options.privacy}'] if options.privacy else []
        children.append(_Child('web', 'web_monitor_node', folder, *privacy))
    try:
        recording = _listen(options.seconds or (3600.0 if options.web else 20.0), children)
    finally:
        for child in children:
            child.stop()
    return _report(recording, folder)


class _Child:
    """A process of the demo, with its output in a file."""

    def __init__(self, name: str, module: str, folder: Path, *ros_arguments: str) -> None:
        self.log = folder / f'{name}.log'
        with self.log.open('wb') as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    '-m',
                    f'aitable_ros.nodes.{module}',
                    '--ros-args',
                    *ros_arguments,
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def check(self) -> None:
        """
        Raise when the process has ended.

        :raises DemoError: with the end of its log.
        """
        status = self._process.poll()
        if status is not None:
            tail = ''.join(self.log.read_text(errors='replace').splitlines(keepends=True)[-8:])
            raise DemoError(f'a process ended with status {status}:\n{tail}log: {self.log}')

    def stop(self) -> None:
        """End the process: as Ctrl-C would, and by force where that does not help."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def _listen(seconds: float, children: Sequence[_Child]) -> Recording:
    import rclpy

    from aitable_ros.ros_support.process.executor import init

    init([])
    monitor = _Monitor()
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while monitor.recording.images == 0:
            for child in children:
                child.check()
            if monitor.error:
                raise DemoError(monitor.error)
            if time.monotonic() > deadline:
                raise DemoError(
                    f'no results after {START_TIMEOUT_S:.0f} s: {monitor.trouble}\n'
                    f'logs: {", ".join(str(child.log) for child in children)}'
                )
            monitor.spin(0.1)
        print(f'{monitor.recording.backend}; one line a second:')
        print(HEADER)
        end = time.monotonic() + seconds
        last = math.ceil(seconds)
        for second in range(1, 1 + last):
            if second == max(last - 1, 1):
                monitor.watch_overlay()
            line_at = min(end, end - seconds + second)
            while time.monotonic() < line_at:
                monitor.spin(line_at - time.monotonic())
            print(monitor.line(second), flush=True)
            for child in children:
                child.check()
        return monitor.recording
    finally:
        monitor.destroy()
        rclpy.try_shutdown()


HEADER = (
    '   s  faces  expression   valence arousal   EAR l/r      PERCLOS            '
    'in Hz  out Hz  latency'
)


class _Monitor:
    """Listens to the topics of the nodes."""

    def __init__(self) -> None:
        import rclpy
        from diagnostic_msgs.msg import DiagnosticArray
        from rclpy.executors import SingleThreadedExecutor

        from aitable_msgs.msg import Emotion, FaceArray, Fatigue

        self.recording = Recording()
        self.trouble = 'nothing was heard from the nodes'
        self.error = ''
        self._node = rclpy.create_node('aitable_demo')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        subscribe: Callable[..., Any] = self._node.create_subscription
        subscribe(FaceArray, 'faces', self._on_faces, 10)
        subscribe(Emotion, 'emotion', self._on_emotion, 10)
        subscribe(Fatigue, 'fatigue', self._on_fatigue, 10)
        subscribe(DiagnosticArray, '/diagnostics', self._on_diagnostics, 10)
        self._faces = 0
        self._by_id: dict[str, Any] = {}
        self._emotions: dict[str, Any] = {}
        self._fatigue: Any = None
        self._was_closed: dict[str, bool] = {}
        self._recent: deque[tuple[float, float]] = deque()
        self._input_hz = float('nan')
        self._page = ''

    def spin(self, timeout_s: float) -> None:
        """
        Handle what arrives within a time [s].

        :raises KeyboardInterrupt: rclpy was shut down by a signal.
        """
        import rclpy

        from aitable_ros.ros_support.process.executor import quiet_shutdown

        end = time.monotonic() + timeout_s
        while (left_s := end - time.monotonic()) > 0:
            with quiet_shutdown():
                self._executor.spin_once(timeout_sec=left_s)
            if not rclpy.ok():
                raise KeyboardInterrupt

    def watch_overlay(self) -> None:
        """Receive the overlay from now on, which is only then drawn."""
        from sensor_msgs.msg import Image

        self._node.create_subscription(Image, 'overlay', self._on_overlay, 1)

    def destroy(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def line(self, second: int) -> str:
        """Describe the last second."""
        now = time.monotonic()
        while self._recent and now - self._recent[0][0] > 1.0:
            self._recent.popleft()
        latencies = [latency for _, latency in self._recent]
        latency = f'{statistics.median(latencies):5.1f} ms' if latencies else '    -'
        fatigue = self._fatigue
        eyes = perclos = '-'
        emotion = None
        if fatigue is not None and latencies:
            eyes = f'{fatigue.left_ear:.2f}/{fatigue.right_ear:.2f}'
            eyes += ' shut' if fatigue.eyes_closed else '     '
            perclos = (
                f'{fatigue.perclos:.1%} of {fatigue.perclos_observed_s:.0f} s'
                if fatigue.perclos_valid
                else f'not valid ({fatigue.perclos_observed_s:.0f} s seen)'
            )
            emotion = self._emotions.get(fatigue.face_id)
        expression, valence, arousal = '-', float('nan'), float('nan')
        if emotion is not None:
            expression, valence, arousal = emotion.label, emotion.valence, emotion.arousal
        return (
            f'{second:4d}  {self._faces:5d}  {expression:<11s}  {valence:+7.2f} {arousal:+7.2f}   '
            f'{eyes:<14s} {perclos:<19s} {self._input_hz:5.1f}  {len(latencies):6.1f}  {latency}'
        )

    def _on_faces(self, message: Any) -> None:
        recording = self.recording
        recording.images += 1
        recording.images_with_face += bool(message.faces)
        recording.ids.update(face.face_id for face in message.faces)
        recording.backend = message.backend
        self._faces = len(message.faces)
        self._by_id = {face.face_id: face for face in message.faces}

    def _on_emotion(self, message: Any) -> None:
        self._emotions[message.face_id] = message
        self.recording.expressions[message.label] += 1

    def _on_fatigue(self, message: Any) -> None:
        stamp_s = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        latency_ms = (time.time() - stamp_s) * 1e3
        recording = self.recording
        recording.latencies_ms.append(latency_ms)
        self._recent.append((time.monotonic(), latency_ms))
        self._fatigue = message
        closed = bool(message.eyes_closed)
        recording.closures += closed and not self._was_closed.get(message.face_id, False)
        self._was_closed[message.face_id] = closed
        recording.rows.append(
            _Row(
                message,
                self._by_id.get(message.face_id),
                self._emotions.get(message.face_id),
                latency_ms,
            )
        )

    def _on_diagnostics(self, message: Any) -> None:
        from diagnostic_msgs.msg import DiagnosticStatus

        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if status.name == 'face_detection':
                self._input_hz = float(values['input rate [Hz]'])
            page = values.get('page', 'not served') if status.name == 'web_monitor' else ''
            if page not in ('', 'not served', self._page):
                self._page = page
                print(f'the page is at {page}', flush=True)
            if status.message not in ('running', 'no input'):
                self.trouble = f'{status.name}: {status.message}'
                if status.level == DiagnosticStatus.ERROR:
                    self.error = self.trouble

    def _on_overlay(self, message: Any) -> None:
        self.recording.picture = message


def _report(recording: Recording, folder: Path) -> int:
    import cv2
    import numpy as np

    from aitable_ros.perception.images.decoding import image_to_rgb
    from aitable_ros.tools.support.tables import ReadingTable, message_fields

    csv_file = folder / 'results.csv'
    with csv_file.open('w', newline='') as file:
        table = ReadingTable(file, extra=('latency_ms',))
        for row in recording.rows:
            face_id, stamp = row.fatigue.face_id, row.fatigue.header.stamp
            table.add_image(
                'demo',
                stamp.sec + stamp.nanosec * 1e-9,
                [row.face] if row.face else [],
                {face_id: row.emotion} if row.emotion else {},
                {face_id: message_fields(row.fatigue)},
                latency_ms=row.latency_ms,
            )
    print('\nsummary')
    share = recording.images_with_face / max(recording.images, 1)
    print(f'  images analysed   {recording.images}, with a face in {share:.1%}')
    ids = sorted(recording.ids, key=lambda one: (len(one), one))
    print(f'  identities        {", ".join(ids) or "none"}')
    if recording.expressions:
        total = sum(recording.expressions.values())
        print(
            '  expressions       '
            + ', '.join(f'{k} {n / total:.0%}' for k, n in recording.expressions.most_common(3))
        )
    if recording.rows:
        last = recording.rows[-1].fatigue
        print(f'  eyes closed       {recording.closures} times; {last.blink_count} blinks')
        if last.perclos_valid:
            print(f'  PERCLOS           {last.perclos:.1%}')
        p50, p99 = np.percentile(recording.latencies_ms, (50, 99))
        print(f'  image to fatigue  p50 {p50:.1f} ms, p99 {p99:.1f} ms')
    print(f'\nresults in {folder}')
    if recording.picture is not None:
        picture = folder / 'overlay.png'
        rgb = image_to_rgb(recording.picture)
        cv2.imwrite(str(picture), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        print(f'  {picture.name}: the last image with what was seen in it')
    print(f'  {csv_file.name}: one row per face and image')
    if not recording.images_with_face:
        print('no face was seen', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
