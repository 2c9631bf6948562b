#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare nodes composed in one container with the same nodes in separate processes.

    source scripts/ros_env.sh
    python3 scripts/benchmark_composition.py
    python3 scripts/benchmark_composition.py --workloads default watched posture --rounds 3

The real executables run, with the parameters and transport settings that are shipped. A process
of its own publishes the built-in sample like a camera driver and receives the results; what it
takes is told apart. Both ways run in turns, in an order that alternates, since other work on the
machine changes from minute to minute: the ratio is the median over the rounds of one against the
other.

CPU time is user and system time of all processes of the nodes, start and end left out, over the
images that were answered. Latency runs from the image's stamp to the arrival of the result in the
camera's process. Memory is the sum of the proportional set sizes (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 20.0
GRACE_S = 1.0
SAMPLE_S = 4.0
MODES = ('composed', 'separate')


@dataclass(frozen=True)
class Workload:
    """
    What runs.

    :param nodes: names of the nodes.
    :param results: topics whose messages answer an image.
    :param image_nodes: how many of the nodes receive images.
    :param watched: somebody subscribes to the overlay.
    """

    nodes: tuple[str, ...]
    results: tuple[str, ...]
    image_nodes: int
    watched: bool = False


DEFAULT = ('face_detection', 'emotion', 'fatigue', 'overlay')
WORKLOADS: Mapping[str, Workload] = {
    # what aitable.launch.py starts; emotion without a network reads the landmarks
    'default': Workload(DEFAULT, ('faces', 'emotion', 'fatigue'), 2),
    'watched': Workload(DEFAULT, ('faces', 'emotion', 'fatigue', 'overlay'), 3, watched=True),
    'posture': Workload((*DEFAULT, 'posture'), ('faces', 'emotion', 'fatigue'), 3),
}
PARAMETERS = {'emotion': {'backend': 'geometry'}}


@dataclass(frozen=True)
class Round:
    """
    What one round measured.

    :param sent: images published.
    :param answered: images that every result topic answered.
    :param lost: images not answered, by result topic.
    :param cpu_s: user and system time of the nodes [s].
    :param camera_cpu_s: the same of the process that publishes and receives the results [s].
    :param latency_ms: of each result topic, in order of arrival [ms].
    :param pss_mb: memory of the nodes at the end [MB]; NaN where the system does not tell.
    """

    sent: int
    answered: int
    lost: Mapping[str, int]
    cpu_s: float
    camera_cpu_s: float
    latency_ms: Mapping[str, Sequence[float]]
    pss_mb: float

    @property
    def cpu_ms(self) -> float:
        """CPU time of the nodes for each answered image [ms]; NaN when there was none."""
        return 1e3 * self.cpu_s / self.answered if self.answered else float('nan')


