#!/usr/bin/env python3
# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Compare nodes composed in one container with the same nodes in separate processes.

    source scripts/ros_env.sh
    python3 scripts/benchmarks/composition.py
    python3 scripts/benchmarks/composition.py --workloads default watched posture --rounds 10
    python3 scripts/benchmarks/composition.py --against ../another_checkout

With --against both sides are composed, and one of them runs the code of another checkout.

The real executables run, with the parameters and transport settings that are shipped. A process
of its own publishes the built-in sample like a camera driver and receives the results; what it
takes is told apart. Both ways are up at the same time, in namespaces of their own, and get images
in turns of a few seconds, in an order that alternates: how fast a shared machine is changes by
tens of percent within minutes. The ratio is the median over the rounds of one against the other.

CPU time is user and system time of all processes of the nodes, start and end left out, over the
images that were answered. Latency runs from the image's stamp to the arrival of the result in the
camera's process. Memory is the sum of the proportional set sizes (PSS): measured while only the
one way is up; with --against after each round, the pages that both have in common halved.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from measured_nodes import (
    ROOT,
    WORKLOADS,
    Nodes,
    Side,
    Workload,
    cpu_s,
    pss_mb,
    take_cpus,
)
from sample_camera import Camera, Round
from tqdm import tqdm

sys.path.insert(0, str(ROOT))


def summarize(rounds: Sequence[Round], rate_hz: float) -> dict[str, Any]:
    """
    Put the rounds of one side together.

    :param rounds: at least one.
    :param rate_hz: images per second.
    :returns: sums of images, quartiles of CPU over the rounds, quantiles of latency over images.
    """
    sent = sum(one.sent for one in rounds)
    answered = sum(one.answered for one in rounds)
    figures: dict[str, Any] = {
        'sent': sent,
        'answered': answered,
        'lost_percent': 100 * (1 - answered / sent),
        'cpu_ms': quartiles([one.cpu_ms for one in rounds]),
        'cpu_percent_of_a_core': statistics.median(
            100 * one.cpu_s * rate_hz / one.sent for one in rounds
        ),
        'camera_cpu_ms': statistics.median(1e3 * one.camera_cpu_s / one.sent for one in rounds),
        'latency_ms': {},
    }
    for topic in rounds[0].latency_ms:
        values = [value for one in rounds for value in one.latency_ms[topic]]
        p50, p99 = np.percentile(values, (50, 99)) if values else (np.nan, np.nan)
        figures['latency_ms'][topic] = [float(p50), float(p99)]
    return figures


