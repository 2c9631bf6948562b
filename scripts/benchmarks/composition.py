#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare nodes composed in one container with the same nodes in separate processes.

    source scripts/ros_env.sh
    python3 scripts/benchmark_composition.py
    python3 scripts/benchmark_composition.py --workloads default watched posture --rounds 10

The real executables run, with the parameters and transport settings that are shipped. A process
of its own publishes the built-in sample like a camera driver and receives the results; what it
takes is told apart. Both ways are up at the same time, in namespaces of their own, and get images
in turns of a few seconds, in an order that alternates: how fast a shared machine is changes by
tens of percent within minutes. The ratio is the median over the rounds of one against the other.

CPU time is user and system time of all processes of the nodes, start and end left out, over the
images that were answered. Latency runs from the image's stamp to the arrival of the result in the
camera's process. Memory is the sum of the proportional set sizes (PSS), measured while only the
one way is up.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
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
GRACE_S = 0.3
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


def commands(nodes: Sequence[str], mode: str, parameters: Path) -> list[list[str]]:
    """
    Make the command lines that start the nodes, in a namespace named after the mode.

    :param nodes: names of the nodes.
    :param mode: one of MODES.
    :param parameters: file of parameters beside those that are shipped.
    """
    shared = ['--ros-args', '-r', f'__ns:=/{mode}']
    for file in (ROOT / 'config' / 'aitable.yaml', parameters):
        shared += ['--params-file', str(file)]
    if mode == 'composed':
        modules = [['component_container', *shared, '-p', f'components:=[{",".join(nodes)}]']]
    else:
        modules = [[f'{node}_node', *shared] for node in nodes]
    return [
        [sys.executable, '-m', f'aitable_ros.nodes.{module}', *rest] for module, *rest in modules
    ]


def write_parameters(path: Path) -> None:
    """Write PARAMETERS as a ROS parameter file; JSON is YAML."""
    tree = {f'/**/{node}': {'ros__parameters': values} for node, values in PARAMETERS.items()}
    path.write_text(json.dumps(tree), encoding='utf-8')


class Nodes:
    """
    The processes of the nodes; a context manager that ends them.

    :param workload: what runs.
    :param mode: one of MODES.
    :param parameters: as for :func:`commands`.
    :param log: file that gets their output.
    """

    def __init__(self, workload: Workload, mode: str, parameters: Path, log: Any) -> None:
        self.mode = mode
        self._processes = [
            subprocess.Popen(command, start_new_session=True, stdout=log, stderr=subprocess.STDOUT)
            for command in commands(workload.nodes, mode, parameters)
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

    def wait_for(self, nodes: Nodes, workload: Workload) -> None:
        """
        Wait until the nodes answer images.

        :raises RuntimeError: when they do not, or one of them ended.
        """
        subscribers = 1 if nodes.mode == 'composed' else workload.image_nodes
        self._ask(nodes, workload, image_subscribers=subscribers)

    def measure(self, nodes: Nodes, workload: Workload, settle_s: float, seconds: float) -> Round:
        """
        Run one round.

        :param settle_s: how long to publish before measuring [s].
        :param seconds: how long to measure [s].
        :raises RuntimeError: when one of the nodes ended.
        """
        return Round(**self._ask(nodes, workload, settle_s=settle_s, seconds=seconds))

    def _ask(self, nodes: Nodes, workload: Workload, **order: Any) -> dict[str, Any]:
        order |= {'mode': nodes.mode, 'pids': nodes.pids}
        order |= {'results': workload.results, 'watched': workload.watched}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + '\n')
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f'the camera ended with status {self._process.wait()}')
        answer: dict[str, Any] = json.loads(line)
        if 'error' in answer:
            raise RuntimeError(f'{nodes.mode}: {answer["error"]}')
        return answer

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


class Link:
    """
    The camera's topics in the namespace of one mode: images go out, results come in.

    :param node: of the camera.
    :param mode: one of MODES.
    """

    def __init__(self, node: Any, mode: str) -> None:
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import Image

        from aitable_msgs.msg import Emotion, FaceArray, Fatigue

        self._node = node
        self._mode = mode
        self._overlay: Any = None
        self.publisher = node.create_publisher(
            Image, f'/{mode}/image_raw', qos_profile_sensor_data
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
            message_type, f'/{self._mode}/{topic}', note, 100, raw=True
        )