def cpu_s(pids: Iterable[int], proc: Path = Path('/proc')) -> float:
    """
    Sum up the user and system time of processes.

    :param pids: of the processes, which are alive.
    :param proc: where procfs is.
    :returns: since they started [s].
    :raises OSError: when one is not there any more.
    """
    ticks = 0
    for pid in pids:
        # after the name, which may hold anything: state is field 3, utime 14, stime 15 (proc(5))
        fields = (proc / str(pid) / 'stat').read_text().rpartition(')')[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf('SC_CLK_TCK')


def pss_mb(pids: Iterable[int], proc: Path = Path('/proc')) -> float:
    """
    Sum up the proportional set sizes of processes: memory that several share counts once.

    :param pids: of the processes, which are alive.
    :param proc: where procfs is.
    :returns: [MB]; NaN where the kernel does not tell (before Linux 4.14).
    """
    total_kb = 0
    for pid in pids:
        try:
            text = (proc / str(pid) / 'smaps_rollup').read_text()
        except OSError:
            return float('nan')
        total_kb += next(int(line.split()[1]) for line in text.splitlines() if line[:4] == 'Pss:')
    return total_kb * 1024 / 1e6


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


def commands(nodes: Sequence[str], mode: str) -> list[list[str]]:
    """
    Make the command lines that start the nodes.

    :param nodes: names of the nodes.
    :param mode: one of MODES.
    """
    shared = ['--ros-args', '--params-file', str(ROOT / 'config' / 'aitable.yaml')]
    for node, parameters in PARAMETERS.items():
        for name, value in parameters.items():
            shared += ['-p', f'{node}:{name}:={value}']
    if mode == 'composed':
        modules = [['component_container', *shared, '-p', f'components:=[{",".join(nodes)}]']]
    else:
        modules = [[f'{node}_node', *shared] for node in nodes]
    return [
        [sys.executable, '-m', f'aitable_ros.nodes.{module}', *rest] for module, *rest in modules
    ]


class Nodes:
    """
    The processes of the nodes; a context manager that ends them.

    :param workload: what runs.
    :param mode: one of MODES.
    :param log: file that gets their output.
    """

    def __init__(self, workload: Workload, mode: str, log: Any) -> None:
        self._processes = [
            subprocess.Popen(command, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)
            for command in commands(workload.nodes, mode)
        ]

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self._processes]

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Camera:
    """
    The process that publishes images and receives the results; a context manager that ends it.

    :param size: WIDTHxHEIGHT of its images.
    :param rate_hz: images per second.
    """

    def __init__(self, size: str, rate_hz: float) -> None:
        command = [sys.executable, __file__, '--role', 'camera', '--sizes', size]
        self._process = subprocess.Popen(
            [*command, '--rate', str(rate_hz)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(
        self, workload: Workload, mode: str, nodes: Nodes, settle_s: float, seconds: float
    ) -> Round:
        """
        Run one round.

        :param settle_s: how long to publish before measuring [s].
        :param seconds: how long to measure [s].
        :raises RuntimeError: when the nodes did not start or one of them ended.
        """
        order = {
            'image_subscribers': 1 if mode == 'composed' else workload.image_nodes,
            'results': workload.results,
            'watched': workload.watched,
            'pids': nodes.pids,
            'settle_s': settle_s,
            'seconds': seconds,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'the camera ended with status {self._process.wait()}')
        answer = json.loads(line)
        if 'error' in answer:
            raise RuntimeError(f'{mode}: {answer["error"]}')
        return Round(**answer)

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def run_camera(size: str, rate_hz: float) -> None:
    """Be the camera: a round for each line of standard input, until it closes."""
    import rclpy
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

    from aitable_msgs.msg import Emotion, FaceArray, Fatigue
    from aitable_ros.ros_support.executor import make_executor
    from aitable_ros.ros_support.image_conversion import rgb_to_image
    from aitable_ros.sample import AstronautSequence

    types = {'faces': FaceArray, 'emotion': Emotion, 'fatigue': Fatigue, 'overlay': Image}
    width, height = parse_size(size)
    sequence = AstronautSequence(width, height, rate_hz)
    count = min(len(sequence), round(SAMPLE_S * rate_hz))
    header = Header(frame_id='camera')
    images = [rgb_to_image(sequence.frame(i), header, 'bgr8') for i in range(count)]
    loop = back_and_forth(count)

    rclpy.init(args=[])
    node = rclpy.create_node('benchmark_camera')
    executor = make_executor()
    executor.add_node(node)
    publisher = node.create_publisher(Image, 'image_raw', qos_profile_sensor_data)
    arrivals: dict[str, dict[tuple[int, int], float]] = {topic: {} for topic in types}

    def noting(topic: str) -> Any:
        def note(serialized: bytes) -> None:
            now_ns = time.time_ns()
            stamp = header_stamp(serialized)
            age_ms = (now_ns - stamp[0] * 10**9 - stamp[1]) * 1e-6
            arrivals[topic].setdefault(stamp, age_ms)

        return note

    # the overlay counts its subscribers: it is subscribed to in the rounds that watch it
    ending = threading.Event()
    subscriptions = {}
    for topic in ('faces', 'emotion', 'fatigue'):
        subscriptions[topic] = node.create_subscription(
            types[topic], topic, noting(topic), 100, raw=True
        )

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    def watch(wanted: bool) -> None:
        """Subscribe to the overlay or not; in the executor's thread."""
        if wanted and 'overlay' not in subscriptions:
            subscriptions['overlay'] = node.create_subscription(
                Image, 'overlay', noting('overlay'), 10, raw=True
            )
        elif not wanted and 'overlay' in subscriptions:
            node.destroy_subscription(subscriptions.pop('overlay'))

    def publish(index: int) -> tuple[int, int]:
        image = images[loop[index % len(loop)]]
        sec, nanosec = divmod(time.time_ns(), 10**9)
        image.header.stamp.sec, image.header.stamp.nanosec = sec, nanosec
        publisher.publish(image)
        return sec, nanosec

    def wait_until_answered(order: Mapping[str, Any]) -> None:
        """Publish slowly until each of the topics answers."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        for index in range(sys.maxsize):
            matched = publisher.get_subscription_count() == order['image_subscribers']
            if matched:
                publish(index)
            time.sleep(0.1)
            missing = [topic for topic in order['results'] if not arrivals[topic]]
            if matched and not missing:
                return
            cpu_s(order['pids'])  # are they alive?
            if time.monotonic() > deadline_s:
                raise RuntimeError(
                    f'image_raw has {publisher.get_subscription_count()} subscribers of '
                    f'{order["image_subscribers"]}, no answer on {", ".join(missing) or "none"}'
                )

    def run_round(order: Mapping[str, Any]) -> dict[str, Any]:
        for topic in arrivals:
            arrivals[topic] = {}
        executor.create_task(watch, order['watched'])
        wait_until_answered(order)
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
            if index == total:
                break
            stamp = publish(index)
            if index >= settling:
                sent.append(stamp)
        used_s = cpu_s(order['pids']) - used_s
        camera_used_s = cpu_s(own) - camera_used_s
        memory_mb = pss_mb(order['pids'])
        time.sleep(GRACE_S)
        latency_ms = {
            topic: [arrivals[topic][stamp] for stamp in sent if stamp in arrivals[topic]]
            for topic in order['results']
        }
        answered = [all(stamp in arrivals[t] for t in order['results']) for stamp in sent]
        return asdict(
            Round(
                sent=len(sent),
                answered=sum(answered),
                lost={topic: len(sent) - len(values) for topic, values in latency_ms.items()},
                cpu_s=used_s,
                camera_cpu_s=camera_used_s,
                latency_ms=latency_ms,
                pss_mb=memory_mb,
            )
        )

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        for line in sys.stdin:
            try:
                answer = run_round(json.loads(line))
            except (OSError, RuntimeError) as error:
                answer = {'error': str(error)}
            print(json.dumps(answer), flush=True)
    finally:
        ending.set()
        thread.join()
        node.destroy_node()
        rclpy.try_shutdown()


def summarize(rounds: Sequence[Round], rate_hz: float) -> dict[str, Any]:
    """
    Put the rounds of one way together.

    :param rounds: at least one.
    :param rate_hz: images per second.
    :returns: sums of images, medians of CPU and memory over the rounds, quantiles of latency over
        all images.
    """
    sent = sum(one.sent for one in rounds)
    cpu_ms = [one.cpu_ms for one in rounds]
    camera_ms = [1e3 * one.camera_cpu_s / one.sent for one in rounds]
    figures: dict[str, Any] = {
        'sent': sent,
        'answered': sum(one.answered for one in rounds),
        'lost_percent': 100 * (1 - sum(one.answered for one in rounds) / sent),
        'cpu_ms': statistics.median(cpu_ms),
        'cpu_ms_min': min(cpu_ms),
        'cpu_ms_max': max(cpu_ms),
        'cpu_percent_of_a_core': statistics.median(
            100 * one.cpu_s * rate_hz / one.sent for one in rounds
        ),
        'camera_cpu_ms': statistics.median(camera_ms),
        'pss_mb': statistics.median(one.pss_mb for one in rounds),
        'latency_ms': {},
    }
    for topic in rounds[0].latency_ms:
        values = [value for one in rounds for value in one.latency_ms[topic]]
        p50, p99 = np.percentile(values, (50, 99)) if values else (np.nan, np.nan)
        figures['latency_ms'][topic] = [float(p50), float(p99)]
    return figures


def ratios(composed: Sequence[Round], separate: Sequence[Round]) -> list[float]:
    """Give the CPU per image of composed over that of separate, round by round."""
    return [a.cpu_ms / b.cpu_ms for a, b in zip(composed, separate)]


def table(title: str, figures: Mapping[str, Mapping[str, Any]], quotients: list[float]) -> str:
    """
    Make a Markdown table of one workload at one size.

    :param title: of the first column.
    :param figures: what :func:`summarize` gave, by mode.
    :param quotients: what :func:`ratios` gave.
    """
    both = [figures[mode] for mode in MODES]
    rows = [
        ('CPU per image, median (min to max)', *(_median(f, 'cpu_ms') for f in both)),
        ('share of one core', *(f'{f["cpu_percent_of_a_core"]:.0f} %' for f in both)),
        *(
            (f'latency of {topic}, p50 / p99', *(_quantiles(f['latency_ms'][topic]) for f in both))
            for topic in both[0]['latency_ms']
        ),
        (
            'images sent / answered by all (lost)',
            *(f'{f["sent"]} / {f["answered"]} ({f["lost_percent"]:.1f} %)' for f in both),
        ),
        ('memory (PSS)', *(f'{f["pss_mb"]:.0f} MB' for f in both)),
        ("the camera's process, per image", *(f'{f["camera_cpu_ms"]:.2f} ms' for f in both)),
    ]
    lines = [f'| {title} | composed | separate |', '|---|---|---|']
    lines += [f'| {" | ".join(row)} |' for row in rows]
    lines.append(
        f'\ncomposed / separate, CPU per image: {statistics.median(quotients):.2f} '
        f'(rounds: {", ".join(f"{q:.2f}" for q in quotients)})'
    )
    return '\n'.join(lines)


def _median(figures: Mapping[str, Any], name: str) -> str:
    low, high = figures[f'{name}_min'], figures[f'{name}_max']
    return f'{figures[name]:.2f} ms ({low:.2f} to {high:.2f})'


def _quantiles(p50_p99: Sequence[float]) -> str:
    return '{:.1f} / {:.1f} ms'.format(*p50_p99)


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``WIDTHxHEIGHT``."""
    width, _, height = text.partition('x')
    return int(width), int(height)


def take_cpus(count: int) -> int:
    """Keep this process and its children to so many CPUs; tell how many there are."""
    there = sorted(os.sched_getaffinity(0))
    if count:
        os.sched_setaffinity(0, there[:count])
    return len(os.sched_getaffinity(0))


def main() -> int:
    """Run the benchmark, or be the camera."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1280x720'], metavar='WxH')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default 30)')
    parser.add_argument('--seconds', type=float, default=10.0, help='of a round (default 10)')
    parser.add_argument('--settle', type=float, default=3.0, help='before each (default 3)')
    parser.add_argument('--rounds', type=int, default=5, help='of each way (default 5)')
    parser.add_argument('--cpus', type=int, default=2, help='CPUs to use (default 2; 0: all)')
    parser.add_argument(
        '--workloads', nargs='+', choices=WORKLOADS, default=['default'], help='what runs'
    )
    parser.add_argument('--json', type=Path, help='file to write every round to')
    parser.add_argument('--log', type=Path, help="file for the nodes' output (default: none)")
    parser.add_argument('--role', choices=('camera',), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == 'camera':
        run_camera(options.sizes[0], options.rate)
        return 0

    from aitable_ros.ros_support.transport import configure_transport

    configure_transport()
    cpus = take_cpus(options.cpus)
    path = os.environ.get('PYTHONPATH')
    os.environ['PYTHONPATH'] = f'{ROOT}:{path}' if path else str(ROOT)
    cases = [(name, size) for name in options.workloads for size in options.sizes]
    results: dict[tuple[str, str, str], list[Round]] = {
        (*case, mode): [] for case in cases for mode in MODES
    }
    log_path = options.log or Path(os.devnull)
    progress = tqdm(total=options.rounds * len(results), unit='round', disable=None)
    with log_path.open('w', encoding='utf-8') as log, progress:
        for size in options.sizes:
            with Camera(size, options.rate) as camera:
                for index in range(options.rounds):
                    for name in options.workloads:
                        # whichever runs first meets what the machine did before
                        for mode in MODES if index % 2 == 0 else MODES[::-1]:
                            with Nodes(WORKLOADS[name], mode, log) as nodes:
                                results[name, size, mode].append(
                                    camera.measure(
                                        WORKLOADS[name],
                                        mode,
                                        nodes,
                                        options.settle,
                                        options.seconds,
                                    )
                                )
                            progress.update()
    print(
        f'{cpus} CPUs, {options.rate:g} Hz, {options.rounds} rounds of {options.seconds:g} s each '
        'in turns'
    )
    for name, size in cases:
        rounds = {mode: results[name, size, mode] for mode in MODES}
        figures = {mode: summarize(rounds[mode], options.rate) for mode in MODES}
        quotients = ratios(rounds['composed'], rounds['separate'])
        print(f'\n{table(f"{name}, {size} bgr8", figures, quotients)}')
    if options.json:
        every = [
            {'workload': name, 'size': size, 'mode': mode, **asdict(one)}
            for (name, size, mode), rounds_of in results.items()
            for one in rounds_of
        ]
        options.json.write_text(json.dumps(every), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