def quartiles(values: Sequence[float]) -> list[float]:
    """Give median, first and third quartile."""
    return [float(value) for value in np.percentile(values, (50, 25, 75))]


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Give the one over the other, round by round."""
    return [a / b for a, b in zip(one, other)]


def table(
    title: str,
    figures: Mapping[str, Mapping[str, Any]],
    memory_mb: Mapping[str, Sequence[float]],
    quotients: Sequence[float],
) -> str:
    """
    Make a Markdown table of one workload at one size.

    :param title: of the first column.
    :param figures: what :func:`summarize` gave, by side; the first is compared with the other.
    :param memory_mb: what :func:`pss_mb` gave, once or after each round, by side.
    :param quotients: the CPU per image of the one over that of the other, round by round.
    """
    names = list(figures)
    both = list(figures.values())
    rows = [
        ('CPU per image, median (quartiles)', *(_spread(f['cpu_ms'], 'ms', 2) for f in both)),
        ('share of one core', *(f'{f["cpu_percent_of_a_core"]:.0f} %' for f in both)),
        *(
            (f'latency of {topic}, p50 / p99', *(_quantiles(f['latency_ms'][topic]) for f in both))
            for topic in both[0]['latency_ms']
        ),
        (
            'images sent / answered by all (lost)',
            *(f'{f["sent"]} / {f["answered"]} ({f["lost_percent"]:.1f} %)' for f in both),
        ),
        ('memory (PSS)', *(_spread(quartiles(memory_mb[name]), 'MB', 0) for name in names)),
        ("the camera's process, per image", *(f'{f["camera_cpu_ms"]:.2f} ms' for f in both)),
    ]
    lines = [f'| {title} | {" | ".join(names)} |', '|---|---|---|']
    lines += [f'| {" | ".join(row)} |' for row in rows]
    of_memory = ratios(*(memory_mb[name] for name in names))
    compared = f'\n{names[0]} / {names[1]}'
    lines.append(f'{compared}, CPU per image: {_ratio(quotients)}')
    lines.append(f'{compared[1:]}, PSS: {_ratio(of_memory)}')
    return '\n'.join(lines)


def _spread(values: Sequence[float], unit: str, digits: int) -> str:
    middle, low, high = (f'{value:.{digits}f}' for value in values)
    return f'{middle} {unit}' + (f' ({low} to {high})' if low != high else '')


def _quantiles(p50_p99: Sequence[float]) -> str:
    return '{:.1f} / {:.1f} ms'.format(*p50_p99)


def _ratio(quotients: Sequence[float]) -> str:
    middle, low, high = quartiles(quotients)
    if len(quotients) == 1:
        return f'{middle:.3f}'
    return f'{middle:.3f} (quartiles {low:.3f} and {high:.3f} of {len(quotients)} rounds)'


def starts(camera: Camera, workload: Workload, sides: Sequence[Side], count: int, log: Any) -> str:
    """
    Start each side so many times in turns, alone, with warm files.

    :returns: a line of the table: time and CPU time until each topic has answered an image.
    """
    found: dict[str, list[tuple[float, float]]] = {side.name: [] for side in sides}
    for index in range(count):
        for side in sides if index % 2 == 0 else reversed(sides):
            begun_s = time.monotonic()
            with Nodes(workload, side, log) as nodes:
                camera.wait_for(nodes)
                found[side.name].append((time.monotonic() - begun_s, cpu_s(nodes.pids)))
    one, other = (np.array(found[side.name]) for side in sides)
    middle = np.median(one / other, axis=0)
    said = [' / '.join(f'{value:.2f} s' for value in np.median(a, axis=0)) for a in (one, other)]
    return (
        f'until the first answers, time / CPU time, {count} starts of each: {" and ".join(said)}; '
        f'ratio {middle[0]:.3f} / {middle[1]:.3f}'
    )


def compare(
    camera: Camera,
    workload: Workload,
    sides: Sequence[Side],
    options: argparse.Namespace,
    log: Any,
    progress: Any,
) -> tuple[dict[str, list[Round]], dict[str, list[float]]]:
    """
    Run both sides in turns.

    :returns: the rounds, and the memory [MB], by side.
    """
    one, other = sides
    rounds: dict[str, list[Round]] = {side.name: [] for side in sides}
    memory_mb: dict[str, list[float]] = {side.name: [] for side in sides}
    is_alone = not options.against
    with contextlib.ExitStack() as stack:
        with Nodes(workload, other, log) as second:
            camera.wait_for(second)
            if is_alone:
                camera.measure(second, options.settle, options.seconds)
                memory_mb[other.name].append(pss_mb(second.pids))
            first = stack.enter_context(Nodes(workload, one, log))
            camera.wait_for(first)
            for index in range(options.rounds):
                # whichever comes first meets what the machine did before
                for nodes in (first, second) if index % 2 == 0 else (second, first):
                    found = camera.measure(nodes, options.settle, options.seconds)
                    rounds[nodes.side.name].append(found)
                    progress.update()
                if not is_alone:
                    for nodes in (first, second):
                        memory_mb[nodes.side.name].append(pss_mb(nodes.pids))
        if is_alone:
            memory_mb[one.name].append(pss_mb(first.pids))
    return rounds, memory_mb


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--sizes', nargs='+', default=['640x480', '1280x720'], metavar='WxH')
    parser.add_argument('--rate', type=float, default=30.0, help='images per second (default 30)')
    parser.add_argument('--seconds', type=float, default=3.0, help='of a round (default 3)')
    parser.add_argument('--settle', type=float, default=1.0, help='before each (default 1)')
    parser.add_argument('--rounds', type=int, default=15, help='of each side (default 15)')
    parser.add_argument('--starts', type=int, default=0, help='so many of each side (default 0)')
    parser.add_argument('--cpus', type=int, default=2, help='CPUs to use (default 2; 0: all)')
    parser.add_argument(
        '--workloads', nargs='+', choices=WORKLOADS, default=['default'], help='what runs'
    )
    parser.add_argument(
        '--against',
        type=Path,
        metavar='FOLDER',
        help='another checkout; runs in this environment, with its .ros/install where it has one',
    )
    parser.add_argument('--json', type=Path, help='file to write every round to')
    parser.add_argument('--log', type=Path, help="file for the nodes' output (default: none)")
    options = parser.parse_args()
    sides = (Side('composed'), Side('separate', composed=False))
    if options.against:
        if not (options.against / 'aitable_ros').is_dir():
            parser.error(f'{options.against} is no checkout of aitable')
        sides = (Side('this'), Side('other', root=options.against.resolve()))

    from aitable_ros.paths import ENGINES_DIR_VARIABLE, engines_dir
    from aitable_ros.ros_support.process.transport import configure_transport

    configure_transport()
    os.environ[ENGINES_DIR_VARIABLE] = str(engines_dir())  # both with the same files
    cpus = take_cpus(options.cpus)
    cases = [(size, name) for size in options.sizes for name in options.workloads]
    every: list[dict[str, Any]] = []
    tables = []
    log_path = options.log or Path(os.devnull)
    progress = tqdm(total=options.rounds * len(cases) * len(sides), unit='round', disable=None)
    with log_path.open('w', encoding='utf-8') as log, progress:
        for size in options.sizes:
            with Camera(size, options.rate) as camera:
                for name in options.workloads:
                    workload = WORKLOADS[name]
                    rounds, memory_mb = compare(camera, workload, sides, options, log, progress)
                    every += [
                        {'workload': name, 'size': size, 'side': side, **asdict(found)}
                        for side, of_side in rounds.items()
                        for found in of_side
                    ]
                    figures = {side: summarize(rounds[side], options.rate) for side in rounds}
                    cpu_ms = ([found.cpu_ms for found in of_side] for of_side in rounds.values())
                    title = f'{name}, {size} bgr8'
                    tables.append(table(title, figures, memory_mb, ratios(*cpu_ms)))
                    if options.starts:
                        tables[-1] += '\n' + starts(camera, workload, sides, options.starts, log)
    print(
        f'{cpus} CPUs, {options.rate:g} Hz, {options.rounds} rounds of {options.seconds:g} s each '
        'in turns'
    )
    for text in tables:
        print(f'\n{text}')
    if options.json:
        options.json.write_text(json.dumps(every), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