def run_camera(size: str, rate_hz: float) -> None:
    """Be the camera: do what each line of standard input says, until it closes."""
    import rclpy
    from std_msgs.msg import Header

    from aitable_ros.ros_support.executor import make_executor
    from aitable_ros.ros_support.image_conversion import rgb_to_image
    from aitable_ros.sample import AstronautSequence

    width, height = parse_size(size)
    sequence = AstronautSequence(width, height, rate_hz)
    count = min(len(sequence), round(SAMPLE_S * rate_hz))
    header = Header(frame_id='camera')
    images = [rgb_to_image(sequence.frame(i), header, 'bgr8') for i in range(count)]
    images = [images[i] for i in back_and_forth(count)]

    rclpy.init(args=[])
    node = rclpy.create_node('benchmark_camera')
    executor = make_executor()
    executor.add_node(node)
    links = {mode: Link(node, mode) for mode in MODES}
    ending = threading.Event()

    def spin() -> None:
        while not ending.is_set():
            executor.spin_once(timeout_sec=0.1)

    def wait_until_answered(link: Link, order: Mapping[str, Any]) -> dict[str, Any]:
        """Publish slowly until each of the topics answers."""
        link.clear()
        executor.create_task(link.watch, order['watched'])
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while True:
            subscribers = link.publisher.get_subscription_count()
            if subscribers == order['image_subscribers']:
                link.publish(images[0])
            time.sleep(0.1)
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
        answered = [all(stamp in ages[topic] for topic in ages) for stamp in sent]
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
                answer = step(links[order['mode']], order)
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
    :returns: sums of images, medians of CPU over the rounds, quantiles of latency over all images.
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


def table(
    title: str,
    figures: Mapping[str, Mapping[str, Any]],
    memory_mb: Mapping[str, float],
    quotients: Sequence[float],
) -> str:
    """
    Make a Markdown table of one workload at one size.

    :param title: of the first column.
    :param figures: what :func:`summarize` gave, by mode.
    :param memory_mb: what :func:`pss_mb` gave, by mode.
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
        ('memory (PSS)', *(f'{memory_mb[mode]:.0f} MB' for mode in MODES)),
        ("the camera's process, per image", *(f'{f["camera_cpu_ms"]:.2f} ms' for f in both)),
    ]
    lines = [f'| {title} | composed | separate |', '|---|---|---|']
    lines += [f'| {" | ".join(row)} |' for row in rows]
    low, middle, high = np.percentile(quotients, (25, 50, 75))
    lines.append(
        f'\ncomposed / separate, CPU per image: {middle:.2f} '
        f'(quartiles {low:.2f} and {high:.2f} of {len(quotients)} rounds)'
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


def compare(
    camera: Camera, workload: Workload, options: argparse.Namespace, log: Any, progress: Any
) -> tuple[dict[str, list[Round]], dict[str, float]]:
    """
    Run both ways in turns.

    :returns: the rounds, and the memory [MB], by mode.
    """
    rounds: dict[str, list[Round]] = {mode: [] for mode in MODES}
    memory_mb = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        parameters = Path(folder) / 'parameters.yaml'
        write_parameters(parameters)
        nodes = {}
        with Nodes(workload, 'separate', parameters, log) as nodes['separate']:
            camera.wait_for(nodes['separate'], workload)
            camera.measure(nodes['separate'], workload, options.settle, options.seconds)
            memory_mb['separate'] = pss_mb(nodes['separate'].pids)
            nodes['composed'] = stack.enter_context(Nodes(workload, 'composed', parameters, log))
            camera.wait_for(nodes['composed'], workload)
            for index in range(options.rounds):
                # whichever comes first meets what the machine did before
                for mode in MODES if index % 2 == 0 else MODES[::-1]:
                    rounds[mode].append(
                        camera.measure(nodes[mode], workload, options.settle, options.seconds)
                    )
                    progress.update()
        memory_mb['composed'] = pss_mb(nodes['composed'].pids)
    return rounds, memory_mb


def main() -> int:
    """Run the benchmark, or be the camera."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1280x720'], metavar='WxH')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default 30)')
    parser.add_argument('--seconds', type=float, default=3.0, help='of a round (default 3)')
    parser.add_argument('--settle', type=float, default=1.0, help='before each (default 1)')
    parser.add_argument('--rounds', type=int, default=15, help='of each way (default 15)')
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
    cases = [(size, name) for size in options.sizes for name in options.workloads]
    results: dict[tuple[str, str], dict[str, list[Round]]] = {}
    tables = []
    log_path = options.log or Path(os.devnull)
    progress = tqdm(total=options.rounds * len(cases) * len(MODES), unit='round', disable=None)
    with log_path.open('w', encoding='utf-8') as log, progress:
        for size in options.sizes:
            with Camera(size, options.rate) as camera:
                for name in options.workloads:
                    rounds, memory_mb = compare(camera, WORKLOADS[name], options, log, progress)
                    results[size, name] = rounds
                    figures = {mode: summarize(rounds[mode], options.rate) for mode in MODES}
                    quotients = ratios(rounds['composed'], rounds['separate'])
                    tables.append(table(f'{name}, {size} bgr8', figures, memory_mb, quotients))
    print(
        f'{cpus} CPUs, {options.rate:g} Hz, {options.rounds} rounds of {options.seconds:g} s each '
        'in turns'
    )
    for text in tables:
        print(f'\n{text}')
    if options.json:
        every = [
            {'workload': name, 'size': size, 'mode': mode, **asdict(one)}
            for (size, name), by_mode in results.items()
            for mode, rounds in by_mode.items()
            for one in rounds
        ]
        options.json.write_text(json.dumps(every), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
